"""Sums of products, in the order of events, added up in a tree that does not depend on who has done what when.

A *part* holds the products of adjacent partitions. Two parts that touch are joined where the border between them ranks
below the outer borders of both. Ranks are fixed numbers, so that the tree over the same passes is the same however they
were bundled and in whichever order they come: the products of a stage are always joined in the same pairs, left before
right, and sums of floats are the same to the last bit. Parts between which something is missing are not joined, so
that what a resumed run adds finds its place.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fasthep_parsl.errors import RunError
from fasthep_parsl.tasks import Failure, Span

Join = Callable[[str, Any, Any], Any]
"""(stage id, product, product of later events) → product of both."""
Blame = Callable[[str, Exception], Failure]
"""(stage id, error of its merge) → what is said of it."""
MOST_PARTS = 64
"""More parts than these are joined across what is missing: where so much fails, the order is kept, but what is repaired
later costs doing all of it again."""


class CountedTwiceError(RunError):
    """Two sums hold the same partition."""


@dataclass(frozen=True, slots=True)
class Part:
    """Products of adjacent partitions.

    Attributes
    ----------
    spans : tuple of (first, last)
        The partitions whose events are in, sorted; more than one only where `MOST_PARTS` was exceeded.
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
    """Parts in the order of their events, joined as far as that can be.

    Parameters
    ----------
    join : callable
        Joins two products of a stage.
    blame : callable
        Describes an error of `join`. The stage has no product any more; the others go on.
    end : int
        Partitions of the plan: nothing comes after them.

    Attributes
    ----------
    parts : list of Part
        Sorted, disjoint.
    broken : dict
        Stage id → why its products cannot be joined.
    """

    def __init__(self, join: Join, blame: Blame, end: int) -> None:
        self._join = join
        self._blame = blame
        self._end = end
        self.parts: list[Part] = []
        self.broken: dict[str, Failure] = {}

    def add(self, spans: Iterable[Span], products: Mapping[str, Any]) -> None:
        """Take in the products of some partitions.

        Raises
        ------
        CountedTwiceError
            Some of these partitions are in already.
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

    def limit(self, most: int = MOST_PARTS) -> None:
        """Join parts across what is missing, where there are very many; only if that is missing for good."""
        while len(self.parts) > most:
            for place in range(len(self.parts) // 2):
                self._unite(place)

    def whole(self) -> dict[str, Any]:
        """Return the products of all parts together, in order."""
        found: dict[str, Any] = {}
        for part in self.parts:
            found = self._joined(found, part.products)
        return {stage: product for stage, product in found.items() if stage not in self.broken}

    def _fits(self, place: int) -> bool:
        """Whether a part and the next are to be joined now."""
        if place + 1 >= len(self.parts):
            return False
        left, right = self.parts[place], self.parts[place + 1]
        if left.last != right.first:
            return False
        return self._rank(left.last) < min(self._rank(left.first), self._rank(right.last))

    def _rank(self, border: int) -> int:
        return 1 << 64 if border in (0, self._end) else rank(border)

    def _unite(self, place: int) -> None:
        """Join a part and the next."""
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
            except Exception as error:  # noqa: BLE001  (anybody's code)
                self.broken[stage] = self._blame(stage, error)
        for stage in self.broken:
            found.pop(stage, None)
        return found


def rank(border: int) -> int:
    """Return the rank of a border: a fixed number that looks random (splitmix64), so that the tree is flat."""
    mask = (1 << 64) - 1
    number = (border + 0x9E3779B97F4A7C15) & mask
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & mask
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & mask
    return number ^ (number >> 31)
