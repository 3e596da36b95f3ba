"""``where``, ``fill_none`` and ``is_none``: the functions with special rules for missing values."""

from __future__ import annotations

from typing import Any

from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import ak, np
from fasthep_parsl.ops.columns.broadcast import broadcast_to, elementwise
from fasthep_parsl.ops.columns.dtypes import is_bool, promote
from fasthep_parsl.ops.columns.operators import as_bool
from fasthep_parsl.ops.columns.value_types import (
    ExpressionError,
    Jagged,
    Masked,
    Value,
    all_valid,
    is_scalar,
    is_text,
    same_device,
)


def where(condition: Value, a: Value, b: Value) -> Value:
    """Return `a` where the condition is true, else `b`; missing if the condition or the chosen entry is."""
    return elementwise(_where, condition, a, b)


def _chosen_valid(chosen: Any, a: Any, b: Any) -> Any:
    """Return the chosen one of two masks, entry by entry. None means valid everywhere."""
    if a is None and b is None:
        return None
    parts = device.same_device(tuple(part for part in (chosen, a, b) if part is not None))
    if a is None:
        return parts[0] | parts[1]
    return ~parts[0] | parts[1] if b is None else np.where(*parts)


def _where(condition: Value, a: Value, b: Value) -> Value:
    if is_text(condition):
        raise ExpressionError("where(): the condition cannot be text", "compare it: where(x == 'a', …, …)")
    if is_text(a) or is_text(b):
        return _text_where(condition, a, b)
    values = [part.values if isinstance(part, Masked) else part for part in (a, b)]
    if is_scalar(condition) and all(map(is_scalar, (a, b))):
        return a if condition else b
    masks = [part.valid if isinstance(part, Masked) else None for part in (condition, a, b)]
    flat = condition.values if isinstance(condition, Masked) else condition
    chosen, *values = device.same_device((flat, *promote(tuple(values))))
    chosen = np.bool_(chosen) if is_scalar(chosen) else as_bool(chosen)  # CuPy does not take a Python bool
    found = np.where(chosen, *(_typed(value, values) for value in values))
    valid = all_valid(masks[0], _chosen_valid(chosen, masks[1], masks[2]))
    return found if valid is None else Masked(found, valid)


def _typed(value: Any, values: list[Any]) -> Any:
    """Return a constant in the type of the other value, or in its own type if both are constants."""
    if not is_scalar(value):
        return value
    other = next((each.dtype for each in values if device.is_array(each)), None)
    return np.asarray(value)[()] if other is None else other.type(value)


def _text_where(condition: Value, a: Value, b: Value) -> Value:
    if not (is_text(a) and is_text(b)):
        raise ExpressionError("where() cannot mix text and numbers")
    if is_scalar(condition):
        return a if condition else b
    chosen = condition.values if isinstance(condition, Masked) else condition
    if device.on_gpu(chosen):
        chosen = device.download(chosen)
    found = ak.where(as_bool(chosen), *(_texts(part, len(chosen)) for part in (a, b)))
    if isinstance(condition, Masked):
        valid = condition.valid
        found = ak.mask(found, device.download(valid) if device.on_gpu(valid) else valid)
    return found


def _texts(value: Value, number: int) -> Any:
    """Return an array of `number` texts. awkward alone would broadcast a str as a list of letters."""
    return ak.Array([value])[np.zeros(number, dtype=np.int64)] if isinstance(value, str) else ak.Array(value)


def fill_none(x: Value, value: Value) -> Value:
    """Return `x` with missing entries replaced by `value`, in their common type. Missing if both are."""
    with np.errstate(all="ignore"):
        return _filled(*same_device(x, value))


def _filled(x: Value, value: Value) -> Value:
    if isinstance(x, Jagged):
        content = _filled(x.content, broadcast_to(value, x))
        present = x.present
        if present is not None and isinstance(value, Jagged):
            present = None if value.present is None else device.any_of([present, value.present])
        return Jagged(x.offsets, content, present)
    if isinstance(value, Jagged):
        raise ExpressionError(
            "fill_none(x, value): x has one value per event, value has a list", "use one value, e.g. nth(value, 0)"
        )
    if is_text(x) is not is_text(value):
        raise ExpressionError("fill_none(x, value) cannot mix text and numbers")
    if is_text(x):
        return x if isinstance(x, str) else ak.fill_none(x, value, axis=None)
    if is_scalar(x):
        return x
    flat, other = (part.values if isinstance(part, Masked) else part for part in (x, value))
    flat, other = _promote_fill(*device.same_device((flat, other)))
    if not isinstance(x, Masked):
        return flat
    valid, masks = x.valid, [x.valid]
    found = np.where(valid, flat, other)
    if not isinstance(value, Masked):
        return found
    return Masked(found, device.any_of([*masks, value.valid]))


def _promote_fill(flat: Any, other: Any) -> tuple[Any, Any]:
    """Return both in their common type. 0 and 1 become bools if they replace missing bools."""
    if is_bool(flat) and is_scalar(other) and other in (0, 1):
        return flat, np.bool_(other)
    flat, other = promote((flat, other))
    return flat, _typed(other, [flat])


def is_none(x: Value) -> Value:
    """Return where `x` is missing; for lists, per object."""
    return elementwise(_is_none, x)


def _is_none(x: Value) -> Value:
    if isinstance(x, Masked):
        return ~x.valid
    if isinstance(x, ak.Array):
        return ak.to_numpy(ak.is_none(x))
    return False if is_scalar(x) else np.zeros_like(x, dtype=bool)
