"""Sets of partition numbers as sorted ranges (first, last), last excluded. A million partitions are a few ranges."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

from fasthep_parsl.tasks import Span


def union(spans: Iterable[Span]) -> list[Span]:
    """Return the same numbers as few, sorted, disjoint ranges.

    Examples
    --------
    >>> union([(5, 7), (0, 2), (2, 4), (6, 9)])
    [(0, 4), (5, 9)]
    """
    found: list[Span] = []
    for first, last in sorted(span for span in spans if span[1] > span[0]):
        if found and first <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found


def subtract(spans: Iterable[Span], gone: Iterable[Span]) -> list[Span]:
    """Return the numbers of `spans` that are not in `gone`.

    Examples
    --------
    >>> subtract([(0, 10)], [(2, 4), (8, 12)])
    [(0, 2), (4, 8)]
    """
    found: list[Span] = []
    holes = union(gone)
    ends = [last for _, last in holes]
    for first, last in union(spans):
        start = first
        for low, high in holes[bisect_right(ends, first) : bisect_left(ends, last) + 1]:
            if low >= last:
                break
            if low > start:
                found.append((start, low))
            start = max(start, high)
        if start < last:
            found.append((start, last))
    return found


def meets(spans: list[Span], span: Span) -> bool:
    """Return whether sorted, disjoint ranges contain any number of a range.

    Examples
    --------
    >>> meets([(0, 5), (8, 12)], (5, 8))
    False
    """
    place = bisect_right(spans, span[0], key=lambda known: known[1])
    return place < len(spans) and spans[place][0] < span[1] and span[0] < span[1]


def covers(spans: list[Span], span: Span) -> bool:
    """Return whether sorted, disjoint ranges that do not touch contain all numbers of a range.

    Examples
    --------
    >>> covers([(0, 5), (8, 12)], (9, 12))
    True
    """
    place = bisect_right(spans, span[0], key=lambda known: known[0]) - 1
    return span[1] <= span[0] or (place >= 0 and spans[place][1] >= span[1])


def add(spans: list[Span], span: Span) -> None:
    """Add a range to sorted, disjoint ranges in place. Fast even for very many ranges.

    Examples
    --------
    >>> spans = [(0, 2), (4, 5), (8, 9)]
    >>> add(spans, (2, 4))
    >>> spans
    [(0, 5), (8, 9)]
    """
    first, last = span
    if last <= first:
        return
    low = bisect_left(spans, first, key=lambda known: known[1])  # those before it end earlier
    high = bisect_right(spans, last, key=lambda known: known[0])  # those after it begin later
    if low < high:
        first, last = min(first, spans[low][0]), max(last, spans[high - 1][1])
    spans[low:high] = [(first, last)]


def count(spans: Iterable[Span]) -> int:
    """Return the number of partitions in ranges."""
    return sum(last - first for first, last in spans)


def halves(spans: Iterable[Span]) -> tuple[list[Span], list[Span]]:
    """Cut into two parts of nearly equal count.

    Examples
    --------
    >>> halves([(0, 3), (10, 13)])
    ([(0, 3)], [(10, 13)])
    >>> halves([(0, 5)])
    ([(0, 2)], [(2, 5)])
    """
    spans = list(spans)
    half = count(spans) // 2
    left: list[Span] = []
    right: list[Span] = []
    for first, last in spans:
        middle = min(first + half, last)
        half -= middle - first
        if middle > first:
            left.append((first, middle))
        if last > middle:
            right.append((middle, last))
    return left, right
