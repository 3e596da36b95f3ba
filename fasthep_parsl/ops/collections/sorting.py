"""Sort the objects of each event."""

from __future__ import annotations

from typing import Any

from fasthep_parsl.errors import OpError
from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import ak, np
from fasthep_parsl.ops.columns.layouts import from_column
from fasthep_parsl.ops.columns.ordering import argsort_content, argsort_missing_last
from fasthep_parsl.ops.columns.value_types import Jagged, Masked


def argsort_objects(offsets: Any, key: Any, *, descending: bool) -> Any:
    """Return positions that sort objects by `key` within each event, or None if they are sorted already.

    The sort is stable. NaN and missing values come last in both directions.

    Parameters
    ----------
    offsets : array of int64, shape (events + 1,)
        Structure of the objects.
    key : array, shape (objects,)
        Sort key.
    descending : bool
        Largest first.
    """
    if len(key) < 2:
        return None
    key = from_column(key)
    if isinstance(key, ak.Array | Jagged):
        raise OpError("the sort key must be one number per object, not text or lists")
    if isinstance(key, Masked):
        if key.values.dtype.kind != "f":
            return argsort_missing_last(offsets, key, ascending=not descending)
        key = np.where(key.valid, key.values, key.values.dtype.type(np.nan))
    if device.on_gpu(key):
        return argsort_content(Jagged(offsets, key), ascending=not descending, nan_first=False)
    if descending:
        key = -key if key.dtype.kind == "f" else ~key  # reverses the order of integers without overflow
    in_order = key[:-1] <= key[1:]
    borders = offsets[1:-1]
    in_order[borders[(borders > 0) & (borders < len(key))] - 1] = True
    wrong = np.flatnonzero(~in_order)
    if not len(wrong):
        return None
    # Objects are usually sorted already. Sort only events that are not, all events of one size at once.
    unsorted = np.zeros(len(offsets) - 1, dtype=bool)
    unsorted[np.searchsorted(offsets, wrong, side="right") - 1] = True
    events = np.flatnonzero(unsorted)
    counts = np.diff(offsets)[events]
    order = np.arange(len(key))
    for size in np.flatnonzero(np.bincount(counts)).tolist():
        rows = offsets[events[counts == size]][:, np.newaxis] + np.arange(size)
        order[rows] = np.take_along_axis(rows, np.argsort(key[rows], axis=1, kind="stable"), axis=1)
    return order


def first_objects(offsets: Any, key: Any, *, descending: bool) -> tuple[Any, Any] | None:
    """Return the objects that would be first in their events after a sort by `key`, without sorting the others.

    Parameters
    ----------
    offsets, key, descending
        As for `argsort_objects`. `offsets` starts at 0.

    Returns
    -------
    (offsets, rows), or None
        Structure and positions of at most one object per event; None if the key has missing values, is on a GPU, or there
        is no object.
    """
    key = from_column(key)
    if not len(key) or isinstance(key, ak.Array | Jagged | Masked) or device.on_gpu(key) or key.dtype.kind not in "fiu":
        return None
    counts = np.diff(offsets)
    filled = counts > 0
    starts = offsets[:-1][filled]
    # `fmin` and `fmax` ignore NaN, which comes last. Of equal keys the first object counts, as in a stable sort.
    best = (np.fmax if descending else np.fmin).reduceat(key, starts)
    equal = key == np.repeat(best, counts[filled])
    equal[starts[np.isnan(best)]] = True
    rows = np.flatnonzero(equal)
    if len(rows) > len(starts):
        events = np.searchsorted(starts, rows, side="right")
        rows = rows[np.diff(events, prepend=0) != 0]
    return device.offsets_of(filled.astype(np.int64)), rows
