"""Replicas on a worker: which place of a file is read, and which servers are tried last.

A server that does not answer, or answers far slower than another one, is avoided for the rest of the run: by this process
at once, by all workers with their next task. What is wrong with a file on one server concerns only this file, until there
are several such files. An avoided server is still asked if no other place of a file can be read.
"""

from __future__ import annotations

import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeVar

from fasthep_parsl.errors import summary_of
from fasthep_parsl.interfaces import InputFault, InputFileError
from fasthep_parsl.plan import PlanFile
from fasthep_parsl.sources.server_health import DEAD, PASSING, all_failed, too_many_bad
from fasthep_parsl.tasks import ServerUse
from fasthep_parsl.worker.failures import REFUSED
from fasthep_parsl.workflow.locations import server_of

T = TypeVar("T")
SLOW_SECONDS, SLOW_RATE, SLOW_FACTOR = 10.0, 1e6, 5.0
"""A server is compared with another one if it has sent fewer bytes per second than this for so many seconds; and avoided
if the other one is so many times as fast."""
NEARLY = 0.5
"""A single read that is so slow for this part of its time limit is enough: clients connect again after a stall, unnoticed."""
AGAIN = 60.0
"""Seconds in which a server that does not answer is not asked again for the same file: a pass that fails is divided, and
each part would wait for it."""
_RANKS = {"corrupt": 1, "not_found": 1, "slow": 2, "stalled": 3}
SILENT, DEAF, BAD = 3, 4, 5
"""Order of avoided servers, by cause: one with other wrong files, a slow one, one that stops in the middle of reads, one that
does not answer or refuses. A place that was wrong is the last."""
LONGEST = 150
"""Characters of a reason in the error of a file with several places."""


@dataclass
class _Use:
    """What was done with a server since the last report."""

    files: int = 0
    bytes: int = 0
    seconds: float = 0.0
    failures: Counter[str] = field(default_factory=Counter)
    bad: set[str] = field(default_factory=set)
    avoid: str = ""
    message: str = ""
    works: bool = False


class Replicas:
    """The servers of one execution of a plan, as a worker process knows them.

    Parameters
    ----------
    session : str
        The execution.
    """

    def __init__(self, session: str = "") -> None:
        self.session = session
        self._uses: dict[str, _Use] = {}
        self._own: dict[str, str] = {}
        self._told: dict[str, str] = {}
        self._bad: dict[str, set[str]] = {}
        self._files: dict[str, set[str]] = {}
        self._rates: dict[str, tuple[float, float]] = {}
        self._silent: dict[str, tuple[float, InputFileError]] = {}

    def begin(self, avoid: Mapping[str, str]) -> None:
        """Begin a task; the driver says which servers other workers avoid, and why."""
        self._told = dict(avoid)

    def read(self, file: PlanFile, attempt: Callable[[str, bool], T]) -> T:
        """Read from the first place of a file that works.

        Parameters
        ----------
        file : PlanFile
            The file.
        attempt : callable
            Reads a place; the second argument says whether passing faults are waited for, because there is no other
            place.

        Raises
        ------
        InputFileError
            No place can be read; the message has the reason of each.
        """
        places = file.places
        if len(places) == 1:
            return self._only(places[0], attempt)
        errors: dict[str, InputFileError] = {}
        for place, patient in self._order(places, errors):
            try:
                found = self._attempt(place, attempt, patient)
            except InputFileError as error:
                errors[place] = error
                self._failed(place, error)
                if patient and error.cause in DEAD:
                    self._silent[place] = time.monotonic(), error
            else:
                self._works(place)
                return found
        raise _none(places, [errors[place] for place in places])

    def _only(self, place: str, attempt: Callable[[str, bool], T]) -> T:
        """Read a file with one place. Remote files are opened a second time."""
        if "://" not in place:
            return attempt(place, True)
        try:
            return attempt(place, True)
        except InputFileError as error:
            self._use(place).failures[error.cause or "corrupt"] += 1
        try:
            return attempt(place, True)
        except InputFileError as error:
            self._use(place).failures[error.cause or "corrupt"] += 1
            self._use(place).message = error.message
            raise

    @staticmethod
    def _attempt(place: str, attempt: Callable[[str, bool], T], patient: bool) -> T:
        try:
            return attempt(place, patient)
        except (InputFileError, MemoryError):
            raise
        except Exception as error:  # damaged content can cause any error
            raise InputFileError(place, f"cannot be read: {summary_of(error)}", cause="corrupt") from error

    def _order(self, places: tuple[str, ...], errors: dict[str, InputFileError]) -> Iterator[tuple[str, bool]]:
        """Yield places: first those that may work, then, with patience, the others and those that may work by now."""
        ranked = sorted(places, key=self._rank)
        first = [place for place in ranked if self._rank(place) < SILENT]
        if first and self._is_suspect(first[0]):  # measure another server
            first.sort(key=lambda place: (self._rank(place), self._is_measured(place)))
        for place in first:
            yield place, False
        for place in ranked:
            since, error = self._silent.get(place, (-AGAIN, None))
            if error is not None and time.monotonic() < since + AGAIN:
                errors.setdefault(place, error)
            elif place not in errors or errors[place].cause in DEAD:
                yield place, True

    def first(self, file: PlanFile) -> str:
        """Return the place that `read` would try first."""
        return next(iter(self._order(file.places, {})))[0]

    def missed(self, file: PlanFile, place: str, error: InputFileError) -> None:
        """Note that a place could not be read ahead. A file without other places is read nevertheless."""
        if len(file.places) > 1:
            self._failed(place, error)

    def _rank(self, place: str) -> int:
        """Return how late a place is tried: 0 if nothing is wrong."""
        server = server_of(place)
        if place in self._bad.get(server, ()):
            return BAD
        cause = self._own.get(server) or self._told.get(server)
        return 0 if cause is None else _RANKS.get(cause, DEAF)

    # --- what happened -----------------------------------------------------------------------------------------

    def opened(self, place: str) -> None:
        """Count a file that was opened."""
        self._use(place).files += 1

    def received(self, file: PlanFile, place: str, size: int, seconds: float, limit: float) -> None:
        """Count the bytes of a read, and the seconds of waiting for them.

        Parameters
        ----------
        file : PlanFile
            The file.
        place : str
            Where it was read.
        size : int
            Bytes.
        seconds : float
            Time of waiting for them.
        limit : float
            Longest time of a read, seconds.
        """
        server, use = server_of(place), self._use(place)
        use.bytes += size
        use.seconds += seconds
        known = self._rates.get(server, (0.0, 0.0))
        self._rates[server] = known[0] + size, known[1] + seconds
        if len(file.places) > 1 and seconds > NEARLY * limit and size < SLOW_RATE * seconds:
            use.message = f"{size / 1e6:.1f} MB took {seconds:.0f} s"
            self._avoid(server, "slow")

    def _use(self, place: str) -> _Use:
        return self._uses.setdefault(server_of(place), _Use())

    def _failed(self, place: str, error: InputFileError) -> None:
        server, use, cause = server_of(place), self._use(place), error.cause or "corrupt"
        use.failures[cause] += 1
        use.message = textwrap.shorten(error.message, LONGEST, placeholder=" …")
        if cause in DEAD:
            self._avoid(server, cause)
            return
        use.bad.add(place)
        self._bad.setdefault(server, set()).add(place)
        tried = self._files.setdefault(server, set())
        tried.add(place)
        if too_many_bad(len(self._bad[server]), len(tried)):
            self._avoid(server, cause)

    def _works(self, place: str) -> None:
        server = server_of(place)
        self._files.setdefault(server, set()).add(place)
        if (self._own.get(server) or self._told.get(server)) in PASSING:
            self._own.pop(server, None)
            self._told.pop(server, None)
            self._bad.get(server, set()).discard(place)
            use = self._use(place)
            use.works, use.avoid = True, ""
        for other in self._rates:
            if self._is_far_slower(other, server):
                self._avoid(other, "slow")
            elif self._is_far_slower(server, other):
                self._avoid(server, "slow")

    def _avoid(self, server: str, cause: str) -> None:
        if server and server not in self._own:
            self._own[server] = cause
            use = self._uses.setdefault(server, _Use())
            use.avoid, use.works = cause, False

    # --- speed -------------------------------------------------------------------------------------------------

    def _is_suspect(self, place: str) -> bool:
        size, seconds = self._rates.get(server_of(place), (0.0, 0.0))
        return seconds >= SLOW_SECONDS and size < SLOW_RATE * seconds

    def _is_measured(self, place: str) -> bool:
        size, seconds = self._rates.get(server_of(place), (0.0, 0.0))
        return size >= SLOW_RATE or seconds >= SLOW_SECONDS

    def _is_far_slower(self, server: str, other: str) -> bool:
        size, seconds = self._rates.get(server, (0.0, 0.0))
        other_size, other_seconds = self._rates.get(other, (0.0, 0.0))
        if not server or seconds < SLOW_SECONDS or size >= SLOW_RATE * seconds or other_size < SLOW_RATE:
            return False
        return other_size * seconds > SLOW_FACTOR * size * max(other_seconds, 1e-3)

    # --- report ------------------------------------------------------------------------------------------------

    def take(self) -> dict[str, ServerUse]:
        """Return what was done with each server since the last call."""
        uses, self._uses = self._uses, {}
        return {
            server: ServerUse(
                files=use.files,
                bytes=use.bytes,
                seconds=round(use.seconds, 3),
                failures=dict(use.failures),
                bad=tuple(sorted(use.bad)),
                avoid=use.avoid,
                message=use.message,
                works=use.works,
            )
            for server, use in uses.items()
        }


def _none(places: tuple[str, ...], errors: list[InputFileError]) -> InputFileError:
    """Return the error of a file of which no place can be read."""
    reasons = [textwrap.shorten(error.message, LONGEST, placeholder=" …") for error in errors]
    causes: list[InputFault] = [error.cause or "corrupt" for error in errors]
    refused = [cause for cause in causes if cause in REFUSED]  # then a fresh credential may heal all of it
    damaged = [cause for cause in causes if cause == "corrupt"]  # then other parts of the file may be read
    cause = (refused or damaged or causes)[0]
    found = InputFileError(places[0], all_failed(places, reasons), errors[0].hint, cause=cause)
    found.__cause__ = errors[-1]
    return found


@lru_cache(maxsize=1)
def replicas_of(session: str) -> Replicas:
    """Return what this process knows about the servers of an execution of a plan."""
    return Replicas(session)
