"""How busy workers were over time, from the ends and lengths of their tasks, in memory that does not grow with them."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from fasthep_parsl.report.models import Raster, RasterRow

MAX_ROWS = 200
"""Rows of the raster; if there are more workers, neighbours share a row."""
BINS = 96
"""Largest number of intervals. Their length doubles when the run becomes longer."""
MAX_WORKERS = 20_000
"""Worker processes with a row of their own; later ones share the last."""
Key = tuple[str, str, int]
"""Pool, machine, process number."""


class Occupancy:
    """Busy seconds of each worker in intervals of time.

    Parameters
    ----------
    begin : float
        Start of the first interval, s since 1970.
    """

    def __init__(self, begin: float) -> None:
        self.begin = begin
        self.width = 1.0 / 64
        self._used = 0
        self._workers: dict[Key, array[float]] = {}

    def add(self, worker: Key, start: float, end: float) -> None:
        """Add a task that has run from `start` to `end`, s since 1970."""
        start, end = max(start - self.begin, 0.0), max(end - self.begin, 0.0)
        while end >= self.width * BINS:
            self._double()
        row = self._workers.get(worker)
        if row is None:
            if len(self._workers) >= MAX_WORKERS:
                worker = next(reversed(self._workers))
            row = self._workers.setdefault(worker, array("d", bytes(8 * BINS)))
        first, last = int(start / self.width), int(end / self.width)
        self._used = max(self._used, last + 1)
        if first == last:
            row[first] += end - start
            return
        row[first] += (first + 1) * self.width - start
        row[last] += end - last * self.width
        for number in range(first + 1, last):
            row[number] += self.width

    def _double(self) -> None:
        self.width *= 2
        self._used = (self._used + 1) // 2
        empty = [0.0] * (BINS // 2)
        for row in self._workers.values():
            row[:] = array("d", [row[2 * i] + row[2 * i + 1] for i in range(BINS // 2)] + empty)

    def workers(self, pool: str) -> int:
        """Return the number of worker processes of a pool."""
        return sum(key[0] == pool for key in self._workers)

    def busy(self, pool: str) -> tuple[float, ...]:
        """Return the mean number of busy workers of a pool in each interval."""
        total = [0.0] * self._used
        for key, row in self._workers.items():
            if key[0] == pool:
                for number in range(self._used):
                    total[number] += row[number]
        return tuple(seconds / self.width for seconds in total)

    def raster(self) -> Raster:
        """Return the raster, sorted by pool, machine and process."""
        keys = sorted(self._workers)
        per_row = -(-len(keys) // MAX_ROWS) or 1
        groups = [keys[first : first + per_row] for first in range(0, len(keys), per_row)]
        return Raster(self.width, tuple(self._row(group) for group in groups), len(keys))

    def _row(self, group: list[Key]) -> RasterRow:
        first, last = group[0], group[-1]
        name = f"{first[0]} {first[1]}:{first[2]}"
        label = name if len(group) == 1 else f"{name} – {last[1]}:{last[2]}"
        scale = self.width * len(group)
        return RasterRow(label, tuple(min(self._sum(group, i) / scale, 1.0) for i in range(self._used)))

    def _sum(self, group: Iterable[Key], number: int) -> float:
        return sum(self._workers[key][number] for key in group)
