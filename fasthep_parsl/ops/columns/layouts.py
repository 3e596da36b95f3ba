"""Convert columns to values of flat arrays and back, without copies where possible."""

from __future__ import annotations

from typing import Any

from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import ak, np
from fasthep_parsl.ops.columns.gather import compress, take
from fasthep_parsl.ops.columns.value_types import Jagged, Masked, Value, all_valid


def from_column(column: Any) -> Value:
    """Return a column as a `Value`: flat arrays, or an awkward array if it does not consist of numbers."""
    if device.is_array(column):
        return column if column.ndim == 1 else _from_matrix(column)
    if not isinstance(column, ak.Array):
        return column
    return _value(column.layout)


def _from_matrix(array: Any) -> Value:
    """Return lists of equal length for an array of shape (events, n, …)."""
    length, size, rest = array.shape[0], array.shape[1], array.shape[2:]
    offsets = device.module_of(array).arange(length + 1, dtype=np.int64) * size
    content = array.reshape(length * size, *rest)
    return Jagged(offsets, content if content.ndim == 1 else _from_matrix(content))


def _value(layout: Any) -> Value:
    if layout.is_option:
        return _optional(layout)
    if layout.is_indexed:
        return _value(layout.project())
    if layout.is_list and not layout.parameter("__array__"):
        return _list(layout)
    if layout.is_numpy:
        return from_column(layout.data)
    if layout.is_unknown:
        return layout.to_NumpyArray(np.float64).data
    return ak.Array(layout)


def _list(layout: Any) -> Jagged:
    if not isinstance(layout, ak.contents.ListOffsetArray):
        layout = layout.to_ListOffsetArray64(True)  # a ListArray, e.g. the result of a selection
    offsets, content = layout.offsets.data, layout.content
    if device.is_normalised(offsets):
        return Jagged(offsets, _value(content))
    if offsets.dtype != np.int64:
        offsets = offsets.astype(np.int64)
    first, last = (
        (offsets[0], offsets[-1]) if isinstance(offsets, np.ndarray) else map(device.to_python, offsets[[0, -1]])
    )
    if first == 0 and last == content.length:
        return Jagged(offsets, _value(content))
    offsets = offsets - first if first != 0 else offsets
    if content.is_numpy and content.data.ndim == 1:  # faster than slicing a layout
        return Jagged(offsets, content.data[first:last])
    return Jagged(offsets, _value(content[int(first) : int(last)]))


def _optional(layout: Any) -> Value:
    content = layout.content
    if content.is_indexed and not content.is_option:
        content = content.project()
    found = _value(content)
    if isinstance(found, ak.Array):
        return ak.Array(layout)
    index, valid = _index_of(layout)
    if index is not None:
        return take(found, index, valid)
    if isinstance(found, Jagged):
        return _mask_lists(found, valid)
    number = len(valid)
    if isinstance(found, Masked):
        return Masked(found.values[:number], all_valid(valid, found.valid[:number]))
    return Masked(found[:number], valid)


def _index_of(layout: Any) -> tuple[Any, Any]:
    """Return positions in the content (None: in order) and where entries are not missing."""
    if isinstance(layout, ak.contents.UnmaskedArray):
        module = device.module_of(ak.Array(layout))
        return None, module.ones(layout.length, dtype=bool)
    if isinstance(layout, ak.contents.ByteMaskedArray):
        return None, layout.mask.data[: layout.length] == int(layout.valid_when)
    if isinstance(layout, ak.contents.BitMaskedArray):
        return _index_of(layout.to_ByteMaskedArray())
    index = layout.index.data
    return np.maximum(index, 0), index >= 0


def _mask_lists(lists: Jagged, valid: Any) -> Jagged:
    """Return lists that are missing where `valid` is false. The content of missing lists is dropped."""
    number = len(valid)
    if len(lists) > number:
        lists = take(lists, device.module_of(valid).arange(number))
    counts = np.where(valid, lists.counts, 0)
    offsets = device.offsets_of(counts)
    content = lists.content
    if device.to_python(offsets[-1]) != device.to_python(lists.offsets[-1]):
        content = compress(content, device.repeat(valid, lists.offsets, device.to_python(lists.offsets[-1])))
    return Jagged(offsets, content, all_valid(valid, lists.present))


def to_column(value: Value, length: int) -> Any:
    """Return a value as a column of `length` events: numpy, or awkward if it is jagged or can have missing values."""
    if isinstance(value, Jagged | Masked):
        return to_awkward(value)
    if isinstance(value, ak.Array) or (device.is_array(value) and value.ndim == 1):
        return value
    return np.full(length, device.to_python(value))


def drop_masks(value: Value) -> Value:
    """Return a value in host memory without its masks of missing entries if no entry is missing."""
    if isinstance(value, Jagged):
        everywhere = value.present is None or value.present.all()
        return Jagged(value.offsets, drop_masks(value.content), None if everywhere else value.present)
    return value.values if isinstance(value, Masked) and value.valid.all() else value


def to_awkward(value: Value) -> Any:
    """Return an awkward array for `Jagged` and `Masked`; other values unchanged."""
    return ak.Array(_layout(value)) if isinstance(value, Jagged | Masked) else value


def _layout(value: Value) -> Any:
    if isinstance(value, Jagged):
        if device.on_gpu(value.offsets):
            device.mark_normalised(value.offsets)
        layout = ak.contents.ListOffsetArray(ak.index.Index64(value.offsets), _layout(value.content))
        return layout if value.present is None else _masked(value.present, layout)
    if isinstance(value, Masked):
        return _masked(value.valid, ak.contents.NumpyArray(value.values))
    return value.layout if isinstance(value, ak.Array) else ak.contents.NumpyArray(value)


def _masked(valid: Any, content: Any) -> Any:
    return ak.contents.ByteMaskedArray(ak.index.Index8(valid.view(np.int8)), content, valid_when=True)
