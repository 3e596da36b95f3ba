"""Reductions and orders of lists with functions of CuPy alone, for a GPU; orders for the CPU as well.

Events are taken in the order of their number of objects: the first objects of all events, then the second ones of those
that have two … are each one gather. That is one pass over the objects, in their order within each event: sums are the
same to the last bit as on the CPU, from call to call as well (atomic additions would not be).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import np
from fasthep_parsl.ops.columns.values import Jagged
from fasthep_parsl.ops.counting import frequencies

_ranks = device.Beside()


def _ranks_of(lists: Jagged) -> _Ranks:
    """Return the order of lists; found once for all that share their offsets."""
    found = _ranks.get(lists.offsets)
    if found is None:
        found = _Ranks(lists)
        _ranks.put(lists.offsets, found)
    return found  # type: ignore[no-any-return]


def forget() -> None:
    """Forget the orders of lists: their memory is needed."""
    _ranks.clear()


class _Ranks:
    """The objects of lists by their position in the list.

    Parameters
    ----------
    lists : Jagged
        On the GPU.

    Attributes
    ----------
    order : array of int64, shape (events,)
        Events, those with most objects first.
    """

    def __init__(self, lists: Jagged) -> None:
        counts = lists.counts
        self.order = np.argsort(-counts)
        self._starts = lists.offsets[:-1][self.order]
        self._longer = len(counts) - np.cumsum(frequencies(counts))  # events with more than 0, 1, 2 … objects

    def __iter__(self) -> Iterator[tuple[int, int, Any]]:
        """Yield the position in lists, how many events have it, and where in the content their objects are."""
        for rank, number in enumerate(self._longer.tolist()):
            if number:
                yield rank, number, self._starts[:number] + rank

    def in_place(self, found: Any) -> Any:
        """Return values of events in `order` in the order of the stream."""
        out = np.empty_like(found)
        out[self.order] = found
        return out


def total(lists: Jagged) -> Any:
    """Return the sum of each list, in the type of its content."""
    ranks = _ranks_of(lists)
    sums = np.zeros_like(ranks.order, dtype=lists.content.dtype)
    for _, number, where in ranks:
        sums[:number] += lists.content[where]
    return ranks.in_place(sums)


def extreme(lists: Jagged, better: Callable[[Any, Any], Any]) -> Any:
    """Return the best value of each list by ``less`` or ``greater``, NaN if there is no number; 0 where it is empty."""
    ranks = _ranks_of(lists)
    found = np.zeros_like(ranks.order, dtype=lists.content.dtype)
    for rank, number, where in ranks:
        values = lists.content[where]
        found[:number] = np.where(_better(values, found[:number], better, rank), values, found[:number])
    return ranks.in_place(found)


def _better(values: Any, best: Any, better: Callable[[Any, Any], Any], rank: int) -> Any:
    """Return where values at a position replace the best so far: any does the first time, and a number a NaN."""
    if not rank:
        return np.ones_like(values, dtype=bool)
    if values.dtype.kind != "f":
        return better(values, best)
    return better(values, best) | (np.isnan(best) & ~np.isnan(values))


def position_of_extreme(lists: Jagged, better: Callable[[Any, Any], Any]) -> Any:
    """Return the position of the first best value of each list by ``less`` or ``greater``, int64; -1 where it is empty.

    That of a NaN only if there is no number.
    """
    ranks = _ranks_of(lists)
    best = np.zeros_like(ranks.order, dtype=lists.content.dtype)
    found = np.full_like(ranks.order, -1)
    for rank, number, where in ranks:
        values = lists.content[where]
        new = _better(values, best[:number], better, rank)
        best[:number] = np.where(new, values, best[:number])
        found[:number] = np.where(new, rank, found[:number])
    return ranks.in_place(found)


def order(lists: Jagged, *, ascending: bool, nan_first: bool) -> Any:
    """Return positions that sort the content within each event; stable."""
    key = lists.content
    if not ascending:
        key = -key if key.dtype.kind == "f" else ~key  # whole numbers in turn, also the smallest one
    rows = np.argsort(key, kind="stable")
    if key.dtype.kind == "f":
        nan = np.isnan(key)
        rows = rows[np.argsort((~nan if nan_first else nan)[rows], kind="stable")]
    return rows[np.argsort(parents_of(lists)[rows], kind="stable")]


def parents_of(lists: Jagged) -> Any:
    """Return for each object the event it belongs to."""
    if device.on_gpu(lists.offsets):
        return device.parents(lists.offsets, len(lists.content))
    return np.repeat(np.arange(len(lists)), lists.counts)
