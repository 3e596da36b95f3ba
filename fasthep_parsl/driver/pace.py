"""How large the next bundle should be: guided by measured time, large at first, small near the end."""

from __future__ import annotations

TARGET = 20.0
"""Seconds that a bundle should take at most, so that a lost worker costs little."""
SHORTEST = 0.25
"""Seconds below which handing out a bundle costs more than it is worth."""
CAUTION = 0.1
"""What is left of `SHORTEST` while nothing is known: the first guess may be wrong by much. No worker stays idle for it."""
PER_WORKER = 4
"""Bundles that are left for each worker when the next is cut: keeps the last ones even."""
EVENT_COST = 1e-6
PARTITION_COST = 1e-3
"""First guess in seconds for one event and one partition, corrected by each finished bundle."""


class Pace:
    """Time that events and partitions of a segment take, learnt from finished bundles."""

    def __init__(self) -> None:
        self._scale = 1.0
        self._known = False

    def seconds(self, events: int, partitions: int) -> float:
        """Return the expected seconds on one worker."""
        return self._scale * (events * EVENT_COST + partitions * PARTITION_COST)

    def learn(self, events: int, partitions: int, wall: float) -> None:
        """Take in what a bundle took."""
        guess = events * EVENT_COST + partitions * PARTITION_COST
        if guess <= 0:
            return
        scale = max(wall / guess, 1e-3)
        self._scale = scale if not self._known else 0.5 * (self._scale + scale)
        self._known = True

    def target(self, events_left: int, partitions_left: int, slots: int) -> float:
        """Return the seconds that the next bundle should take.

        Parameters
        ----------
        events_left, partitions_left : int
            What has not been handed out.
        slots : int
            Workers of the pool.
        """
        left = self.seconds(events_left, partitions_left)
        least = SHORTEST if self._known else min(SHORTEST * CAUTION, left / max(slots, 1))
        return min(max(left / (PER_WORKER * max(slots, 1)), least), TARGET)
