"""Size of the next bundle, from measured times: large at first, small near the end of a run."""

from __future__ import annotations

TARGET = 20.0
"""Longest time of a bundle in seconds: a lost worker costs no more than that."""
SHORTEST = 0.25
"""Shortest time of a bundle in seconds: shorter ones cost more to submit than to run."""
FIRST_FRACTION = 0.1
"""Fraction of `SHORTEST` that the first bundles may take, because the first guess can be very wrong."""
PER_WORKER = 4
"""Bundles that are left for each worker when the next one is cut: the last ones end at about the same time."""
EVENT_COST = 1e-6
PARTITION_COST = 1e-3
"""First guess of the seconds for an event and for a partition; each finished bundle corrects it."""


class BundleSizer:
    """Time that events and partitions of a segment take, learnt from finished bundles."""

    def __init__(self) -> None:
        self._scale = 1.0
        self._measured = False

    def seconds(self, events: int, partitions: int) -> float:
        """Return the expected seconds on one worker."""
        return self._scale * (events * EVENT_COST + partitions * PARTITION_COST)

    def learn(self, events: int, partitions: int, wall: float) -> None:
        """Correct the expectation by the wall time of a bundle."""
        guess = events * EVENT_COST + partitions * PARTITION_COST
        if guess <= 0:
            return
        scale = max(wall / guess, 1e-3)
        self._scale = scale if not self._measured else 0.5 * (self._scale + scale)
        self._measured = True

    def target(self, events_left: int, partitions_left: int, slots: int) -> float:
        """Return the seconds that the next bundle should take.

        Parameters
        ----------
        events_left, partitions_left : int
            Work that no task has yet.
        slots : int
            Workers of the pool.
        """
        left = self.seconds(events_left, partitions_left)
        least = SHORTEST if self._measured else min(SHORTEST * FIRST_FRACTION, left / max(slots, 1))
        return min(max(left / (PER_WORKER * max(slots, 1)), least), TARGET)
