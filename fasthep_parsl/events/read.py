"""Reader of ``events.jsonl``: typed events, without damaged lines, of a version that this package supports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from fasthep_parsl.errors import ConfigError, Problem
from fasthep_parsl.events.codec import decode
from fasthep_parsl.events.event import VERSION, Event, EventLogHeader


def read_events(path: Path, damaged: Callable[[int], None] | None = None) -> Iterator[Event]:
    """Yield the events of a run. Damaged lines, and a half-written last one (killed run), are left out.

    Parameters
    ----------
    path : Path
        The file.
    damaged : callable, optional
        Called with the number of each damaged line.

    Raises
    ------
    ConfigError
        A newer version of this package has written to the file.
    """
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\n"):
                return
            event = decode(line)
            if event is None:
                if damaged is not None:
                    damaged(number)
            elif isinstance(event, EventLogHeader):
                _check(path, event)
            else:
                yield event


def _check(path: Path, header: EventLogHeader) -> None:
    if header.version > VERSION:
        message = (
            f"{path} is an event log of version {header.version}, written by {header.software}; "
            f"this fasthep-parsl reads versions up to {VERSION}"
        )
        raise ConfigError(Problem("E164", message, hint=f"use {header.software} or later"))
