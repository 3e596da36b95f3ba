"""List the combinations of objects of each event as positions in flat columns, without loops over events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, permutations
from math import comb
from typing import Any

from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import np
from fasthep_parsl.ops.collections.collection import offsets_of
from fasthep_parsl.ops.collections.pairs import find_pairs
from fasthep_parsl.ops.counts import bincount

Combinations = tuple[Any, Any, tuple[Any, ...]]
"""``(numbers, parents, positions)``: the number of combinations per event (int64, shape (events,)), the event of each
combination, and for each member the positions of its objects in flat columns (int64, shape (combinations,)). The
combinations of an event are adjacent."""

Orders = tuple[tuple[int, ...], ...]
"""The orders in which the objects of a combination are members, e.g. ``((0, 1), (1, 0))``."""


def orders_of(n: int, exchangeable: Sequence[Sequence[int]]) -> Orders:
    """Return the orders of `n` objects that differ, if the members in each group of `exchangeable` are alike."""
    pairs = [(a, b) for group in exchangeable for a, b in combinations(sorted(group), 2)]
    return tuple(order for order in permutations(range(n)) if all(order[a] < order[b] for a, b in pairs))


def count_combinations(counts: Any, n: int, orders: int = 1) -> Any:
    """Return the number of combinations of `n` out of `counts` objects in all orders, int64, shape (events,)."""
    if n == 2:
        return counts * (counts - 1) // 2 * orders
    table = np.array([comb(m, n) * orders for m in range(_largest(counts) + 1)], dtype=np.int64)
    return _gather(table, counts)


def list_combinations(offsets: Any, n: int, orders: Orders | None = None) -> Combinations:
    """Return all combinations of `n` different objects of each event, in lexicographic order (i < j < …).

    Parameters
    ----------
    offsets : array of int64, shape (events + 1,)
        Structure of the objects.
    n : int
        Number of members of a combination.
    orders : tuple of tuple of int, optional
        List each combination in these orders, one after the other; see `orders_of`.
    """
    if n == 2 and orders is None and device.on_gpu(offsets):
        return _all_pairs(offsets)
    starts, counts = offsets[:-1], np.diff(offsets)
    numbers = count_combinations(counts, n, len(orders or (0,)))
    # One table of index tuples for each multiplicity that occurs, concatenated.
    where = np.zeros(_largest(counts) + 1, dtype=np.int64)
    tables: list[Any] = []
    size = 0
    for m in _multiplicities(counts):
        where[m] = size
        rows = np.array(list(combinations(range(m), n)), dtype=np.int64).reshape(-1, n)
        if orders is not None:
            rows = rows[:, np.array(orders)].reshape(-1, n)
        tables.append(rows)
        size += len(rows)
    table = np.concatenate(tables) if tables else np.empty((0, n), dtype=np.int64)
    columns = [np.ascontiguousarray(table[:, member]) for member in range(n)]
    ends = offsets_of(numbers)
    # Finding the parents is the slowest step, so it is done once.
    parents = _parents(numbers, ends)
    row = (_gather(where, counts) - ends[:-1])[parents]
    row += device.module_of(row).arange(len(row))
    first = starts[parents]
    return numbers, parents, tuple(first + _gather(column, row) for column in columns)


def _all_pairs(offsets: Any) -> Combinations:
    """Return all pairs of objects on a GPU; see `list_combinations`."""
    numbers = count_combinations(np.diff(offsets), 2)
    pair_offsets = offsets_of(numbers)
    number, module = device.to_python(pair_offsets[-1]), device.module_of(offsets)
    parents, first, second = (module.empty(number, dtype=np.int64) for _ in range(3))
    find_pairs(offsets, pair_offsets, parents, first, second)
    return numbers, parents, (first, second)


def cartesian(offsets: Sequence[Any]) -> Combinations:
    """Return all combinations of one object from each collection. The last collection varies fastest.

    Parameters
    ----------
    offsets : sequence of arrays of int64, shape (events + 1,)
        Structure of each collection.
    """
    # For each further collection, repeat the combinations so far for every object of it.
    numbers = np.diff(offsets[0])
    parents = _parents(numbers, offsets[0])
    positions = [offsets[0][0] + device.module_of(parents).arange(len(parents))]
    for each in offsets[1:]:
        counts = np.diff(each)
        numbers = numbers * counts
        size = counts[parents]
        ends = offsets_of(size)
        row = _parents(size, ends)
        own = (each[:-1][parents] - ends[:-1])[row]
        own += device.module_of(row).arange(len(row))
        parents = parents[row]
        positions = [*(position[row] for position in positions), own]
    return numbers, parents, tuple(positions)


def _parents(numbers: Any, offsets: Any) -> Any:
    """Return the list of each entry, for lists with the given lengths and offsets.

    On a GPU events are not cut into blocks, so offsets start at 0.
    """
    if device.on_gpu(offsets):
        return device.parents(offsets, device.to_python(offsets[-1]))
    return np.repeat(np.arange(len(numbers)), numbers)


def _gather(table: Any, rows: Any) -> Any:
    """Return entries of a table in host memory at `rows`, which may be on the GPU."""
    return (device.upload(table) if device.on_gpu(rows) else table)[rows]


def _largest(counts: Any) -> int:
    return int(device.to_python(counts.max())) if len(counts) else 0


def _multiplicities(counts: Any) -> list[int]:
    """Return the numbers of objects per event that occur."""
    return np.flatnonzero(bincount(counts)).tolist()


def blocks(numbers: Any, limit: int) -> Iterator[tuple[int, int]]:
    """Yield ranges ``(first, last)`` of events with about `limit` combinations at most, but at least one event.

    Parameters
    ----------
    numbers : array of int64, shape (events,)
        Combinations per event.
    limit : int
        Limits the memory of a range.
    """
    ends = np.cumsum(numbers)
    first = done = 0
    while first < len(numbers):
        last = max(first + 1, int(np.searchsorted(ends, done + limit, side="right")))
        yield first, last
        first, done = last, int(ends[last - 1])
