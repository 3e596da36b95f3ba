"""Reductions of a jagged value to one value per event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import ak, np
from fasthep_parsl.ops.columns import segments
from fasthep_parsl.ops.columns.values import (
    ExpressionError,
    Jagged,
    Masked,
    Value,
    elementwise,
    from_column,
    to_awkward,
)


def reduce_value(name: str, value: Value) -> Value:
    """Reduce each event's list; `name` is one of `REDUCTIONS`.

    Sums and means are computed in float64 (sums of integers and bools in int64). An empty list has sum 0, any
    false, all true, mean and std NaN; its min, max, argmin and argmax are missing.

    Raises
    ------
    ExpressionError
        `value` is not jagged.
    """
    if isinstance(value, Jagged):
        return _REDUCTIONS[name](value)
    if isinstance(value, ak.Array) and value.ndim > 1:
        return _of_awkward(name, value)
    raise not_jagged(name)


def not_jagged(name: str) -> ExpressionError:
    """Return the error for a reduction of one value per event."""
    two = f"; for two fields use {name}imum(a, b)" if name in ("min", "max") else ""
    return ExpressionError(
        f"reduction of an event-level field: {name}(x) needs a list per event, x has one value per event",
        f"use the field without {name}(){two}",
    )


def _list(value: Jagged, content: Any = None) -> Any:
    return to_awkward(value if content is None else Jagged(value.offsets, content))


def _numpy(array: Any) -> Any:
    return array if isinstance(array, np.ndarray) else ak.to_numpy(array)


def count_true(value: Jagged) -> Any:
    """Return how many entries of each list are not zero, int64, shape (events,)."""
    true = value.content if value.content.dtype == bool else value.content != 0
    before = device.counted(true)[value.offsets]
    return (before[1:] - before[:-1]).astype(np.int64)


def _sum(value: Jagged) -> Any:
    kind = value.content.dtype.kind
    if kind == "b":
        return count_true(value)
    wide = value.content.astype(np.float64 if kind == "f" else np.int64, copy=False)
    if device.on_gpu(wide):
        return segments.total(Jagged(value.offsets, wide))
    return _numpy(ak.sum(_list(value, wide), axis=1))


def _mean(value: Jagged) -> Any:
    with np.errstate(all="ignore"):
        return _sum(value) / value.counts


def _std(value: Jagged) -> Any:
    off = value.content - device.repeat(_mean(value), value.offsets, len(value.content))
    return np.sqrt(_mean(Jagged(value.offsets, off * off)))


def _extreme(name: str) -> Callable[[Jagged], Value]:
    def extreme(value: Jagged) -> Value:
        found = value.counts > 0
        if device.on_gpu(found):
            return Masked(_extreme_on_gpu(name, value), found)
        out = _numpy(getattr(ak, name)(_list(value), axis=1, mask_identity=False))
        if found.all():
            return out
        return Masked(np.where(found, out, np.zeros((), out.dtype)), found)

    return extreme


def _extreme_on_gpu(name: str, value: Jagged) -> Any:
    if name.startswith("arg"):
        return segments.position_of_extreme(value, np.less if name == "argmin" else np.greater)
    return segments.extreme(value, np.less if name == "min" else np.greater)


_REDUCTIONS: dict[str, Callable[[Jagged], Value]] = {
    "sum": _sum,
    "mean": _mean,
    "std": _std,
    "min": _extreme("min"),
    "max": _extreme("max"),
    "argmin": _extreme("argmin"),
    "argmax": _extreme("argmax"),
    "any": lambda value: count_true(value) > 0,
    "all": lambda value: count_true(value) == value.counts,
    "num": lambda value: value.counts,
    "count": lambda value: value.counts,
    "count_nonzero": count_true,
}
REDUCTIONS = frozenset(_REDUCTIONS)


def _of_awkward(name: str, value: Any) -> Value:
    """Reduce what has missing values inside its lists: they are left out."""
    if name in ("sum", "mean", "std"):
        value = ak.values_astype(value, np.float64) if _is_float(value) or name != "sum" else value
    if name == "mean":
        return elementwise(np.true_divide, reduce_value("sum", value), reduce_value("count", value))
    result = from_column(getattr(ak, name)(value, axis=1))
    return result.values if name == "std" and isinstance(result, Masked) else result


def _is_float(value: Any) -> bool:
    return "float" in str(value.type)
