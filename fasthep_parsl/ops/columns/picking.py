"""Taking objects out of lists: by mask, by positions, one per event."""

from __future__ import annotations

from typing import Any

from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import ak, np
from fasthep_parsl.ops.columns.values import (
    ExpressionError,
    Jagged,
    Masked,
    Value,
    from_column,
    jagged_of,
    one_side,
    same_offsets,
    to_awkward,
)
from fasthep_parsl.ops.counting import any_true


def select(values: Value, index: Value) -> Value:
    """Return ``values[index]`` per event: `index` is a mask of the objects, positions, or one position per event.

    Raises
    ------
    ExpressionError
        `values` is not jagged, or `index` has another structure or type.
    """
    if not isinstance(values, Jagged | ak.Array):
        raise ExpressionError("only a jagged field can be indexed", "for one value per event use where(…, …, …)")
    values, index = one_side(values, index)
    if isinstance(index, Masked) or device.is_array(index):
        return _pick(values, index)
    if isinstance(values, Jagged) and isinstance(index, Jagged):
        if index.content.dtype == bool:
            return _compress(values, index)
        if index.content.dtype.kind in "iu":
            return _gather(values, index)
    if not isinstance(index, Jagged | ak.Array):
        raise ExpressionError("a single number cannot index a jagged field", f"use nth(…, {index})")
    try:
        return from_column(to_awkward(values)[to_awkward(index)])
    except (ValueError, IndexError) as error:
        raise ExpressionError(f"the index does not fit the indexed field: {str(error).splitlines()[0]}") from error


def _compress(values: Jagged, mask: Jagged) -> Jagged:
    if not same_offsets(values.offsets, mask.offsets):
        raise ExpressionError("the mask has another structure than the field it is applied to")
    if device.on_gpu(mask.content):
        device.waited()
    return Jagged(device.counted(mask.content)[values.offsets].astype(np.int64), values.content.compress(mask.content))


def _gather(values: Jagged, index: Jagged) -> Jagged:
    if len(values.offsets) != len(index.offsets):
        raise ExpressionError("the index has another number of events than the field it is applied to")
    number = len(index.content)
    parent_counts = device.repeat(values.counts, index.offsets, number)
    position = np.where(index.content < 0, index.content + parent_counts, index.content)
    if any_true((position < 0) | (position >= parent_counts)):
        raise ExpressionError("an index points behind the end of its list", "mask it first, e.g. x[i[i < num(x)]]")
    return Jagged(index.offsets, values.content[position + device.repeat(values.offsets[:-1], index.offsets, number)])


def _pick(values: Value, index: Masked | Any) -> Value:
    """Return one object per event, missing where there is none."""
    where = index.values if isinstance(index, Masked) else index
    if where.dtype.kind not in "iu":
        raise ExpressionError(
            "one value per event cannot be the mask of a jagged field",
            "to select events use a selection; to blank values use where(…, …, …)",
        )
    valid = index.valid if isinstance(index, Masked) else None
    return nth_value(values, where, valid)


def nth_value(values: Value, index: Any, valid: Any = None) -> Value:
    """Return the object at `index` of each event (negative: from the end), missing where there is none.

    Parameters
    ----------
    values : Jagged or awkward array
        A list per event.
    index : int or array of int, shape (events,)
        Position in the list.
    valid : array of bool, optional
        Events in which `index` means something.
    """
    if isinstance(values, ak.Array):
        return _nth_awkward(values, index, valid)
    values, index, valid = one_side(values, index, valid)
    counts = values.counts
    position = _from_start(index, counts)
    found = (counts > position) & (position >= 0)
    if valid is not None:
        found &= valid
    if device.on_gpu(found):  # without a look at what was found: that would be a wait
        if not len(values.content):
            return Masked(np.zeros_like(counts, dtype=values.content.dtype), found)
        return Masked(values.content[np.where(found, values.offsets[:-1] + position, 0)], found)
    if found.all():
        return values.content[values.offsets[:-1] + position]
    events = np.flatnonzero(found)  # five times as fast as indexing with the mask
    out = np.zeros(len(counts), dtype=values.content.dtype)
    out[events] = values.content[(values.offsets[:-1] + position)[events]]
    return Masked(out, found)


def _from_start(index: Any, counts: Any) -> Any:
    """Return positions in lists of length `counts`, where negative ones count from the end."""
    if np.ndim(index):
        return np.where(index < 0, index + counts, index)
    return index + counts if index < 0 else index  # CuPy takes no plain bool as a condition


def _nth_awkward(values: Any, index: Any, valid: Any) -> Value:
    if values.ndim < 2:
        raise ExpressionError("only a jagged field has an n-th object")
    counts = ak.num(values, axis=1)
    counts = from_column(counts) if device.on_gpu(counts) else ak.to_numpy(counts)
    index, valid, counts = one_side(index, valid, counts)
    position = _from_start(index, counts) + np.zeros_like(counts)
    found = (counts > position) & (position >= 0)
    if valid is not None:
        found = found & valid
    wanted = to_awkward(Jagged(device.offsets_of(found), position[found].astype(np.int64)))
    if device.on_gpu(found):
        device.waited()
    return from_column(ak.firsts(values[wanted], axis=1))


def take_events(column: Any, index: Any, shared: dict[tuple[int, int], Any]) -> Any:
    """Return a column at the events `index`, contiguous, so that no later use has to pack it again.

    Parameters
    ----------
    column : numpy or awkward array
        Of all events.
    index : array of int, shape (chosen events,)
        Positions of events.
    shared : dict
        Filled here: columns that share their offsets share the work and the new offsets.
    """
    lists = jagged_of(column) if isinstance(column, ak.Array) and column.ndim == 2 else None
    if lists is None:
        value = from_column(column) if device.on_gpu(column) else None
        return (
            to_awkward(Masked(value.values[index], value.valid[index])) if isinstance(value, Masked) else column[index]
        )
    key = (device.address(lists.offsets), id(index))
    if key not in shared:
        shared[key] = (*_plan(lists, index), lists.offsets, index)  # the last two keep the key's addresses alive
    offsets, chosen = shared[key][:2]
    content = lists.content
    return to_awkward(Jagged(offsets, content.compress(chosen) if chosen.dtype == bool else content[chosen]))


def _plan(lists: Jagged, index: Any) -> tuple[Any, Any]:
    """Return new offsets, and which objects stay: a mask if events keep their order, else positions."""
    counts = lists.counts
    chosen = counts[index]
    offsets = device.offsets_of(chosen)
    if device.on_gpu(index):
        starts = lists.offsets[:-1][index] - offsets[:-1]
        number = device.number(offsets[-1])
        return offsets, device.cupy().arange(number) + device.repeat(starts, offsets, number)
    if (index[1:] > index[:-1]).all() and (len(index) == 0 or index[0] >= 0):
        events = np.zeros(len(counts), dtype=bool)
        events[index] = True
        return offsets, np.repeat(events, counts)
    starts = lists.offsets[:-1][index]
    return offsets, np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], chosen)
