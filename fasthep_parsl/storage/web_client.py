"""Requests over https: connections that are kept, authorities, and credentials that stay where they belong."""

from __future__ import annotations

import os
import ssl
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urljoin, urlsplit

from fasthep_parsl.storage.address import WEB
from fasthep_parsl.storage.base import Range
from fasthep_parsl.storage.faults import Fault, FaultError, from_http, from_tls
from fasthep_parsl.storage.login import AUTHORITIES, Login

CONNECTIONS = 8
"""Connections to a server that a process keeps."""
MOST_REDIRECTS = 10
PART = 1 << 20
"""Bytes that are read at once; the time limit is checked between them."""
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_POOLS = 4


class Answer(NamedTuple):
    """Part of a file that a server has sent.

    Attributes
    ----------
    content : bytes
        The bytes of the range, fewer only at the end of the file.
    size : int
        Bytes of the whole file.
    url : str
        The server that has sent it, after redirects; may contain a secret.
    """

    content: bytes
    size: int
    url: str


class Web:
    """Connections of this process. TLS presents a proxy when a connection begins; a token is sent with each request."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pools: dict[tuple[object, ...], Any] = {}

    def get(self, origin: str, url: str, span: Range, login: Login, seconds: float) -> Answer:
        """Return a range of a file.

        Parameters
        ----------
        origin : str
            The file, as the user names it.
        url : str
            The same, or where an earlier request was redirected to.
        span : Range
            Bytes to read.
        login : Login
            Credentials. They go to the host of `origin` and its domain only, and only over https.
        seconds : float
            Time limit.

        Raises
        ------
        FaultError
            The server refuses, cannot be reached, or is too slow.
        """
        end = time.monotonic() + seconds
        first = urlsplit(origin)
        for _ in range(MOST_REDIRECTS):
            response = self._send(url, span, login if is_trusted(first, urlsplit(url)) else Login(), end)
            if response.status not in _REDIRECTS:
                return _answer(response, url, span, end)
            response.drain_conn()
            url = _redirected(url, response.headers.get("Location", ""))
        raise FaultError(Fault("unreachable", False, "the servers redirect in a circle"))

    def _send(self, url: str, span: Range, login: Login, end: float) -> Any:
        import urllib3

        headers = {"Range": f"bytes={span.start}-{span.stop - 1}", "Accept-Encoding": "identity"}
        if login.token:
            headers["Authorization"] = f"Bearer {login.token}"
        left = max(end - time.monotonic(), 0.05)
        limit = urllib3.Timeout(connect=left, read=left)
        try:
            return self._pool(login).request(
                "GET", url, headers=headers, timeout=limit, redirect=False, preload_content=False
            )
        except urllib3.exceptions.HTTPError as error:
            raise FaultError(fault_of(error)) from None

    def _pool(self, login: Login) -> Any:
        import urllib3

        proxy = "" if login.token else login.proxy
        folder = os.environ.get(AUTHORITIES, "")
        key = (os.getpid(), login.tag if proxy else "", folder)
        with self._lock:
            if key not in self._pools:
                while len(self._pools) >= _MOST_POOLS:
                    self._pools.pop(next(iter(self._pools))).clear()
                self._pools[key] = urllib3.PoolManager(
                    num_pools=16, maxsize=CONNECTIONS, retries=False, ssl_context=tls_context(folder, proxy)
                )
            return self._pools[key]


WEB_OF_PROCESS = Web()


def web_url(url: str) -> str:
    """Return a URL with the scheme that is spoken: https for davs."""
    scheme, separator, rest = url.partition("://")
    return f"{WEB[scheme.lower()]}{separator}{rest}"


def is_trusted(first: SplitResult, other: SplitResult) -> bool:
    """Return whether the credentials for a server may be sent to one that it redirects to.

    Over https, the same host and its neighbours: storage of the grid redirects to its data servers, and wants the token
    there. A name of two parts has no neighbours, as in ``cern.ch``.
    """
    if other.scheme != "https":
        return False
    if first.hostname == other.hostname:
        return True
    domain = (first.hostname or "").partition(".")[2]
    return "." in domain and not domain.replace(".", "").isdigit() and (other.hostname or "").endswith(f".{domain}")


def tls_context(folder: str, proxy: str) -> ssl.SSLContext:
    """Return the settings of TLS: the authorities of the system and of the grid, and the proxy as our certificate."""
    context = ssl.create_default_context()
    # Python 3.13 demands extensions that certificates of grid authorities and proxies may lack; other clients do not
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not context.cert_store_stats()["x509_ca"]:  # Python was built elsewhere, and does not find those of the system
        import certifi

        context.load_verify_locations(certifi.where())
    if folder and Path(folder).is_dir():
        context.load_verify_locations(capath=folder)
    if proxy:
        try:
            context.load_cert_chain(proxy)
        except (OSError, ssl.SSLError) as error:
            text = f"the proxy cannot be used for TLS ({type(error).__name__})"
            raise FaultError(Fault("not_authenticated", False, text)) from None
    return context


def _redirected(url: str, location: str) -> str:
    """Return where a response leads to."""
    try:
        found = urljoin(url, location)
        scheme = urlsplit(found).scheme
    except ValueError:
        raise FaultError(Fault("unreachable", False, "the server redirects to what is not a URL")) from None
    if scheme not in ("http", "https"):
        raise FaultError(Fault("unreachable", False, "the server redirects to another protocol"))
    return found


def _answer(response: Any, url: str, span: Range, end: float) -> Answer:
    """Return the content of an answer. A server that ignores ranges sends the file from its start."""
    import urllib3

    if response.status == 416 and response.headers.get("Content-Range", "").endswith("*/0"):
        response.close()
        return Answer(b"", 0, url)  # an empty file has no ranges
    if response.status not in (200, 206):
        response.close()  # with what it says, which is not read
        raise FaultError(from_http(response.status))
    whole = response.status == 200
    size = _size(response, whole)
    wanted = min(span.stop, size) - (0 if whole else span.start)
    content = bytearray()
    try:
        while len(content) < wanted:
            part = response.read1(min(PART, wanted - len(content)))
            if not part:
                raise FaultError(Fault("unreachable", True, "the connection was closed before the end of the answer"))
            content += part
            if time.monotonic() > end:
                raise FaultError(Fault("stalled", True, "the server is too slow"))
    except urllib3.exceptions.HTTPError as error:
        raise FaultError(fault_of(error)) from None
    finally:
        if len(content) == wanted and not (whole and wanted < size):
            response.drain_conn()  # only then can the connection be used again
        else:
            response.close()
    return Answer(bytes(content[span.start :] if whole else content), size, url)


def _size(response: Any, whole: bool) -> int:
    text = response.headers.get("Content-Length", "") if whole else response.headers.get("Content-Range", "")
    digits = text.rpartition("/")[2]
    if not digits.isdigit():
        raise FaultError(Fault("unreachable", False, "the server does not say how large the file is"))
    return int(digits)


_FAULTS = {
    "ReadTimeoutError": Fault("stalled", True, "the server did not answer"),
    "NameResolutionError": Fault("unreachable", True, "its host name is not known"),
    "NewConnectionError": Fault(
        "unreachable", True, "the connection failed: no server listens there, or a firewall blocks it"
    ),
    "ConnectTimeoutError": Fault("unreachable", True, "the connection timed out"),
    "LocationValueError": Fault("unreachable", False, "it is not a valid URL"),
    "ProtocolError": Fault("unreachable", True, "the connection was lost", hung_up=True),
}
"""Exception of urllib3 → what it means; subclasses come first."""


def fault_of(error: Exception) -> Fault:
    """Return what an exception of urllib3 means, by what it was raised from; its text may contain the URL."""
    import urllib3

    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, ssl.SSLError):
            return from_tls(inner)
        inner = inner.__cause__ or inner.__context__ or (inner.args[0] if _wraps(inner) else None)
    for kind, fault in _FAULTS.items():
        if isinstance(error, getattr(urllib3.exceptions, kind)):
            return fault
    return Fault("unreachable", True, f"the connection failed ({type(error).__name__})")


def _wraps(error: BaseException) -> bool:
    return bool(error.args) and isinstance(error.args[0], BaseException)
