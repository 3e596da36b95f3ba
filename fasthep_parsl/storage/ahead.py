"""A remote file whose start and end are kept in memory, and that reads ahead while events are processed.

Over a link of 20 ms, each request costs as much as processing some MB. A reader of ROOT or Parquet files begins with many
small reads at both ends of the file. They need no request of their own.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Sequence
from concurrent.futures import Future

from fasthep_parsl.interfaces import InputFileError
from fasthep_parsl.storage.base import Range, RemoteFile
from fasthep_parsl.storage.ranges import Pieces, joined

HEAD = 65_536
"""Bytes of the start of a file that are kept: its header and first folder."""
TAIL = 262_144
"""Bytes of its end: keys, streamers and the tree of most ROOT files; the footer of Parquet files."""
MOST_AHEAD = 64_000_000
"""Bytes that a file reads ahead at most."""


class AheadFile:
    """A remote file that keeps its ends, and reads ahead.

    Parameters
    ----------
    file : RemoteFile
        The file itself.
    head : bytes, optional
        Its start, if it was read already.
    """

    def __init__(self, file: RemoteFile, head: bytes | None = None) -> None:
        self._file = file
        self.url, self.size = file.url, file.size
        tail = Range(max(file.size - TAIL, 0 if head is None else len(head)), file.size)
        ranges = [tail] if head is not None else [Range(0, min(HEAD, tail.start)), tail]
        ranges = [item for item in ranges if item.stop > item.start]
        contents = file.read_many(ranges) if ranges else []
        if head:
            ranges, contents = [Range(0, len(head)), *ranges], [memoryview(head), *contents]
        self._ends = Pieces(ranges, contents)
        self._ahead: _Ahead | None = None

    @property
    def bytes_read(self) -> int:
        """Bytes that were requested so far."""
        return self._file.bytes_read

    def read(self, offset: int, size: int) -> memoryview:
        """Return `size` bytes from `offset`, fewer only at the end of the file."""
        stop = min(offset + size, self.size)
        return self.read_many([Range(offset, stop)])[0] if stop > offset else memoryview(b"")

    def read_many(self, ranges: Sequence[Range]) -> list[memoryview]:
        """Return the bytes of each range. Those that are not in memory are read with as few requests as possible."""
        found = [self._ends.find(*item) for item in ranges]
        if self._ahead is not None and None in found:
            pieces = self._ahead.pieces(ranges)
            found = [
                known if known is not None else pieces.find(*item) for known, item in zip(found, ranges, strict=True)
            ]
        missing = [item for known, item in zip(found, ranges, strict=True) if known is None]
        read = iter(self._file.read_many(missing) if missing else [])
        return [known if known is not None else next(read) for known in found]

    def prefetch(self, ranges: Sequence[Range], *, wait: bool = False) -> None:
        """Begin to read ranges, which replace others that were read ahead before. Errors are those of a later read.

        Parameters
        ----------
        ranges : sequence of Range
            Inside the file.
        wait : bool
            Whether to return when they are read.
        """
        wanted = [item for item in ranges if self._ends.find(*item) is None]
        if self._ahead is not None and all(self._ahead.has(*item) for item in wanted):
            return
        size = sum(stop - start for start, stop in wanted)
        self._ahead = _Ahead(wanted) if 0 < size <= MOST_AHEAD else None
        if self._ahead is not None:
            self._ahead.begin(self._file, wait=wait)

    def close(self) -> None:
        """Release the file and what is kept of it. Never waits for the server."""
        self._ahead = None
        self._ends = Pieces([], [])
        self._file.close()


class _Ahead:
    """Ranges that are read before they are needed."""

    def __init__(self, ranges: list[Range]) -> None:
        self._ranges = joined(ranges, 0)
        self._found: Future[list[memoryview]] = Future()

    def begin(self, file: RemoteFile, *, wait: bool) -> None:
        """Read them, in a thread unless `wait`."""
        if wait:
            self._read(file)
        else:
            threading.Thread(target=self._read, args=(file,), name="read-ahead", daemon=True).start()

    def _read(self, file: RemoteFile) -> None:
        try:
            self._found.set_result(file.read_many(self._ranges))
        except BaseException as error:  # noqa: BLE001 - the read that needs the bytes reports its own error
            self._found.set_exception(error)

    def pieces(self, ranges: Sequence[Range]) -> Pieces:
        """Return what was read, if it has any of `ranges`. Waits until it has arrived.

        Raises
        ------
        InputFileError
            The server has stopped answering. Another read would wait as long again.
        """
        if not any(self.has(*item) for item in ranges):
            return Pieces([], [])
        error = self._found.exception()
        if isinstance(error, InputFileError) and error.cause == "stalled":
            raise error
        return Pieces([], []) if error is not None else Pieces(self._ranges, self._found.result())

    def has(self, start: int, stop: int) -> bool:
        """Return whether bytes [start, stop) are among the ranges."""
        place = bisect_right(self._ranges, start, key=lambda known: known.start) - 1
        return place >= 0 and stop <= self._ranges[place].stop
