"""Writer of ``events.jsonl``: whole lines or none, also when several threads write or the disk is full."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from fasthep_parsl.events.codec import encode
from fasthep_parsl.events.event import VERSION, Event, EventLogHeader
from fasthep_parsl.events.kinds import Observer
from fasthep_parsl.version import __version__


class EventLog:
    """Append-only writer of ``events.jsonl``; the only one in a run.

    Parameters
    ----------
    path : Path
        The file; appended to, after a half-written last line (killed run) was removed.
    observer : callable, optional
        Called with each event after it was written (progress display).
    allowed : callable, optional
        Called before each event: whether this process may still write. Events are dropped if not.
    """

    def __init__(self, path: Path, observer: Observer | None = None, allowed: Callable[[], bool] | None = None) -> None:
        self._lock = threading.Lock()  # pools report from their own threads
        _drop_half_line(path)
        self._file = path.open("ab", buffering=0)
        self._observer = observer
        self._allowed = allowed
        self._owner = threading.get_ident()
        self._error: OSError | None = None
        self._has_header = False

    def __call__(self, event: Event) -> None:
        """Write one event; it must not contain secrets."""
        line = encode(event).encode()
        with self._lock:
            if self._file.closed or (self._allowed is not None and not self._allowed()):
                return
            if not self._write(line):
                return
            if self._observer is not None:
                self._observer(event)

    def _write(self, line: bytes) -> bool:
        """Write a line; return whether that worked.

        Raises
        ------
        OSError
            It did not. Only the thread that opened the log gets it, at its next event if another thread failed.
        """
        if self._error is not None and threading.get_ident() == self._owner:
            error, self._error = self._error, None
            raise error
        try:
            self._append(line if self._has_header else _header() + line)
        except OSError as error:
            if threading.get_ident() == self._owner:
                raise
            self._error = error
            return False
        self._has_header = True
        return True

    def _append(self, line: bytes) -> None:
        """Write a line completely or not at all: half of one would damage the next."""
        begin = self._file.seek(0, 2)
        try:
            written = self._file.write(line)
            if written != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            with contextlib.suppress(OSError):
                self._file.truncate(begin)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _header() -> bytes:
    return encode(EventLogHeader(version=VERSION, software=f"fasthep-parsl {__version__}")).encode()


def _drop_half_line(path: Path) -> None:
    """Remove a last line that a killed run has not finished: the next line would continue it."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        end = size = file.seek(0, 2)
        while end > 0:
            start = max(end - 65_536, 0)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                end = start + found + 1
                break
            end = start
        if end < size:
            file.truncate(end)
