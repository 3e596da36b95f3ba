"""A file on a server of https or WebDAV, read in ranges over several connections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fasthep_parsl.storage.address import shown
from fasthep_parsl.storage.base import Range, StorageLimits
from fasthep_parsl.storage.faults import Fault, FaultError
from fasthep_parsl.storage.login import Login, current_login
from fasthep_parsl.storage.messages import input_error
from fasthep_parsl.storage.parallel import in_parallel
from fasthep_parsl.storage.ranges import Pieces, cut, joined
from fasthep_parsl.storage.retries import repeated
from fasthep_parsl.storage.web_client import CONNECTIONS, WEB_OF_PROCESS, Answer, web_url

GAP = 64_000
"""Bytes between two ranges that are read with them: a request costs more."""
MOST_BYTES = 2_000_000
"""Bytes of a request. More are read over several connections."""


class WebFile:
    """A file on a server of https or WebDAV.

    Parameters
    ----------
    url : str
        Where it is.
    limits : StorageLimits
        How long the server may take.
    head : int
        Bytes of its start to read while it is opened: the answer says how large it is.

    Attributes
    ----------
    head : bytes
        The start of the file.

    Raises
    ------
    InputFileError
        It cannot be opened.
    """

    def __init__(self, url: str, limits: StorageLimits, head: int) -> None:
        self.url = shown(url)
        self.bytes_read = 0
        self.size = -1
        self._target = self._server = web_url(url)
        self._limits = limits
        try:
            answer = repeated(lambda left: self._get(Range(0, head), left), limits.open_timeout, limits.retries)
        except FaultError as error:
            raise input_error(url, _of_opening(error.fault, limits)) from None
        self.size = answer.size
        self.head = answer.content

    def _get(self, span: Range, seconds: float) -> Answer:
        """Return a range, asked for with the credentials of now."""
        login = current_login()
        try:
            answer = self._ask(span, login, seconds)
        except FaultError as error:
            second = self._second(error.fault, login)
            self._server = self._target
            if second is None:
                raise
            answer = self._ask(span, second, seconds)
        if self.size not in (-1, answer.size):
            text = f"it has {answer.size:,} bytes now, and had {self.size:,}"
            raise FaultError(Fault("corrupt", False, text))
        self.bytes_read += len(answer.content)
        self._server = answer.url
        return answer

    def _second(self, fault: Fault, login: Login) -> Login | None:
        """Return credentials for a second attempt after a refusal, None if it has no prospect."""
        if fault.cause not in ("not_authenticated", "not_permitted", "not_found"):
            return None
        fresh = current_login()
        if fresh != login or self._server != self._target:  # renewed; or the ticket of a redirect has expired
            return fresh
        if login.token and login.proxy and fault.cause != "not_found":  # the proxy may permit what the token does not
            return replace(login, token="")
        return None

    def _ask(self, span: Range, login: Login, seconds: float) -> Answer:
        return WEB_OF_PROCESS.get(self._target, self._server, span, login, seconds)

    def read(self, offset: int, size: int) -> memoryview:
        """Return `size` bytes from `offset`, fewer only at the end of the file."""
        stop = min(offset + size, self.size)
        return self.read_many([Range(offset, stop)])[0] if stop > offset else memoryview(b"")

    def read_many(self, ranges: Sequence[Range]) -> list[memoryview]:
        """Return the bytes of each range, over several connections."""
        pieces = cut(joined(ranges, GAP), MOST_BYTES)
        contents = list(in_parallel(self._piece, pieces, CONNECTIONS))
        pieces_read = Pieces(pieces, contents)
        found = [pieces_read.find(*item) for item in ranges]
        whole = [content for content in found if content is not None]
        if len(whole) < len(found):
            raise input_error(
                self.url, Fault("corrupt", False, "the server sent fewer bytes than asked for"), "reading fails"
            )
        return whole

    def _piece(self, piece: Range) -> bytes:
        try:
            limits = self._limits
            return repeated(lambda left: self._get(piece, left), limits.read_timeout, limits.retries).content
        except FaultError as error:
            fault = error.fault
            if fault.cause == "stalled":
                fault = Fault(fault.cause, True, f"the server stopped answering for {self._limits.read_timeout:g} s")
            raise input_error(self.url, fault, "reading fails") from None

    def close(self) -> None:
        """Release the file. The connections stay open for other files."""


def _of_opening(fault: Fault, limits: StorageLimits) -> Fault:
    if fault.cause != "stalled":
        return fault
    return Fault("unreachable", True, f"the server did not answer within {limits.open_timeout:g} s")
