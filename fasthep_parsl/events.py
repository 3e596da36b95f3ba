"""The run's truth: ``events.jsonl``, one line per thing that happened.

Progress, ``run.json``, resume and the report all read it; there is no second bookkeeping. A line is a JSON object with
``time`` (UTC, ISO 8601), ``kind``, facts, and a checksum (``crc``: CRC-32 of the line before it). Kinds: ``run``
(started, resumed), ``pool`` (workers up or down), ``block`` (what happens to a job of a batch system), ``submitted``,
``finished``, ``failed`` (a partition), ``lost`` (a worker), ``retried``, ``merged``, ``ended``.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import threading
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fasthep_parsl.jsontext import json_text

Observer = Callable[[dict[str, Any]], None]


class EventLog:
    """Append-only writer of ``events.jsonl``; the only one in a run.

    Parameters
    ----------
    path : Path
        The file; appended to, after a half-written last line (killed run) was removed.
    observer : callable, optional
        Called with each event after it was written (progress display).
    allowed : callable, optional
        Asked before each event whether this process may still write; events are dropped if not.
    """

    def __init__(self, path: Path, observer: Observer | None = None, allowed: Callable[[], bool] | None = None) -> None:
        self._lock = threading.Lock()  # pools report from threads of their own
        _drop_half_line(path)
        self._file = path.open("ab", buffering=0)
        self._observer = observer
        self._allowed = allowed
        self._owner = threading.get_ident()
        self._trouble: OSError | None = None

    def __call__(self, kind: str, **facts: Any) -> None:
        """Write one event; facts must be JSON-able and must not hold secrets."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        event = {"time": now, "kind": kind, **facts}
        line = sealed(json_text(event, separators=(",", ":"), default=str))
        with self._lock:
            if self._file.closed or (self._allowed is not None and not self._allowed()):
                return
            if not self._told(line.encode()):
                return
            if self._observer is not None:
                self._observer(event)

    def _told(self, line: bytes) -> bool:
        """Write a line; a thread of a pool that cannot goes on, and whoever runs the scheduler hears of it."""
        if self._trouble is not None and threading.get_ident() == self._owner:
            trouble, self._trouble = self._trouble, None
            raise trouble
        try:
            self._append(line)
        except OSError as error:
            if threading.get_ident() == self._owner:
                raise
            self._trouble = error
            return False
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


def _drop_half_line(path: Path) -> None:
    """Remove what a killed run did not finish writing; what comes next would be glued to it."""
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


def sealed(text: str) -> str:
    """Return an event as it stands in the file: a line with a checksum of what comes before."""
    body = text[:-1]
    return f'{body},"crc":"{zlib.crc32(body.encode()):08x}"}}\n'


def read_events(path: Path, damaged: Callable[[int], None] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the events of a run; damaged lines, and a half-written last one (killed run), are left out.

    Parameters
    ----------
    path : Path
        The file.
    damaged : callable, optional
        Called with the number of each line that is damaged.
    """
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\n"):
                return
            event = _event(line)
            if event is not None:
                yield event
            elif damaged is not None:
                damaged(number)


def _event(line: bytes) -> dict[str, Any] | None:
    """Return the event of a line, None if it is not as it was written."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    if not isinstance(event, dict) or "kind" not in event:
        return None
    body, mark, seal = line.rpartition(b',"crc":"')
    if not mark:
        return {**event, "sealed": False}
    event.pop("crc", None)
    return event if seal == b'%08x"}\n' % zlib.crc32(body) else None
