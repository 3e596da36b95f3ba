"""Which objects make up each combination: positions in flat columns, without loops over events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from math import comb
from typing import Any

from fasthep_parsl.ops.arrays import np
from fasthep_parsl.ops.collections.collection import offsets_of

Found = tuple[Any, Any, tuple[Any, ...]]
"""``(numbers, parents, positions)``: combinations per event (int64, shape (events,)); for each combination its event,
and per member the position of its object in flat columns (int64, shape (combinations,)). Combinations of an event
are adjacent."""


def count_distinct(counts: Any, n: int) -> Any:
    """Return the number of ways to take `n` of `counts` objects, int64, shape (events,)."""
    table = np.array([comb(m, n) for m in range(int(counts.max(initial=0)) + 1)], dtype=np.int64)
    return table[counts]


def distinct(offsets: Any, n: int) -> Found:
    """Return all sets of `n` different objects of each event, in lexicographic order (i < j < …).

    Parameters
    ----------
    offsets : array of int64, shape (events + 1,)
        Structure of the objects.
    n : int
        Members of a combination.
    """
    starts, counts = offsets[:-1], np.diff(offsets)
    numbers = count_distinct(counts, n)
    present = np.flatnonzero(np.bincount(counts, minlength=1))
    # One table of index tuples per multiplicity that occurs, one after the other.
    where = np.zeros(int(counts.max(initial=0)) + 1, dtype=np.int64)
    tables: list[Any] = []
    size = 0
    for m in present.tolist():
        where[m] = size
        rows = np.array(list(combinations(range(m), n)), dtype=np.int64).reshape(-1, n)
        tables.append(rows)
        size += len(rows)
    table = np.concatenate(tables) if tables else np.empty((0, n), dtype=np.int64)
    columns = [np.ascontiguousarray(table[:, member]) for member in range(n)]
    # np.repeat is the slowest step here: it is done once, all else is gathered from it.
    parents = np.repeat(np.arange(len(numbers)), numbers)
    row = (where[counts] - offsets_of(numbers)[:-1])[parents]
    row += np.arange(len(row))
    first = starts[parents]
    return numbers, parents, tuple(first + column[row] for column in columns)


def product(offsets: Sequence[Any]) -> Found:
    """Return all combinations of one object from each collection; the last collection runs fastest.

    Parameters
    ----------
    offsets : sequence of arrays of int64, shape (events + 1,)
        Structure of each collection.
    """
    # Collection by collection: each combination so far is repeated for every object of the next one.
    numbers = np.diff(offsets[0])
    parents = np.repeat(np.arange(len(numbers)), numbers)
    positions = [np.arange(offsets[0][0], offsets[0][-1])]
    for each in offsets[1:]:
        counts = np.diff(each)
        numbers = numbers * counts
        size = counts[parents]
        row = np.repeat(np.arange(len(parents)), size)
        own = (each[:-1][parents] - offsets_of(size)[:-1])[row]
        own += np.arange(len(row))
        parents = parents[row]
        positions = [*(position[row] for position in positions), own]
    return numbers, parents, tuple(positions)


def blocks(numbers: Any, limit: int) -> Iterator[tuple[int, int]]:
    """Cut events into ranges ``(first, last)`` of at most about `limit` combinations, at least one event each.

    Parameters
    ----------
    numbers : array of int64, shape (events,)
        Combinations per event.
    limit : int
        Bounds the memory that one range needs.
    """
    ends = np.cumsum(numbers)
    first = done = 0
    while first < len(numbers):
        last = max(first + 1, int(np.searchsorted(ends, done + limit, side="right")))
        yield first, last
        first, done = last, int(ends[last - 1])
