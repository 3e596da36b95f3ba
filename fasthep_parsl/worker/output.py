"""Output, warnings and log messages of users' ops: one file per stage and task, joined to one log per stage at the end.

The files are in ``work/output`` of the run directory. Workers without access to it send them with their results.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from fasthep_parsl.worker import trail

PARTS = Path("work", "output")
MOST = 1_000_000
"""Number of characters that are kept for a stage and a task."""


class _Sink:
    """A file that is created with the first write."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None
        self._left = MOST

    def write(self, text: str) -> None:
        """Write text up to the limit."""
        if self._left <= 0 or not text:
            return
        try:
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._path.open("a", buffering=1, encoding="utf-8", errors="replace")
            self._file.write(text[: self._left])
            self._left -= len(text)
            if self._left <= 0:
                self._file.write(f"\n… more was printed by this task; {MOST:,} characters are kept\n")
        except OSError:  # continue without the output
            self._left = 0

    def close(self) -> None:
        """Close the file if there is one."""
        if self._file is not None:
            self._file.close()


class _Caught(io.TextIOBase):
    """Replaces a standard stream. Handlers of `logging` may keep it after a call."""

    def __init__(self, plain: Any, through: bool) -> None:
        self.plain, self._through = plain, through

    def write(self, text: str) -> int:
        """Write to the log of the current stage. Without one, or with `through`, write to the original stream."""
        if _sinks:
            _sinks[-1].write(text)
        if (self._through or not _sinks) and self.plain is not None:
            self.plain.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the original stream."""
        if self.plain is not None:
            self.plain.flush()

    def writable(self) -> bool:
        """Return true."""
        return True

    def fileno(self) -> int:
        """Return the file descriptor of the original stream."""
        return int(self.plain.fileno())


_sinks: list[_Sink] = []


def install() -> None:
    """Replace the standard streams of this process, before modules create log handlers that keep them."""
    if not isinstance(sys.stderr, _Caught):
        sys.stdout, sys.stderr = _Caught(sys.stdout, through=False), _Caught(sys.stderr, through=False)


@contextmanager
def caught(run_dir: Path, stage: str) -> Iterator[None]:
    """Write the output of a block to the log of a stage. In processes that are not workers, print it, too."""
    task = trail.current_task()
    sink = _Sink(run_dir / PARTS / f"{stage}-{task:06d}.log")
    before = sys.stdout, sys.stderr
    through = not trail.is_worker()
    sys.stdout, sys.stderr = (_Caught(getattr(stream, "plain", stream), through) for stream in before)
    _sinks.append(sink)
    try:
        yield
    finally:
        _sinks.pop()
        sys.stdout, sys.stderr = before
        sink.close()
