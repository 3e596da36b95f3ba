"""Base of all events, and the version of the event log."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ClassVar

VERSION = 3
"""Version of the event log. Older files, and files without a version (0), have no other lines and are read too."""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events.

    Attributes
    ----------
    time : str
        When it happened: UTC, ISO 8601, in milliseconds.
    checked : bool
        Whether its line has a checksum. Not written.
    """

    kind: ClassVar[str]
    time: str = field(default_factory=_now)
    checked: bool = field(default=True, compare=False, repr=False)

    @property
    def when(self) -> datetime:
        """Return the time."""
        return datetime.fromisoformat(self.time)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLogHeader(Event):
    """A process has started to write to the file: the first line, and one for each resumed run.

    Attributes
    ----------
    version : int
        Version of the lines that follow.
    software : str
        The software that writes them.
    """

    kind: ClassVar[str] = "log"
    version: int
    software: str
