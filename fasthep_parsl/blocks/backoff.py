"""Backoff of a pool: how fast it may submit blocks, and when it must give up. Pure; the caller passes the time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from fasthep_parsl.plan import PlanScaling

REFUSALS = 3
"""Refused submissions, or rounds of failed blocks, after which a pool that never worked is given up."""
UNREACHABLE = 600.0
"""Seconds without an answer of the batch system after which a pool that never worked is given up."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When to wait and when to give up. The defaults are those of batch systems.

    Attributes
    ----------
    first_wait, longest_wait : float
        Seconds to wait after a failed block; doubled each time, up to the second.
    fatal_deadline : bool
        Whether a pool that never worked is given up as soon as one block has missed its deadline to come up.
    failures : int or None
        Rounds of failed blocks in a row after which a pool that has worked is given up.
    losses : int or None
        Blocks lost in a row, with no finished task in between, after which a pool is given up.
    """

    first_wait: float = 2.0
    longest_wait: float = 300.0
    fatal_deadline: bool = False
    failures: int | None = None
    losses: int | None = None


BATCH_LIMITS = Limits()
"""A pool that has worked is never given up: a batch system may take blocks away for reasons of its own."""


@dataclass
class Backoff:
    """The outcome of submissions so far. Times are in seconds of the caller's clock.

    Parameters
    ----------
    scaling : PlanScaling
        Scaling of the pool.
    limits : Limits
        When to wait and when to give up.
    """

    scaling: PlanScaling
    limits: Limits = BATCH_LIMITS
    not_before: float = 0.0
    _submissions: deque[float] = field(default_factory=deque)
    _failures: int = 0
    _missed_deadline: bool = False
    _losses: int = 0
    _finished: int = 0
    _round: float = -1.0
    _refusals: int = 0
    _refused_alone: int = 0
    _unanswered: int = 0
    _unreachable_since: float | None = None
    _last_message: str = ""

    # --- what has happened ---------------------------------------------------------------------------------

    def submitted(self, now: float) -> None:
        """Count a submission that was accepted."""
        self._submissions.append(now)
        self._refusals = self._refused_alone = 0
        self.reached()

    def unanswered(self, message: str, now: float) -> None:
        """Count a submission that the batch system did not answer."""
        self._submissions.append(now)
        self._last_message = message
        self._unreachable_since = self._unreachable_since if self._unreachable_since is not None else now
        self._unanswered += 1
        self._back_off(now, self.scaling.poll)  # submit soon after it is back

    def refused(self, message: str, now: float, *, counts: bool, alone: bool) -> None:
        """Count a submission that was refused.

        Parameters
        ----------
        message : str
            The reason.
        now : float
            The time.
        counts : bool
            Whether the refusal may be permanent. It is not if the next block differs from this one.
        alone : bool
            Whether the pool has no other block. If it has, the reason may be a limit on the number of jobs.
        """
        self._submissions.append(now)
        self._last_message = message
        self._refusals += 1
        self._refused_alone = self._refused_alone + counts if alone else 0
        self._back_off(now)

    def failed(self, submitted: float, now: float, *, missed_deadline: bool = False) -> None:
        """Count a block that never worked. Blocks `submitted` before the last failure belong to its round."""
        self._missed_deadline = self._missed_deadline or missed_deadline
        if submitted > self._round:
            self._round = now
            self._failures += 1
            self._back_off(now)

    def lost(self) -> None:
        """Count a block that has worked and ended too early."""
        self._losses += 1

    def worked(self) -> None:
        """Forget failures: workers of a block have connected."""
        self._failures, self.not_before = 0, 0.0

    def finished(self, tasks: int) -> None:
        """Forget losses if the number of finished `tasks` has changed."""
        if tasks != self._finished:
            self._finished, self._losses = tasks, 0

    def reached(self) -> None:
        """Forget that the batch system did not answer: now it has."""
        self._unreachable_since, self._unanswered = None, 0

    def _back_off(self, now: float, longest: float | None = None) -> None:
        rounds = self._failures + self._refusals + self._unanswered
        longest = self.limits.longest_wait if longest is None else longest
        self.not_before = now + min(self.limits.first_wait * 2 ** min(max(rounds - 1, 0), 20), longest)

    # --- what follows --------------------------------------------------------------------------------------

    def allowed(self, now: float) -> int:
        """Return how many blocks may be submitted now."""
        if now < self.not_before:
            return 0
        while self._submissions and self._submissions[0] < now - 60:
            self._submissions.popleft()
        return self.scaling.submissions_per_minute - len(self._submissions)

    def exhausted(self, now: float, *, alive: bool, starting: bool, known_good: bool = False) -> str:
        """Return why a pool must be given up, empty if it must not.

        Parameters
        ----------
        now : float
            The time.
        alive, starting : bool
            Whether it has blocks; whether one of them runs and may yet come up.
        known_good : bool
            Whether workers of the pool have ever connected.
        """
        most = self.limits.failures if known_good else REFUSALS
        if self.limits.losses is not None and self._losses >= self.limits.losses:
            return f"it has lost {self._losses} blocks in a row, and no task has finished in between"
        if most is not None and self._failures >= most and not starting:
            return "its blocks fail before any worker connects"
        return "" if known_good else self._unusable(now, alive=alive)

    def _unusable(self, now: float, *, alive: bool) -> str:
        """Return why a pool that never worked must be given up although its blocks did not fail."""
        if self.limits.fatal_deadline and self._missed_deadline:
            return "its workers do not come up"
        if self._refused_alone >= REFUSALS:
            return f"its jobs are refused: {self._last_message}"
        if not alive and self._unreachable_since is not None and now > self._unreachable_since + UNREACHABLE:
            return f"the batch system cannot be reached: {self._last_message}"
        return ""
