"""Sums, products and extrema of lists on a GPU, with functions of CuPy alone.

Events are ordered by their number of objects. The first objects of all events are one gather, the second objects of
all events with at least two are the next one, and so on. Each object is visited once, in its order within the event.
Sums are therefore equal to those of the CPU to the last bit in every call, unlike sums with atomic additions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import np
from fasthep_parsl.ops.columns.value_types import Jagged
from fasthep_parsl.ops.counts import bincount

_ranks = device.WeakArrayDict()


def _ranks_of(lists: Jagged) -> _Ranks:
    """Return the ranks of lists; computed once for all lists that share their offsets."""
    found = _ranks.get(lists.offsets)
    if found is None:
        found = _Ranks(lists)
        _ranks.put(lists.offsets, found)
    return found  # type: ignore[no-any-return]


def clear_cache() -> None:
    """Forget the ranks of lists to free their memory."""
    _ranks.clear()


class _Ranks:
    """The objects of lists, grouped by their position in the list.

    Parameters
    ----------
    lists : Jagged
        Lists on the GPU.

    Attributes
    ----------
    order : array of int64, shape (events,)
        Events sorted by number of objects, largest first.
    """

    def __init__(self, lists: Jagged) -> None:
        counts = lists.counts
        self.order = np.argsort(-counts)
        self._starts = lists.offsets[:-1][self.order]
        self._longer = len(counts) - np.cumsum(bincount(counts))  # events with more than 0, 1, 2 … objects

    def __iter__(self) -> Iterator[tuple[int, int, Any]]:
        """Yield a position in the lists, the number of events with such an object, and the positions in the content."""
        for rank, number in enumerate(self._longer.tolist()):
            if number:
                yield rank, number, self._starts[:number] + rank

    def restore_order(self, found: Any) -> Any:
        """Return values sorted by `order` in the original order of events."""
        out = np.empty_like(found)
        out[self.order] = found
        return out


def total(lists: Jagged) -> Any:
    """Return the sum of each list, in the type of its content."""
    ranks = _ranks_of(lists)
    sums = np.zeros_like(ranks.order, dtype=lists.content.dtype)
    for _, number, where in ranks:
        sums[:number] += lists.content[where]
    return ranks.restore_order(sums)


def product(lists: Jagged) -> Any:
    """Return the product of each list, in the type of its content."""
    ranks = _ranks_of(lists)
    found = np.ones_like(ranks.order, dtype=lists.content.dtype)
    for _, number, where in ranks:
        found[:number] *= lists.content[where]
    return ranks.restore_order(found)


def extreme(lists: Jagged, better: Callable[[Any, Any], Any]) -> Any:
    """Return the minimum (`better` is ``less``) or maximum of each list: NaN if all are NaN, 0 if the list is empty."""
    ranks = _ranks_of(lists)
    found = np.zeros_like(ranks.order, dtype=lists.content.dtype)
    for rank, number, where in ranks:
        values = lists.content[where]
        found[:number] = np.where(_better(values, found[:number], better, rank), values, found[:number])
    return ranks.restore_order(found)


def _better(values: Any, best: Any, better: Callable[[Any, Any], Any], rank: int) -> Any:
    """Return where values replace the best so far. At rank 0 all do; later a number replaces a NaN."""
    if not rank:
        return np.ones_like(values, dtype=bool)
    if values.dtype.kind != "f":
        return better(values, best)
    return better(values, best) | (np.isnan(best) & ~np.isnan(values))


def position_of_extreme(lists: Jagged, better: Callable[[Any, Any], Any]) -> Any:
    """Return the position of the first minimum (`better` is ``less``) or maximum of each list, int64.

    It is -1 for an empty list, and the position of a NaN only if all are NaN.
    """
    ranks = _ranks_of(lists)
    best = np.zeros_like(ranks.order, dtype=lists.content.dtype)
    found = np.full_like(ranks.order, -1)
    for rank, number, where in ranks:
        values = lists.content[where]
        new = _better(values, best[:number], better, rank)
        best[:number] = np.where(new, values, best[:number])
        found[:number] = np.where(new, rank, found[:number])
    return ranks.restore_order(found)
