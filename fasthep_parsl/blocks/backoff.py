"""How fast a pool asks its batch system for blocks, and when it should not ask any more. Pure; the time is given."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from fasthep_parsl.plan import PlanScaling

FIRST_WAIT, LONGEST_WAIT = 2.0, 300.0
"""Seconds between failed blocks: doubled each time, up to the second."""
REFUSALS = 3
"""Refused submissions or rounds of failed blocks after which a pool that never worked is given up."""
PATIENCE = 600.0
"""Seconds that a batch system may be out of reach before a pool that never worked is given up."""


@dataclass
class Backoff:
    """What came of submissions so far; times in seconds of the caller's clock.

    Parameters
    ----------
    scaling : PlanScaling
        Of the pool.
    """

    scaling: PlanScaling
    not_before: float = 0.0
    _submissions: deque[float] = field(default_factory=deque)
    _failures: int = 0
    _round: float = -1.0
    _refusals: int = 0
    _refused_alone: int = 0
    _unanswered: int = 0
    _unreachable_since: float | None = None
    _last_words: str = ""

    # --- what has event --------------------------------------------------------------------------------

    def submitted(self, now: float) -> None:
        """Take in a submission that succeeded."""
        self._submissions.append(now)
        self._refusals = self._refused_alone = 0
        self.reached()

    def unanswered(self, words: str, now: float) -> None:
        """Take in a submission that the batch system did not answer."""
        self._submissions.append(now)
        self._last_words = words
        self._unreachable_since = self._unreachable_since if self._unreachable_since is not None else now
        self._unanswered += 1
        self._back_off(now, self.scaling.poll)  # when it is back we want to be there

    def refused(self, words: str, now: float, *, counts: bool, alone: bool) -> None:
        """Take in a submission that was refused.

        Parameters
        ----------
        words : str
            Why.
        now : float
            The time.
        counts : bool
            Whether it may be for good; not if something about the block will be changed.
        alone : bool
            Whether the pool has no other block; else this may be a limit on the number of jobs.
        """
        self._submissions.append(now)
        self._last_words = words
        self._refusals += 1
        self._refused_alone = self._refused_alone + counts if alone else 0
        self._back_off(now)

    def failed(self, submitted: float, now: float) -> None:
        """Take in the end of a block, `submitted` then, that never worked: those of one round have one reason."""
        if submitted > self._round:
            self._round = now
            self._failures += 1
            self._back_off(now)

    def worked(self) -> None:
        """Take in that workers of a block have connected."""
        self._failures, self.not_before = 0, 0.0

    def reached(self) -> None:
        """Take in that the batch system has answered."""
        self._unreachable_since, self._unanswered = None, 0

    def _back_off(self, now: float, longest: float = LONGEST_WAIT) -> None:
        rounds = self._failures + self._refusals + self._unanswered
        self.not_before = now + min(FIRST_WAIT * 2 ** min(max(rounds - 1, 0), 20), longest)

    # --- what follows -------------------------------------------------------------------------------------

    def allowed(self, now: float) -> int:
        """Return how many blocks may be submitted now."""
        if now < self.not_before:
            return 0
        while self._submissions and self._submissions[0] < now - 60:
            self._submissions.popleft()
        return self.scaling.submissions_per_minute - len(self._submissions)

    def exhausted(self, now: float, *, alive: bool, starting: bool) -> str:
        """Return why a pool that never worked should not be tried any longer, empty if it should.

        Parameters
        ----------
        now : float
            The time.
        alive, starting : bool
            Whether it has blocks; whether one of them runs and may yet come up.
        """
        if self._refused_alone >= REFUSALS:
            return f"its jobs are refused: {self._last_words}"
        if not alive and self._unreachable_since is not None and now > self._unreachable_since + PATIENCE:
            return f"the batch system cannot be reached: {self._last_words}"
        if self._failures >= REFUSALS and not starting:
            return "its blocks fail before any worker connects"
        return ""
