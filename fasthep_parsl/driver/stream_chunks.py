"""Divide chunks of a stream: the part that is not done (resume), and halves (to find what kills a worker)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import accumulate

from fasthep_parsl.tasks import Ref, Span
from fasthep_parsl.worker.spans import subtract, union


def divisions(ref: Ref) -> int:
    """Return into how many parts a chunk can be divided: its partitions, 1 if the counts of events are unknown."""
    return len(_numbers(ref)) if ref.counts else 1


def halves_of(ref: Ref) -> list[Ref]:
    """Divide a chunk into two parts of nearly equal numbers of partitions; return it whole if that is impossible."""
    middle = divisions(ref) // 2
    return [_part(ref, 0, middle), _part(ref, middle, divisions(ref))] if middle else [ref]


def remaining(ref: Ref, done: Iterable[Span]) -> list[Ref]:
    """Return the parts of a chunk whose partitions are not in `done`; all of it if it cannot be divided."""
    left = subtract(ref.partitions, done)
    if not left or not ref.counts or left == union(ref.partitions):
        return [ref] if left else []
    numbers = _numbers(ref)
    wanted = [any(first <= number < last for first, last in left) for number in numbers]
    edges = [n for n in range(len(numbers) + 1) if (n > 0 and wanted[n - 1]) != (n < len(numbers) and wanted[n])]
    return [_part(ref, first, last) for first, last in zip(edges[::2], edges[1::2], strict=True)]


def _numbers(ref: Ref) -> list[int]:
    return [number for first, last in ref.partitions for number in range(first, last)]


def _part(ref: Ref, first: int, last: int) -> Ref:
    """Return a reference to the events of some adjacent partitions of a chunk."""
    edges = [0, *accumulate(ref.counts)]
    partitions = _ranges(_numbers(ref)[first:last])
    skip, events = ref.skip + edges[first], edges[last] - edges[first]
    return replace(ref, skip=skip, events=events, partitions=partitions, counts=ref.counts[first:last])


def _ranges(numbers: Sequence[int]) -> tuple[Span, ...]:
    """Return numbers as ranges, in their order."""
    found: list[Span] = []
    for number in numbers:
        if found and found[-1][1] == number:
            found[-1] = (found[-1][0], number + 1)
        else:
            found.append((number, number + 1))
    return tuple(found)
