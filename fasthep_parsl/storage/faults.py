"""What a server or a client reports, by its code. The class of an exception and the text say too little."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Protocol

from fasthep_parsl.interfaces import InputFault

TIMED_OUT = 206
"""`errOperationExpired`: the client has stopped waiting."""
SERVER_ANSWERED = 400
"""`errErrorResponse`: the server has sent an error; its number is `errno`."""
AUTH_FAILED = 204
NOT_AUTHORIZED = 3010

_CLIENT: dict[int, tuple[InputFault, bool, str]] = {
    101: ("unreachable", True, "its host name is not known"),
    102: ("unreachable", True, "the connection failed"),
    103: ("unreachable", True, "the connection timed out"),
    104: ("unreachable", True, "the connection was closed"),
    105: ("unreachable", True, "the connection failed"),
    107: ("unreachable", True, "the connection was lost"),
    108: ("unreachable", True, "the connection failed: no server listens there, or a firewall blocks it"),
    109: ("unreachable", True, "the server does not know this session"),
    110: ("unreachable", False, "TLS failed"),
    202: ("unreachable", True, "the server does not speak XRootD"),
    203: ("not_authenticated", False, "the login failed"),
    AUTH_FAILED: ("not_authenticated", False, "the server accepts none of the credentials"),
    TIMED_OUT: ("stalled", True, "the server did not answer"),
    207: ("unreachable", True, "the operation was interrupted"),
    303: ("corrupt", True, "the server sent a wrong answer"),
    304: ("not_found", False, "no such file"),
    305: ("corrupt", True, "the checksum of the data is wrong"),
    306: ("unreachable", False, "the servers redirect in a circle"),
    307: ("corrupt", True, "the server sent a damaged answer"),
}
"""Codes of the XRootD client (XrdCl/XrdClStatus.hh) → cause, whether it passes, what happened."""
_SERVER: dict[int, tuple[InputFault, bool, str]] = {
    3007: ("unreachable", True, "the server cannot read it"),
    3008: ("unreachable", True, "the server has no memory left"),
    NOT_AUTHORIZED: ("not_permitted", False, "permission denied"),
    3011: ("not_found", False, "no such file"),
    3012: ("unreachable", True, "the server has a problem"),
    3014: ("unreachable", True, "no server is ready"),
    3015: ("not_found", False, "it is not a file"),
    3016: ("not_found", False, "it is a folder"),
    3019: ("corrupt", True, "the checksum is wrong"),
    3024: ("unreachable", True, "the server is overloaded"),
    3028: ("not_authenticated", False, "the server wants TLS"),
    3029: ("unreachable", True, "no server has it now"),
    3030: ("not_authenticated", False, "the server accepts none of the credentials"),
    3034: ("stalled", True, "the server waited too long for its disk"),
    3035: ("stalled", True, "the server waited too long for its disk"),
}
"""Codes of servers (XProtocol.hh, kXR_ErrorCode) → the same."""
_HTTP: dict[int, tuple[InputFault, bool, str]] = {
    401: ("not_authenticated", False, "the server wants a credential"),
    403: ("not_permitted", False, "permission denied"),
    404: ("not_found", False, "no such file"),
    408: ("unreachable", True, "the server timed out"),
    410: ("not_found", False, "the file is gone"),
    416: ("corrupt", False, "the file is shorter than it was"),
    425: ("unreachable", True, "the server is not ready"),
    429: ("unreachable", True, "the server is overloaded"),
    501: ("unreachable", False, "the server cannot read parts of files"),
}
"""Status codes of HTTP → the same. Others of 500 and more pass."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an operation on a remote file failed.

    Attributes
    ----------
    cause : str
        See `InputFault`.
    passing : bool
        Whether to try again.
    text : str
        What happened, with the server's code; without secrets.
    hint : str
        What to do, if the cause does not say it all.
    hung_up : bool
        Whether the server has closed the connection without a word. With TLS 1.3, its alert about our certificate may
        be lost in that way.
    """

    cause: InputFault
    passing: bool
    text: str
    hint: str = ""
    hung_up: bool = False


class FaultError(Exception):
    """An operation on a remote file failed. It does not leave this package."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault = fault


class Status(Protocol):
    """What the XRootD client returns for an operation."""

    ok: bool
    code: int
    errno: int


def from_xrootd(status: Status) -> Fault:
    """Return what a status of the XRootD client means."""
    if status.code == SERVER_ANSWERED:
        cause, passing, text = _SERVER.get(status.errno, ("unreachable", False, "the server refuses"))
        return Fault(cause, passing, f"{text} [{status.errno}]")
    cause, passing, text = _CLIENT.get(status.code, ("unreachable", True, f"the XRootD client reports {status.code}"))
    return Fault(cause, passing, text)


def from_http(code: int) -> Fault:
    """Return what a status code of HTTP means."""
    if code not in _HTTP:
        text = "the server has a problem" if code >= 500 else "the server refuses"
        return Fault("unreachable", code >= 500, f"{text} [HTTP {code}]")
    cause, passing, text = _HTTP[code]
    return Fault(cause, passing, f"{text} [HTTP {code}]")


_ALERTS = ("certificate_expired", "certificate_required", "bad_certificate", "certificate_unknown", "unknown_ca",
           "access_denied", "certificate_revoked", "handshake_failure")  # fmt: skip
"""What a server sends in TLS if it refuses the certificate of the client (RFC 8446, 6.2)."""


def from_tls(error: ssl.SSLError) -> Fault:
    """Return what an error of TLS means: our certificate is refused, or theirs."""
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = error.verify_message or "its certificate is not valid"
        hint = "set X509_CERT_DIR to the folder with the certificates of the authorities"
        return Fault("unreachable", False, f"its certificate cannot be trusted: {reason}", hint)
    reason = (error.reason or "").lower()
    if any(alert in reason for alert in _ALERTS) and "alert" in reason:
        return Fault("not_authenticated", False, f"the server refuses the certificate of the proxy ({reason})")
    hung_up = not reason or isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)
    return Fault("unreachable", True, f"TLS failed ({reason or 'the server has hung up'})", hung_up=hung_up)
