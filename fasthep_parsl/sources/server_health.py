"""Servers of input files while headers are read: the places of one that does not answer are tried last."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from fasthep_parsl.interfaces import InputFault
from fasthep_parsl.workflow.locations import server_of

DEAD: frozenset[InputFault] = frozenset({"unreachable", "stalled"})
"""Causes that concern a server, not a file."""
PASSING: frozenset[InputFault] = frozenset({"unreachable", "not_authenticated", "not_permitted"})
"""Causes that do not hold for ever: a server that works again is used again. One that stops in the middle of reads is not:
one read that ends says little about the next."""
BAD_FILES, BAD_SHARE = 3, 0.2
"""A server is avoided if so many files are wrong there, and such a share of those that were tried."""
LOCAL = "this machine"
"""How local places are called in messages."""


@dataclass(frozen=True, slots=True)
class PlaceFault:
    """A place that could not be read although the file has others.

    Attributes
    ----------
    server : str
        Its server, empty for local paths.
    place : str
        The place.
    cause : str
        As in `InputFileError`.
    message : str
        Why, in one line.
    """

    server: str
    place: str
    cause: InputFault
    message: str


class Servers:
    """The servers that one command has tried. Used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._dead: dict[str, str] = {}
        self._faults: list[PlaceFault] = []

    @property
    def dead(self) -> dict[str, str]:
        """Server that does not answer → why."""
        with self._lock:
            return dict(self._dead)

    @property
    def faults(self) -> tuple[PlaceFault, ...]:
        """Places that could not be read."""
        with self._lock:
            return tuple(self._faults)

    def order(self, places: Sequence[str]) -> list[str]:
        """Return places with those of dead servers last."""
        dead = self.dead
        return sorted(places, key=lambda place: server_of(place) in dead) if dead else list(places)

    def failed(self, place: str, cause: InputFault, message: str) -> None:
        """Note a place that could not be read."""
        server = server_of(place)
        with self._lock:
            self._faults.append(PlaceFault(server, place, cause, message))
            if server and cause in DEAD:
                self._dead.setdefault(server, message)

    def answered(self, place: str) -> None:
        """Note a place that was read: its server is not dead."""
        with self._lock:
            self._dead.pop(server_of(place), None)


def too_many_bad(bad: int, tried: int) -> bool:
    """Return whether a server is avoided because of wrong files."""
    return bad >= BAD_FILES and bad >= BAD_SHARE * tried


def all_failed(places: Sequence[str], reasons: Sequence[str]) -> str:
    """Return the message for a file of which no place can be read, with the reason of each place."""
    if len(set(reasons)) == 1:
        return f"{reasons[0]} (in all {len(places)} places)"
    listed = "; ".join(f"{server_of(place) or place}: {why}" for place, why in zip(places, reasons, strict=True))
    return f"none of its {len(places)} places can be read: {listed}"
