"""Times and numbers of events of the stages in a task."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from fasthep_parsl.tasks import StageStats


class Meter:
    """Times and numbers of events of the stages in a task."""

    def __init__(self) -> None:
        self.stages: dict[str, list[float]] = {}

    def add(self, name: str, wall: float, cpu: float, events_in: int = 0, events_out: int = 0) -> None:
        """Add one call of `name`."""
        row = self.stages.setdefault(name, [0, 0.0, 0.0, 0, 0])
        for index, value in enumerate((1, wall, cpu, events_in, events_out)):
            row[index] += value

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Measure a block."""
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - wall, time.process_time() - cpu)

    def result(self) -> dict[str, StageStats]:
        """Return the sums."""
        return {n: StageStats(int(r[0]), r[1], r[2], int(r[3]), int(r[4])) for n, r in self.stages.items()}
