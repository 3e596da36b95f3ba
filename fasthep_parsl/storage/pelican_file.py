"""A file of a Pelican federation, such as OSDF, read by its client `pelicanfs`, which finds the nearest cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooLateError
from threading import Thread
from typing import Any, TypeVar

from fasthep_parsl.storage.address import shown
from fasthep_parsl.storage.base import Range, StorageLimits
from fasthep_parsl.storage.faults import Fault, FaultError, from_http
from fasthep_parsl.storage.login import current_login
from fasthep_parsl.storage.messages import input_error
from fasthep_parsl.storage.ranges import Pieces, joined
from fasthep_parsl.storage.retries import repeated

T = TypeVar("T")

GAP = 64_000
"""Bytes between two ranges that are read with them: a request costs more."""


class PelicanFile:
    """A file of a federation.

    Parameters
    ----------
    url : str
        ``osdf:///path`` or ``pelican://federation/path``.
    limits : StorageLimits
        How long the caches may take.

    Raises
    ------
    InputFileError
        It cannot be opened.
    """

    def __init__(self, url: str, limits: StorageLimits) -> None:
        import fsspec

        self.url = shown(url)
        self.bytes_read = 0
        self._limits = limits
        token = current_login().token
        options = {"headers": {"Authorization": f"Bearer {token}"}} if token else {}
        try:
            self._system, self._path = fsspec.core.url_to_fs(url, **options)
            self.size = int(self._again(lambda: self._system.info(self._path)["size"], limits.open_timeout))
        except FaultError as error:
            raise input_error(url, error.fault) from None

    def _again(self, operation: Callable[[], T], seconds: float) -> T:
        return repeated(lambda left: _timed(operation, left), seconds, self._limits.retries)

    def read(self, offset: int, size: int) -> memoryview:
        """Return `size` bytes from `offset`, fewer only at the end of the file."""
        stop = min(offset + size, self.size)
        return self.read_many([Range(offset, stop)])[0] if stop > offset else memoryview(b"")

    def read_many(self, ranges: Sequence[Range]) -> list[memoryview]:
        """Return the bytes of each range."""
        pieces = joined(ranges, GAP)
        starts, stops = [start for start, _ in pieces], [stop for _, stop in pieces]
        paths = [self._path] * len(pieces)
        try:
            contents = self._again(
                lambda: self._system.cat_ranges(paths, starts, stops, on_error="raise"), self._limits.read_timeout
            )
        except FaultError as error:
            raise input_error(self.url, error.fault, "reading fails") from None
        self.bytes_read += sum(map(len, contents))
        read = Pieces(pieces, contents)
        found = [content for item in ranges if (content := read.find(*item)) is not None]
        if len(found) < len(ranges):
            fault = Fault("corrupt", False, "the cache sent fewer bytes than asked for")
            raise input_error(self.url, fault, "reading fails")
        return found

    def close(self) -> None:
        """Release the file."""


def _timed(operation: Callable[[], T], seconds: float) -> T:
    """Return the result of an operation of fsspec, which has no time limit of its own."""
    found: Future[T] = Future()

    def work() -> None:
        try:
            found.set_result(operation())
        except BaseException as error:  # noqa: BLE001 - raised below
            found.set_exception(error)

    Thread(target=work, name="pelican", daemon=True).start()
    try:
        return found.result(seconds)
    except (TimeoutError, TooLateError):
        raise FaultError(Fault("stalled", True, f"no cache answered within {seconds:.0f} s")) from None
    except Exception as error:  # noqa: BLE001 - the client raises those of aiohttp and its own
        raise FaultError(_fault(error)) from None


def _fault(error: Any) -> Fault:
    code = getattr(error, "status", None)
    if isinstance(code, int):
        return from_http(code)
    if isinstance(error, FileNotFoundError):
        return Fault("not_found", False, "no such file")
    if isinstance(error, PermissionError):
        return Fault("not_permitted", False, "permission denied")
    return Fault("unreachable", True, f"the federation cannot be used ({type(error).__name__})")
