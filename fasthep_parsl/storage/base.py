"""What every remote file provides, and how long its server may take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Range(NamedTuple):
    """Bytes [start, stop) of a file."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class StorageLimits:
    """How long a server may take, and how often it is asked.

    Attributes
    ----------
    open_timeout : float
        Seconds for opening a file.
    read_timeout : float
        Seconds for a read.
    retries : int
        How often an operation is repeated after a passing fault: a lost connection, a time-out, a busy server.
    """

    open_timeout: float = 30.0
    read_timeout: float = 60.0
    retries: int = 3


class RemoteFile(Protocol):
    """An open remote file.

    Attributes
    ----------
    url : str
        Where it is, without credentials.
    size : int
        Bytes of the file.
    bytes_read : int
        Bytes that were requested so far.
    """

    @property
    def url(self) -> str: ...  # noqa: D102
    @property
    def size(self) -> int: ...  # noqa: D102
    @property
    def bytes_read(self) -> int: ...  # noqa: D102

    def read(self, offset: int, size: int) -> memoryview:
        """Return `size` bytes from `offset`, fewer only at the end of the file.

        Raises
        ------
        InputFileError
            The server refuses, or does not answer in time; `cause` says which.
        """

    def read_many(self, ranges: Sequence[Range]) -> list[memoryview]:
        """Return the bytes of each range, all of which are inside the file, in as few requests as possible.

        Raises
        ------
        InputFileError
            The server refuses, does not answer in time, or sends too few bytes.
        """

    def close(self) -> None:
        """Release the file. Never waits for the server."""
