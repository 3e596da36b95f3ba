"""Sets of plan-wide partition numbers as sorted ranges (first, last), last excluded: a million partitions are a few."""

from __future__ import annotations

from collections.abc import Iterable

Span = tuple[int, int]


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
    left = union(spans)
    for low, high in union(gone):
        cut: list[Span] = []
        for first, last in left:
            if first < low:
                cut.append((first, min(last, low)))
            if last > high:
                cut.append((max(first, high), last))
        left = cut
    return left


def count(spans: Iterable[Span]) -> int:
    """Return how many numbers there are."""
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
