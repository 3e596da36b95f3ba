"""Remote ROOT files for uproot: all ranges that it asks for at once are one request."""

from __future__ import annotations

from collections.abc import Sequence
from queue import Queue
from typing import Any, Self

from uproot.source.chunk import Chunk, Source
from uproot.source.futures import TrivialFuture

from fasthep_parsl.interfaces import InputFileError
from fasthep_parsl.storage import Range, current_limits, open_remote

EMPTY = "was it written to the end?"


class RemoteSource(Source):  # type: ignore[misc] # uproot has no types
    """Bytes of a remote file.

    Parameters
    ----------
    file_path : str
        Its URL.
    options : object
        Of uproot; none is used.
    """

    def __init__(self, file_path: str, **options: Any) -> None:  # noqa: ARG002 - uproot passes all of its options
        super().__init__()
        self._file_path = file_path
        self._file = open_remote(file_path, current_limits())
        self._num_bytes = self._file.size
        if not self._num_bytes:
            self._file.close()
            raise InputFileError(self._file.url, "the file is empty (0 bytes)", EMPTY, cause="corrupt")
        self._closed = False

    def chunk(self, start: int, stop: int) -> Chunk:
        """Return bytes [start, stop), fewer at the end of the file."""
        self._count(1, stop - start)
        return self._chunk(start, stop, self._file.read(int(start), int(stop - start)))

    def chunks(self, ranges: Sequence[tuple[int, int]], notifications: Queue[Chunk]) -> list[Chunk]:
        """Return the bytes of each range, read at once."""
        self._count(len(ranges), sum(stop - start for start, stop in ranges))
        contents = self._file.read_many(self._inside(ranges))
        found = [self._chunk(*span, content) for span, content in zip(ranges, contents, strict=True)]
        for chunk in found:
            notifications.put(chunk)
        return found

    def prefetch(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Begin to read ranges that will be asked for next."""
        self._file.prefetch(self._inside(ranges))

    def read_now(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Read ranges at once that will be asked for one by one next."""
        self._file.prefetch(self._inside(ranges), wait=True)

    def _inside(self, ranges: Sequence[tuple[int, int]]) -> list[Range]:
        return [Range(int(start), min(int(stop), self._file.size)) for start, stop in ranges]

    def _count(self, chunks: int, size: int) -> None:
        self._num_requests += 1
        self._num_requested_chunks += chunks
        self._num_requested_bytes += size

    def _chunk(self, start: int, stop: int, content: memoryview) -> Chunk:
        return Chunk(self, start, stop, TrivialFuture(content))

    @property
    def closed(self) -> bool:
        """Whether the file was closed."""
        return self._closed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._closed = True
        self._file.close()

    def __repr__(self) -> str:
        return f"<RemoteSource {self._file.url!r}>"
