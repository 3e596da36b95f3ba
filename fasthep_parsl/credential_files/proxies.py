"""X.509 proxies: where clients find them, and what they state."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fasthep_parsl.credential_files.credential_facts import CredentialFacts, CredentialFileError, CredentialProblem
from fasthep_parsl.credential_files.private_files import file_problems
from fasthep_parsl.credential_files.voms import EXTENSION, VomsAttributes, read_attributes

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, Name

VARIABLE = "X509_USER_PROXY"
_CREATE = "XrdSecGSICREATEPROXY"
_PROXY_INFO = "1.3.6.1.5.5.7.1.14"
"""Extension of an RFC 3820 proxy certificate."""
_SHORT = {"0.9.2342.19200300.100.1.25": "DC", "2.5.4.3": "CN", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.6": "C",
          "2.5.4.7": "L", "2.5.4.8": "ST", "1.2.840.113549.1.9.1": "emailAddress", "0.9.2342.19200300.100.1.1": "UID"}  # fmt: skip
"""Object identifiers → names in the form of grid software."""


def default_proxy() -> Path:
    """Return the place of a proxy that no variable names."""
    return Path(f"/tmp/x509up_u{os.getuid()}")  # noqa: S108 - where all clients look


def find_proxy(environ: Mapping[str, str]) -> Path | None:
    """Return the proxy that clients use: the file in X509_USER_PROXY, also if it does not exist, else the default one.

    None if there is none.
    """
    named = environ.get(VARIABLE, "").strip()
    if named:
        return Path(named)
    return default_proxy() if os.path.lexists(default_proxy()) else None


def harmful_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that must not be set, with empty values.

    If X509_USER_PROXY names a file that clients refuse, authentication with tokens fails, too. If there is no proxy at
    all, XrdSecGSICREATEPROXY crashes the client of XRootD.
    """
    named, path = environ.get(VARIABLE, "").strip(), find_proxy(environ)
    good = (
        path is not None and os.access(path, os.R_OK) and not file_problems(path, "proxy") and path.stat().st_size > 0
    )
    names = ([VARIABLE] if named and not good else []) + ([] if good else [_CREATE])
    return {name: "" for name in names if name in environ}


def read_proxy(content: bytes) -> CredentialFacts:
    """Return what a proxy states. Its signatures are not verified.

    Raises
    ------
    CredentialFileError
        It is not a proxy: no certificates, no key, or a certificate that cannot be read.
    """
    x509 = _library()
    if b"-----BEGIN CERTIFICATE" not in content:
        raise _unreadable("it is not a proxy: it has no certificate")
    if b"PRIVATE KEY-----" not in content:
        raise _unreadable("it is not a proxy: it has no private key")
    if b"ENCRYPTED" in content:
        raise _unreadable("its private key has a password, so no client can use it")
    try:
        chain = x509.load_pem_x509_certificates(content)
        attributes = _attributes(chain)
    except ValueError:
        raise _unreadable("it is not a proxy: a certificate in it cannot be read") from None
    user = next((item for item in chain if not _is_proxy(item)), chain[-1])
    vo_expires = min((item.expires for item in attributes), default=math.inf)
    ends = [item.not_valid_after_utc.timestamp() for item in chain]
    begins = [item.not_valid_before_utc.timestamp() for item in chain[:1]]
    return CredentialFacts(
        kind="x509",
        subject=dn_text(user.subject),
        issuer=dn_text(user.issuer),
        vo=attributes[0].vo if attributes else "",
        scopes=tuple(dict.fromkeys(group for item in attributes for group in item.groups)),
        expires=min(*ends, vo_expires),
        not_before=max(*begins, *(item.not_before for item in attributes)) if attributes else begins[0],
        vo_expires=vo_expires,
    )


def dn_text(name: Name) -> str:
    """Return a distinguished name in the form of grid software: ``/DC=org/DC=grid/CN=Ada``."""
    return "".join(f"/{_SHORT.get(item.oid.dotted_string, item.oid.dotted_string)}={item.value!s}" for item in name)


def _attributes(chain: Sequence[Certificate]) -> tuple[VomsAttributes, ...]:
    """Return the VO attributes of the first certificate that has some."""
    for certificate in chain:
        for extension in certificate.extensions:
            if extension.oid.dotted_string == EXTENSION:
                return read_attributes(getattr(extension.value, "value", b""))
    return ()


def _is_proxy(certificate: Certificate) -> bool:
    if any(extension.oid.dotted_string == _PROXY_INFO for extension in certificate.extensions):
        return True
    last = [str(item.value) for item in certificate.subject][-1:]
    return last in (["proxy"], ["limited proxy"])  # the form before RFC 3820


def _unreadable(message: str) -> CredentialFileError:
    return CredentialFileError(CredentialProblem("unreadable", message))


def _library() -> Any:
    try:
        from cryptography import x509
    except ImportError:
        message = "proxies cannot be read without the package `cryptography`"
        hint = "run `pip install 'fasthep-parsl[credentials]'`"
        raise CredentialFileError(CredentialProblem("unreadable", message, hint)) from None
    return x509
