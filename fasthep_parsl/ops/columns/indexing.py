"""Index lists by mask, by positions or by one position per event; take events from columns."""

from __future__ import annotations

from typing import Any

from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import ak, np
from fasthep_parsl.ops.columns.gather import compress, take
from fasthep_parsl.ops.columns.layouts import from_column, to_awkward
from fasthep_parsl.ops.columns.value_types import (
    ExpressionError,
    Jagged,
    Masked,
    Value,
    all_valid,
    innermost,
    is_scalar,
    same_device,
    same_offsets,
)
from fasthep_parsl.ops.counts import any_true


def select(values: Value, index: Value) -> Value:
    """Return ``values[index]`` per event. `index` is a mask of objects, positions, or one position per event.

    Raises
    ------
    ExpressionError
        `values` is not jagged, or `index` has the wrong structure or type.
    """
    if not isinstance(values, Jagged):
        raise ExpressionError("only a jagged field can be indexed", "for one value per event, use where(…, …, …)")
    if is_scalar(index):
        raise ExpressionError("a single number cannot index a jagged field", f"use nth(…, {index})")
    values, index = same_device(values, index)
    dtype = getattr(innermost(index), "dtype", None)
    if dtype is None or dtype.kind not in "biu":
        raise ExpressionError("an index must be bools or integers")
    if isinstance(index, Jagged):
        return _compress(values, index) if dtype == bool else _gather(values, index)
    if dtype == bool:
        raise ExpressionError(
            "one value per event cannot be the mask of a jagged field",
            "to select events, use a selection; to replace values, use where(…, …, …)",
        )
    return nth_value(values, index)


def _inside(values: Jagged, index: Jagged, what: str) -> Jagged:
    """Apply an index of lists of lists to the lists inside `values`."""
    if not isinstance(values.content, Jagged):
        raise ExpressionError(f"the {what} has deeper lists than the field")
    if not same_offsets(values.offsets, index.offsets):
        raise ExpressionError(f"the {what} and the field have different structure")
    return Jagged(values.offsets, select(values.content, index.content), all_valid(values.present, index.present))


def _compress(values: Jagged, mask: Jagged) -> Jagged:
    if isinstance(mask.content, Jagged):
        return _inside(values, mask, "mask")
    if not same_offsets(values.offsets, mask.offsets):
        raise ExpressionError("the mask and the field have different structure")
    wanted = mask.content
    if isinstance(wanted, Masked):
        wanted = wanted.values & wanted.valid
    if device.on_gpu(wanted):
        device.count_wait()
    offsets = device.cumulative_count(wanted)[values.offsets].astype(np.int64)
    return Jagged(offsets, compress(values.content, wanted), all_valid(values.present, mask.present))


def _gather(values: Jagged, index: Jagged) -> Jagged:
    if len(values) != len(index):
        raise ExpressionError("the index and the field have different numbers of events")
    if isinstance(index.content, Jagged):
        return _inside(values, index, "index")
    wanted, valid = (
        (index.content.values, index.content.valid) if isinstance(index.content, Masked) else (index.content, None)
    )
    number = len(wanted)
    counts = device.repeat(values.counts, index.offsets, number)
    position = _from_start(wanted.astype(np.int64, copy=False), counts)
    wrong = (position < 0) | (position >= counts)
    if values.present is not None:
        absent = ~device.repeat(values.present, index.offsets, number)
        valid = ~absent if valid is None else valid & ~absent
    if any_true(wrong if valid is None else wrong & valid):
        raise ExpressionError("an index is out of range of its list", "mask it first, e.g. x[i[i < num(x)]]")
    found = take(values.content, position + device.repeat(values.offsets[:-1], index.offsets, number), valid)
    return Jagged(index.offsets, found, index.present)


def nth_value(values: Jagged, index: Value) -> Value:
    """Return the entry at `index` of each event's list, missing if the list is too short.

    Parameters
    ----------
    values : Jagged
        One list per event.
    index : int, array of int or Masked of int, shape (events,)
        Position in the list; negative positions count from the end. A missing index gives a missing result.
    """
    values, index = same_device(values, index)
    valid = all_valid(values.present, index.valid if isinstance(index, Masked) else None)
    wanted = index.values if isinstance(index, Masked) else index
    if device.is_array(wanted):
        wanted = wanted.astype(np.int64, copy=False)
    counts = values.counts
    position = _from_start(wanted, counts)
    found = (counts > position) & (position >= 0)
    if valid is not None:
        found &= valid
    content = values.content
    if not isinstance(content, np.ndarray):  # on a GPU, looking at `found` would wait
        return take(content, values.offsets[:-1] + position, found)
    if found.all():
        return Masked(content[values.offsets[:-1] + position], found)
    events = np.flatnonzero(found)  # five times faster than indexing with the mask
    out = np.zeros(len(counts), dtype=content.dtype)
    out[events] = content[(values.offsets[:-1] + position)[events]]
    return Masked(out, found)


def _from_start(index: Any, counts: Any) -> Any:
    """Return positions in lists of length `counts` with negative ones, which count from the end, resolved."""
    if np.ndim(index):
        return np.where(index < 0, index + counts, index)
    return index + counts if index < 0 else index  # CuPy does not take a Python bool as a condition


def take_events(column: Any, index: Any, shared: dict[tuple[int, int], Any]) -> Any:
    """Return the entries of a column at the events `index`, contiguous, so that later uses need not pack it.

    Parameters
    ----------
    column : numpy or awkward array
        Column of all events.
    index : array of int, shape (chosen events,)
        Positions of events.
    shared : dict
        Cache, filled here: columns with the same offsets share the work and the new offsets.
    """
    if not isinstance(column, ak.Array):
        return column[index]
    value = from_column(column)
    if isinstance(value, Jagged) and value.present is None:
        return to_awkward(_lists_at(value, index, shared))
    if isinstance(value, Jagged | Masked):
        return to_awkward(take(value, index))
    return column[index] if isinstance(value, ak.Array) else value[index]


def _lists_at(lists: Jagged, index: Any, shared: dict[tuple[int, int], Any]) -> Jagged:
    key = (device.address(lists.offsets), id(index))
    if key not in shared:
        shared[key] = (*_taken(lists, index), lists.offsets, index)  # the last two keep the addresses of the key valid
    offsets, chosen = shared[key][:2]
    content = lists.content
    return Jagged(offsets, compress(content, chosen) if chosen.dtype == bool else take(content, chosen))


def _taken(lists: Jagged, index: Any) -> tuple[Any, Any]:
    """Return the new offsets and the objects to take: a mask if events keep their order, else positions."""
    counts = lists.counts
    chosen = counts[index]
    offsets = device.offsets_of(chosen)
    if device.on_gpu(index):
        starts = lists.offsets[:-1][index] - offsets[:-1]
        number = device.to_python(offsets[-1])
        return offsets, device.cupy().arange(number) + device.repeat(starts, offsets, number)
    if (index[1:] > index[:-1]).all() and (len(index) == 0 or index[0] >= 0):
        events = np.zeros(len(counts), dtype=bool)
        events[index] = True
        return offsets, np.repeat(events, counts)
    starts = lists.offsets[:-1][index]
    return offsets, np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], chosen)
