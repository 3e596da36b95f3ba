"""Restarts of a pool's executor: how many may follow each other without progress, and how long to wait. Pure."""

from __future__ import annotations

from dataclasses import dataclass

AT_FIRST = 3
"""Most restarts in a row of a pool whose workers have never connected."""
LATER = 10
"""Most restarts in a row of a pool that has worked."""
LONGEST_WAIT = 10.0
"""Longest wait before a restart, in seconds."""


@dataclass
class Restarts:
    """Restarts since the last task finished."""

    count: int = 0

    def allowed(self, *, known_good: bool) -> bool:
        """Return whether the executor may be restarted once more.

        Parameters
        ----------
        known_good : bool
            Whether workers of the pool have ever connected.
        """
        return self.count < (LATER if known_good else AT_FIRST)

    def next_wait(self) -> float:
        """Count a restart; return how many seconds to wait before it. The first ones come at once."""
        self.count += 1
        return min(2.0 ** (self.count - AT_FIRST - 1), LONGEST_WAIT) if self.count > AT_FIRST else 0.0

    def reset(self) -> None:
        """Forget the restarts: a task has finished."""
        self.count = 0
