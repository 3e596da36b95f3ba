"""The credentials that the next connection uses: found at each open, read again only if a file or variable changed.

Clients of the same process take them from environment variables. `Logins` corrects those variables where the
XRootD client would fail or crash: it starts TLS and GSI once per process, with what the variables are at that time.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path

from fasthep_parsl.credential_files import CredentialFileError
from fasthep_parsl.credential_files.private_files import file_problems, read_file
from fasthep_parsl.credential_files.proxies import VARIABLE as PROXY
from fasthep_parsl.credential_files.proxies import default_proxy
from fasthep_parsl.credential_files.tokens import ENVIRONMENT, FILE_VARIABLE, RUNTIME_DIR, default_places, token_text

AUTHORITIES = "X509_CERT_DIR"
AUTHORITY_FOLDERS = (
    "/etc/grid-security/certificates",
    "/cvmfs/grid.cern.ch/etc/grid-security/certificates",
    "/cvmfs/oasis.opensciencegrid.org/mis/certificates",
)
"""Where the certificates of the authorities of the grid are, if X509_CERT_DIR does not say."""
CREATE_PROXY = "XrdSecGSICREATEPROXY"


@dataclass(frozen=True, slots=True)
class Login:
    """Credentials of a connection.

    Attributes
    ----------
    tag : str
        Short hash of them, for the name of the connection; empty without credentials.
    token : str
        The bearer token, empty if there is none that clients accept.
    proxy : str
        File of the proxy, empty if there is none that clients accept.
    """

    tag: str = ""
    token: str = field(default="", repr=False)
    proxy: str = ""


class Logins:
    """Finds the credentials of this process, and remembers them while their variables and files are the same.

    Parameters
    ----------
    environ : mapping
        The environment variables.
    """

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        self._environ = environ
        self._lock = threading.Lock()
        self._named: tuple[str, str] | None = None
        self._places: tuple[str, ...] = ()
        self._key: tuple[object, ...] = ()
        self._login: Login | None = None
        self._hidden = ""
        """A value of X509_USER_PROXY that is not in the environment now: its file is bad, and there is a token."""

    def current(self) -> Login:
        """Return the credentials to use now, and correct the variables for clients. It takes a few microseconds."""
        environ = self._environ
        with self._lock:
            proxy = environ.get(PROXY, "") or self._hidden
            file = proxy.strip() or _DEFAULT_PROXY
            value = environ.get(ENVIRONMENT, "")
            named = environ.get(FILE_VARIABLE, ""), environ.get(RUNTIME_DIR, "")
            if named != self._named:
                variables = {FILE_VARIABLE: named[0], RUNTIME_DIR: named[1]}
                self._places = tuple(str(path) for path, _ in default_places(variables))
                self._named = named
            version = _version(file)
            key = (value, proxy, version, named, *map(_version, self._places))
            if self._login is None or key != self._key:
                self._login = _login(_token(value, self._places), file, version)
                self._correct(proxy)
                self._key = key
            return self._login

    def _correct(self, proxy: str) -> None:
        """Correct the variables that make clients fail.

        Without X509_CERT_DIR, neither TLS nor GSI works. A proxy that is missing or that others may read breaks the
        TLS that tokens need. XrdSecGSICREATEPROXY without a proxy crashes the process.
        """
        environ, login = self._environ, self._login or Login()
        if not Path(environ.get(AUTHORITIES, "") or "/nowhere").is_dir():
            found = next((folder for folder in AUTHORITY_FOLDERS if Path(folder).is_dir()), "")
            if found:
                environ[AUTHORITIES] = found
        if proxy and login.token and not login.proxy:
            self._hidden = proxy
            environ.pop(PROXY, None)
        elif self._hidden and PROXY not in environ:
            environ[PROXY], self._hidden = self._hidden, ""
        if not login.proxy:
            environ.pop(CREATE_PROXY, None)


_DEFAULT_PROXY = str(default_proxy())
_OF_PROCESS = Logins(os.environ)


def current_login() -> Login:
    """Return the credentials that clients of this process should use now; see `Logins`."""
    return _OF_PROCESS.current()


def _version(path: str) -> tuple[int, int, int] | None:
    """Return what changes if a file is replaced or written to; None if it does not exist."""
    try:
        stat = os.stat(path)  # noqa: PTH116 - a Path costs as much again
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ino, stat.st_mode


def _login(token: str, proxy: str, version: object) -> Login:
    good = version is not None and not file_problems(Path(proxy), "proxy")
    if not token and not good:
        return Login()
    state = f"{token}|{proxy}|{version}" if good else token
    return Login(hashlib.sha256(state.encode()).hexdigest()[:8], token, proxy if good else "")


def _token(value: str, places: Iterable[str]) -> str:
    """Return the first token, as WLCG's discovery does. One that clients refuse ends the search."""
    try:
        if value.strip():
            return token_text(value.encode())
        for place in places:
            if _version(place) is None:
                continue
            content = read_file(Path(place), "token")
            if content.strip():
                return "" if file_problems(Path(place), "token") else token_text(content)
    except CredentialFileError:
        return ""
    return ""
