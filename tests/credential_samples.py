"""Real proxies and tokens for tests, made here: certificates of a chain, VO attributes in DER, signed tokens."""

from __future__ import annotations

import datetime as dt
import time
from functools import cache
from pathlib import Path

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID, ObjectIdentifier

USER = "/DC=test/DC=fasthep/CN=Ada Lovelace"
ISSUER = "https://issuer.fasthep.test"
PROXY_INFO = ObjectIdentifier("1.3.6.1.5.5.7.1.14")
VOMS = ObjectIdentifier("1.3.6.1.4.1.8005.100.100.5")
VOMS_GROUPS = bytes.fromhex("060a2b06010401be45646404")


@cache
def key(name):
    """A key; the same for the same name."""
    return ec.generate_private_key(ec.SECP256R1())


def pem(secret, password=None):
    how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return secret.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)


def der(tag, *parts):
    content = b"".join(parts)
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([0x82]) + size.to_bytes(2, "big")
    return bytes([tag]) + length + content


def moment(hours):
    return dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(hours=hours)


def attributes(vo, groups, hours, begin=-0.1):
    """The extension with one attribute certificate of a VO, not signed by anyone."""
    text = lambda hours: moment(hours).strftime("%Y%m%d%H%M%SZ").encode()
    authority = der(0xA0, der(0x86, f"{vo}://voms.fasthep.test:15000".encode()))
    names = der(0x30, *(der(0x04, f"{group}/Role=NULL/Capability=NULL".encode()) for group in groups))
    values = der(0x31, der(0x30, authority, names))
    info = der(
        0x30,
        der(0x02, b"\x01"),
        der(0x30, der(0x18, text(begin)), der(0x18, text(hours))),
        der(0x30, der(0x30, VOMS_GROUPS, values)),
    )
    return der(0x30, der(0x30, der(0x30, info, der(0x30), der(0x03, b"\0signature"))))


def name(text):
    oids = {"DC": NameOID.DOMAIN_COMPONENT, "CN": NameOID.COMMON_NAME}
    parts = [part.split("=", 1) for part in text.strip("/").split("/")]
    return x509.Name([x509.NameAttribute(oids[kind], value) for kind, value in parts])


def certificate(subject, issuer, own, signer, hours, begin=-0.1, extensions=()):
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key(own).public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(moment(begin), moment(hours - 0.1)))
        .not_valid_after(moment(hours))
    )
    for oid, content in extensions:
        builder = builder.add_extension(x509.UnrecognizedExtension(oid, content), critical=False)
    return builder.sign(key(signer), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def proxy(hours=12.0, user_hours=1000.0, vo=None, groups=("/cms",), vo_hours=None, begin=-0.1):
    """A proxy: its certificate, its key, the certificate of the user."""
    extensions = [(PROXY_INFO, bytes.fromhex("300c300a06082b06010505071501"))]
    if vo:
        extensions.append((VOMS, attributes(vo, groups, hours if vo_hours is None else vo_hours)))
    first = certificate(f"{USER}/CN=1234", USER, "proxy", "user", hours, begin, extensions)
    return first + pem(key("proxy")) + certificate(USER, "/DC=test/CN=Authority", "user", "authority", user_hours)


def token(lifetime=3600.0, signer="issuer", now=None, **claims):
    """A token of the WLCG profile, issued `now`; a claim that is None is left out."""
    now = time.time() if now is None else now
    content = {
        "iss": ISSUER,
        "sub": "ada",
        "aud": "https://wlcg.cern.ch/jwt/v1/any",
        "scope": "storage.read:/",
        "wlcg.ver": "1.0",
        "iat": int(now),
        "nbf": int(now),
        "exp": int(now + lifetime),
        **claims,
    }
    kept = {name: value for name, value in content.items() if value is not None}
    return jwt.encode(kept, key(signer), algorithm="ES256", headers={"kid": signer}).encode()


def write(path: Path, content: bytes, mode=0o600):
    path.write_bytes(content)
    path.chmod(mode)
    return path
