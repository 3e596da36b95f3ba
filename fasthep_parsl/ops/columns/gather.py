"""Take, compress, repeat and concatenate the entries of values, as NumPy does for arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import ak, np
from fasthep_parsl.ops.columns.bounds import copy_bounds
from fasthep_parsl.ops.columns.value_types import Jagged, Masked, Value, all_valid, is_scalar


def compress(value: Value, mask: Any) -> Value:
    """Return the entries for which `mask` (array of bool) is true."""
    if isinstance(value, Masked):
        return Masked(value.values.compress(mask), value.valid.compress(mask))
    if isinstance(value, Jagged):
        inside = device.repeat(mask, value.offsets, device.to_python(value.offsets[-1]))
        present = None if value.present is None else value.present.compress(mask)
        return Jagged(device.offsets_of(value.counts.compress(mask)), compress(value.content, inside), present)
    return value[mask] if isinstance(value, ak.Array) else value.compress(mask)


def take(value: Value, index: Any, valid: Any = None) -> Value:
    """Return the entries at `index` (array of int).

    Parameters
    ----------
    value : Value
        Anything but a constant.
    index : array of int
        Positions. They must be in range where they are valid.
    valid : array of bool, optional
        The result is missing where this is false. If it is given, the result has an option type.
    """
    if valid is not None:
        index = np.where(valid, index, 0)
        if not len(value):
            return _all_missing(value, valid)
    if isinstance(value, Masked):
        return Masked(value.values[index], all_valid(value.valid[index], valid))
    if isinstance(value, Jagged):
        return _lists_at(value, index, valid)
    if isinstance(value, ak.Array):
        return value[index] if valid is None else _text_at(value, index, valid)
    return value[index] if valid is None else Masked(value[index], valid)


def _lists_at(value: Jagged, index: Any, valid: Any) -> Jagged:
    counts = value.counts[index]
    counts = counts if valid is None else np.where(valid, counts, 0)
    offsets = device.offsets_of(counts)
    number = device.to_python(offsets[-1])
    starts = device.repeat(value.offsets[:-1][index] - offsets[:-1], offsets, number)
    present = None if value.present is None else value.present[index]
    inside = device.module_of(offsets).arange(number) + starts
    return Jagged(offsets, take(value.content, inside), all_valid(present, valid))


def _text_at(value: Any, index: Any, valid: Any) -> Any:
    layout = value.layout
    where = ak.index.Index64(np.where(valid, index, -1))
    return ak.Array(ak.contents.IndexedOptionArray.simplified(where, layout))


def _all_missing(value: Value, valid: Any) -> Value:
    if isinstance(value, Jagged):
        return Jagged(device.offsets_of(np.zeros_like(valid, dtype=np.int64)), value.content, np.zeros_like(valid))
    if isinstance(value, ak.Array):
        return _text_at(value, np.zeros_like(valid, dtype=np.int64), np.zeros_like(valid))
    dtype = (value.values if isinstance(value, Masked) else value).dtype
    return Masked(np.zeros_like(valid, dtype=dtype), np.zeros_like(valid))


def repeat(value: Value, offsets: Any, number: int) -> Value:
    """Return one value per event repeated for each object of lists with `offsets`; `number` is the total of objects."""
    if is_scalar(value):
        return value
    if isinstance(value, Masked):
        return Masked(*(device.repeat(part, offsets, number) for part in (value.values, value.valid)))
    if isinstance(value, Jagged | ak.Array):
        events = device.module_of(offsets).arange(len(offsets) - 1)
        return take(value, device.repeat(events, offsets, number))
    return copy_bounds(value, device.repeat(value, offsets, number))


def type_of(value: Value) -> str:
    """Return the type of a value as text: depth of lists and type of items, without regard to missing values."""
    if isinstance(value, Jagged):
        return f"list of {type_of(value.content)}"
    if isinstance(value, ak.Array):
        fields = ak.fields(value)
        return str(value.type.content) if fields else "text"
    return str((value.values if isinstance(value, Masked) else value).dtype)


def concatenate(parts: Sequence[Value]) -> Value:
    """Return the concatenation of values of the same `type_of`, in host memory."""
    if any(isinstance(part, ak.Array) for part in parts):
        return ak.concatenate(parts)
    if any(isinstance(part, Jagged) for part in parts):
        present = None
        if any(part.present is not None for part in parts):
            present = np.concatenate([_all_true(len(part)) if part.present is None else part.present for part in parts])
        counts = np.concatenate([part.counts for part in parts])
        return Jagged(device.offsets_of(counts), concatenate([part.content for part in parts]), present)
    if any(isinstance(part, Masked) for part in parts):
        valid = [part.valid if isinstance(part, Masked) else _all_true(len(part)) for part in parts]
        values = [part.values if isinstance(part, Masked) else part for part in parts]
        return Masked(np.concatenate(values), np.concatenate(valid))
    return np.concatenate(parts)


def _all_true(number: int) -> Any:
    return np.ones(number, dtype=bool)
