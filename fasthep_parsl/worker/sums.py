"""Sums of products in the order of events. The tree of additions does not depend on bundles, workers or times.

A *part* contains the products of adjacent partitions. Two parts that touch are joined if the border between them has a
lower rank than their outer borders. Ranks are fixed numbers. The tree over the same passes is therefore always the same:
the products of a stage are merged in the same pairs, left before right, and sums of floats agree to the last bit. Parts
are not joined across a gap, so that a resumed run can fill it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fasthep_parsl.errors import RunError
from fasthep_parsl.tasks import Failure, Span
from fasthep_parsl.worker.spans import covers

Join = Callable[[str, Any, Any], Any]
"""(stage id, product, product of later events) → product of both."""
Blame = Callable[[str, Exception], Failure]
"""(stage id, error of its merge) → failure."""
MOST_PARTS = 64
"""Most parts. More parts are joined across gaps of failed partitions. Their order is kept, but to fill such a gap in a
resumed run, all of them are computed again."""


class CountedTwiceError(RunError):
    """Two sums contain the same partition."""


@dataclass(frozen=True, slots=True)
class Part:
    """Products of adjacent partitions.

    Attributes
    ----------
    spans : tuple of (first, last)
        Ranges of the partitions, sorted. More than one only if `MOST_PARTS` was exceeded.
    products : mapping
        Stage id → product.
    """

    spans: tuple[Span, ...]
    products: Mapping[str, Any]

    @property
    def first(self) -> int:
        """First partition."""
        return self.spans[0][0]

    @property
    def last(self) -> int:
        """Partition after the last one."""
        return self.spans[-1][1]


class Sums:
    """Parts in the order of their events, joined as far as possible.

    Parameters
    ----------
    join : callable
        Merges two products of a stage.
    blame : callable
        Returns the failure for an error of `join`. The stage then has no product. Other stages continue.
    end : int
        Number of partitions of the plan.

    Attributes
    ----------
    parts : list of Part
        Sorted, disjoint.
    broken : dict
        Stage id → why its products cannot be merged.
    """

    def __init__(self, join: Join, blame: Blame, end: int) -> None:
        self._join = join
        self._blame = blame
        self._end = end
        self.parts: list[Part] = []
        self.broken: dict[str, Failure] = {}

    def add(self, spans: Iterable[Span], products: Mapping[str, Any]) -> None:
        """Add the products of some partitions.

        Raises
        ------
        CountedTwiceError
            Some of these partitions were added before.
        """
        part = Part(tuple(spans), products)
        place = bisect_left(self.parts, part.first, key=lambda known: known.first)
        before, after = self.parts[place - 1 : place] if place else [], self.parts[place : place + 1]
        if any(known.last > part.first for known in before) or any(known.first < part.last for known in after):
            raise CountedTwiceError(f"partitions {part.first}–{part.last} are in two sums: this is a bug")
        self.parts.insert(place, part)
        while True:
            if place and self._fits(place - 1):
                place -= 1
            elif not self._fits(place):
                return
            self._unite(place)

    def leave_out(self, stage: str, why: Failure) -> None:
        """Drop the products of a stage."""
        self.broken[stage] = why
        self.parts = [Part(part.spans, {s: p for s, p in part.products.items() if s != stage}) for part in self.parts]

    def limit(self, gaps: list[Span], most: int = MOST_PARTS) -> None:
        """Join parts across gaps if there are very many.

        Parameters
        ----------
        gaps : list of Span
            Sorted, disjoint ranges of partitions that nothing adds in this run. Other gaps stay open.
        most : int
            Number of parts up to which none are joined.
        """
        before = 0
        while len(self.parts) > most and len(self.parts) != before:
            before, place = len(self.parts), 0
            while place + 1 < len(self.parts):
                if covers(gaps, (self.parts[place].last, self.parts[place + 1].first)):
                    self._unite(place)
                place += 1

    def whole(self) -> dict[str, Any]:
        """Return the merged products of all parts."""
        found: dict[str, Any] = {}
        for part in self.parts:
            found = self._joined(found, part.products)
        return {stage: product for stage, product in found.items() if stage not in self.broken}

    def _fits(self, place: int) -> bool:
        """Return whether a part and the next one can be joined."""
        if place + 1 >= len(self.parts):
            return False
        left, right = self.parts[place], self.parts[place + 1]
        if left.last != right.first:
            return False
        return self._rank(left.last) < min(self._rank(left.first), self._rank(right.last))

    def _rank(self, border: int) -> int:
        return 1 << 64 if border in (0, self._end) else rank(border)

    def _unite(self, place: int) -> None:
        """Join a part and the next one."""
        left, right = self.parts[place : place + 2]
        spans = [*left.spans, *right.spans]
        if left.last == right.first:
            middle = (left.spans[-1][0], right.spans[0][1])
            spans = [*left.spans[:-1], middle, *right.spans[1:]]
        self.parts[place : place + 2] = [Part(tuple(spans), self._joined(left.products, right.products))]

    def _joined(self, left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
        found = {**left, **right}
        for stage in left.keys() & right.keys():
            if stage in self.broken:
                continue
            try:
                found[stage] = self._join(stage, left[stage], right[stage])
            except Exception as error:  # noqa: BLE001  (code of users)
                self.broken[stage] = self._blame(stage, error)
        for stage in self.broken:
            found.pop(stage, None)
        return found


def rank(border: int) -> int:
    """Return the rank of a border: a fixed pseudo-random number (splitmix64), so that the tree is flat."""
    mask = (1 << 64) - 1
    number = (border + 0x9E3779B97F4A7C15) & mask
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & mask
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & mask
    return number ^ (number >> 31)
