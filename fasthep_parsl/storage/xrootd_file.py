"""A file on an XRootD server, read with vector reads."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from fasthep_parsl.storage.address import shown, with_user
from fasthep_parsl.storage.base import Range, StorageLimits
from fasthep_parsl.storage.faults import AUTH_FAILED, NOT_AUTHORIZED, Fault, FaultError, from_xrootd
from fasthep_parsl.storage.login import current_login
from fasthep_parsl.storage.messages import input_error
from fasthep_parsl.storage.parallel import in_parallel
from fasthep_parsl.storage.ranges import Pieces, cut, groups, joined
from fasthep_parsl.storage.retries import repeated
from fasthep_parsl.storage.xrootd_client import PROTOCOL, connection_name, load, note_stall, opening

MOST_RANGES = 1024
"""Ranges of a vector read, and their size: what servers accept (`readv_iov_max`, `readv_ior_max`)."""
MOST_BYTES = 2_097_136
MOST_AT_ONCE = 8_000_000
"""Bytes of a request, which must arrive within the time limit."""
PARALLEL = 2
"""Requests that are under way at once, if a read needs several."""
GAP = 4096
"""Bytes between two ranges that are read with them: they cost less than a range of their own."""
LATE = 0.5
"""Part of the time limit after which an answer shows that the connection has stalled."""


class XRootDFile:
    """A file on an XRootD server.

    Parameters
    ----------
    url : str
        Where it is.
    limits : StorageLimits
        How long the server may take.

    Raises
    ------
    InputFileError
        It cannot be opened.
    """

    def __init__(self, url: str, limits: StorageLimits) -> None:
        self.url = shown(url)
        self.bytes_read = 0
        self._target = url
        self._limits = limits
        self._client = load(limits)
        try:
            self._file, self.size = repeated(self._open, limits.open_timeout, limits.retries)
        except FaultError as error:
            raise input_error(url, _of_opening(error.fault, limits)) from None

    def _open(self, seconds: float) -> tuple[Any, int]:
        """Open with the credentials of now: a connection keeps those it has begun with, so each has its own name."""
        login = current_login()
        file, status = self._connect(login.tag, seconds)
        if _refused(status) and login != (fresh := current_login()):  # renewed meanwhile
            login = fresh
            file, status = self._connect(login.tag, seconds)
        if status.errno == NOT_AUTHORIZED and login.token and login.proxy and _may_choose():
            # The token has won, but does not permit it. The proxy may.
            second, other = self._connect(f"{login.tag[:7]}x", seconds, "gsi")
            file, status = (second, other) if other.ok else (file, status)
        if not status.ok:
            raise FaultError(from_xrootd(status))
        status, info = file.stat(timeout=math.ceil(seconds))  # the answer to `open` has contained it
        if not status.ok:
            raise FaultError(from_xrootd(status))
        return file, int(info.size)

    def _connect(self, tag: str, seconds: float, protocol: str = "") -> tuple[Any, Any]:
        file = self._client.File()
        with opening(protocol):
            name = connection_name(self._target, tag)
            status, _ = file.open(with_user(self._target, name), timeout=math.ceil(seconds))
        return file, status

    def read(self, offset: int, size: int) -> memoryview:
        """Return `size` bytes from `offset`, fewer only at the end of the file."""
        stop = min(offset + size, self.size)
        return self.read_many([Range(offset, stop)])[0] if stop > offset else memoryview(b"")

    def read_many(self, ranges: Sequence[Range]) -> list[memoryview]:
        """Return the bytes of each range, with one request for up to 8 MB."""
        pieces = cut(joined(ranges, GAP), MOST_BYTES)
        requests = list(groups(pieces, MOST_RANGES, MOST_AT_ONCE))
        contents = [content for found in in_parallel(self._request, requests, PARALLEL) for content in found]
        self.bytes_read += sum(map(len, contents))
        found = Pieces(pieces, contents)
        return [_complete(found.find(*item), self) for item in ranges]

    def _request(self, pieces: list[Range]) -> list[bytes]:
        """Return the bytes of each piece, with one request."""
        if len(pieces) == 1:
            start, stop = pieces[0]
            return [self._again(lambda file, seconds: file.read(start, stop - start, timeout=seconds))]
        chunks = [(start, stop - start) for start, stop in pieces]
        answer = self._again(lambda file, seconds: file.vector_read(chunks, timeout=seconds))
        return [chunk.buffer for chunk in answer.chunks]

    def _again(self, operation: Callable[[Any, int], tuple[Any, Any]]) -> Any:
        """Return the result of an operation. Open the file again before it is repeated."""
        broken = False

        def attempt(seconds: float) -> Any:
            nonlocal broken
            if broken:
                self._reopen(seconds)
            begun = time.monotonic()
            status, found = operation(self._file, math.ceil(seconds))
            if time.monotonic() - begun > LATE * self._limits.read_timeout:
                note_stall(self._target)  # the client has connected again, and has asked once more, without a word
            if not status.ok:
                broken = True
                raise FaultError(from_xrootd(status))
            return found

        try:
            return repeated(attempt, self._limits.read_timeout, self._limits.retries)
        except FaultError as error:
            fault = error.fault
            if fault.cause == "stalled":
                note_stall(self._target)
                fault = Fault(fault.cause, True, f"the server stopped answering for {self._limits.read_timeout:g} s")
            raise input_error(self._target, fault, "reading fails") from None

    def _reopen(self, seconds: float) -> None:
        file, size = self._open(seconds)
        if size != self.size:
            raise FaultError(Fault("corrupt", False, f"it has {size:,} bytes now, and had {self.size:,}"))
        self._file = file

    def close(self) -> None:
        """Release the file. The client tells the server, and does not wait for an answer."""
        self._file = None


def _may_choose() -> bool:
    """Return whether the client may use tokens and proxies: nobody has decided for one of both."""
    allowed = os.environ.get(PROTOCOL, "")
    return not allowed or {"gsi", "ztn"} <= set(allowed.split(","))


def _refused(status: Any) -> bool:
    return bool(status.errno == NOT_AUTHORIZED or status.code == AUTH_FAILED)


def _of_opening(fault: Fault, limits: StorageLimits) -> Fault:
    if fault.cause != "stalled":
        return fault
    return Fault("unreachable", True, f"the server did not answer within {limits.open_timeout:g} s")


def _complete(found: memoryview | None, file: XRootDFile) -> memoryview:
    if found is None:
        fault = Fault("corrupt", False, "the server sent fewer bytes than the file has")
        raise input_error(file.url, fault, "reading fails")
    return found
