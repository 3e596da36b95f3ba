"""Passes: adjacent partitions that are read and processed at once. Their borders decide how sums of floats are rounded.

Where that costs little, passes depend only on the plan, and are the same in every run and on every backend. Bundles then
begin and end with passes. Very many small partitions are cut within each bundle, whose size depends on measured times.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Literal

from fasthep_parsl.plan import Plan, PlanSegment
from fasthep_parsl.tasks import Span
from fasthep_parsl.worker.sums import rank

FEW = 16
"""Up to this number, partitions are not joined, so that all workers receive some."""
SMALL = 256
"""The same for partitions of a small `chunk_size`, which a user may have chosen because events take long."""
COARSE = 4
"""Number of full partitions in a pass that is too coarse for a bundle."""
CHOICE = 512
"""Number of possible ends of a bundle that are compared."""


class Passes:
    """Passes of a segment.

    Parameters
    ----------
    plan : Plan
        The plan.
    segment : PlanSegment
        The segment.

    Attributes
    ----------
    kind : "each", "fixed" or "free"
        Whether each partition is a pass, or passes depend on the plan, or on bundles.
    """

    def __init__(self, plan: Plan, segment: PlanSegment) -> None:
        self._plan = plan
        self._edges: dict[tuple[int, int], list[int]] = {}
        self.kind: Literal["each", "fixed", "free"] = _kind(plan, segment)

    def cut(self, spans: Iterable[Span]) -> Iterator[Span]:
        """Yield the passes of ranges of partitions. A pass is in one file."""
        for first, last in spans:
            start = first
            while start < last:
                stop = min(self._next(start), last)
                yield start, stop
                start = stop

    def end(self, stop: int, first: int, last: int) -> int:
        """Return the best end near `stop`, at most `last`, of a bundle that begins at `first`.

        It is the end of a pass, and in the second half of the bundle the border with the highest rank, so that the
        bundle has few sums, mostly one.
        """
        if self.kind == "fixed":
            stop = min(self._next(stop - 1), last)
        if stop == last:
            return stop
        lowest = max(first + (stop - first + 1) // 2, stop - CHOICE, first + 1)
        if self.kind == "each":
            return max(range(lowest, stop + 1), key=rank)
        if self.kind == "fixed":
            ends = {min(self._next(number - 1), stop) for number in range(lowest, stop + 1)}
            return max(ends, key=rank)
        return stop

    def halves(self, spans: Iterable[Span]) -> tuple[list[Span], list[Span]]:
        """Cut ranges into two parts between passes. The second is empty if there is only one pass."""
        passes = list(self.cut(spans))
        middle = max(len(passes) // 2, 1)
        return passes[:middle], passes[middle:]

    def _next(self, start: int) -> int:
        """Return the end of the pass that contains partition `start`."""
        if self.kind == "each":
            return start + 1
        dataset, file, number = self._plan.locate(start)
        if self.kind == "free":
            return start - number + self._greedy(dataset, file, number)
        if (dataset, file) not in self._edges:
            edges = [0]
            while edges[-1] < self._plan.datasets[dataset].files[file].partitions:
                edges.append(self._greedy(dataset, file, edges[-1]))
            self._edges[dataset, file] = edges
        edges = self._edges[dataset, file]
        return start - number + edges[bisect_left(edges, number + 1)]

    def _greedy(self, dataset: int, file: int, number: int) -> int:
        """Return the end of the longest allowed pass that begins with partition `number` of a file."""
        edges = self._plan.datasets[dataset].files[file].edges
        stop = number + 1
        while stop + 1 < len(edges) and edges[stop + 1] - edges[number] <= self._plan.pass_size:
            stop += 1
        return stop


def _kind(plan: Plan, segment: PlanSegment) -> Literal["each", "fixed", "free"]:
    if segment.per_partition or plan.partitions <= FEW:
        return "each"
    if plan.pass_size < COARSE * plan.chunk_size:
        return "fixed"
    return "each" if plan.partitions <= SMALL else "free"
