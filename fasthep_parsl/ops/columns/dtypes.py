"""Type promotion: expressions compute in bool, int64, float32 and float64, and constants adapt to arrays.

Types depend on the types of arrays and on constants, never on the values in arrays.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import ak, np
from fasthep_parsl.ops.columns.value_types import ExpressionError, Jagged, Masked, Value, is_scalar

Parts = tuple[Any, ...]
"""Arrays of numbers and constants."""

LARGEST = 2**63 - 1
"""Largest integer in expressions."""


def as_expression_type(value: Value, name: str) -> Value:
    """Return a field in a type that expressions support: uint64 becomes int64, float16 float64, in native byte order.

    Raises
    ------
    ExpressionError
        A number does not fit in int64, or the field contains neither numbers nor text.
    """
    if isinstance(value, Jagged):
        content = as_expression_type(value.content, name)
        return value if content is value.content else Jagged(value.offsets, content, value.present)
    if isinstance(value, Masked):
        values = as_expression_type(value.values, name)
        return value if values is value.values else Masked(values, value.valid)
    if isinstance(value, ak.Array):
        return _text(value, name)
    if is_scalar(value):
        return value
    if not hasattr(value, "dtype"):
        raise ExpressionError(f"`{name}` contains neither numbers nor text")
    return _native(value, name)


_SUPPORTED = frozenset("?bBhHiIlqfdLQ")
"""NumPy type codes that need no conversion except of the byte order."""


def _native(array: Any, name: str) -> Any:
    dtype = array.dtype
    if dtype.kind == "U":
        return ak.from_numpy(array)
    if dtype.kind not in "biuf":
        raise ExpressionError(f"`{name}` has the type {dtype}, which expressions do not support")
    if dtype.kind == "u" and dtype.itemsize == 8:
        if len(array) and device.to_python(array.max()) > LARGEST:
            raise ExpressionError(
                f"a value of `{name}` does not fit in 64-bit signed integers",
                f"use the field without operators: `{name}`",
            )
        return array.astype(np.int64)
    if dtype.char not in _SUPPORTED:
        return array.astype(np.float64)
    return array if dtype.isnative else array.astype(dtype.newbyteorder("="))


def _text(array: Any, name: str) -> Any:
    layout = array.layout
    while layout.is_option or layout.is_indexed:
        layout = layout.content
    if layout.parameter("__array__") in ("string", "bytestring"):
        return array
    fields = ak.fields(array)
    hint = f"its parts are {', '.join(fields[:8])}: read them as separate fields" if fields else ""
    raise ExpressionError(f"`{name}` has the type {array.type.content}, which expressions do not support", hint)


def is_whole(part: Any) -> bool:
    """Whether a part consists of integers or bools."""
    return isinstance(part, int) or getattr(getattr(part, "dtype", None), "kind", "f") in "biu"


def is_bool(part: Any) -> bool:
    """Whether a part consists of bools."""
    return isinstance(part, bool) or getattr(part, "dtype", None) == bool


def as_int64(part: Any) -> Any:
    """Return integers and bools as int64, a constant as int."""
    return part.astype(np.int64, copy=False) if device.is_array(part) else int(part)


def as_float64(part: Any) -> Any:
    """Return numbers as float64, a constant as float."""
    return part.astype(np.float64, copy=False) if device.is_array(part) else float(part)


def as_floats(parts: Parts) -> Parts:
    """Return numbers in the type of floating-point operations.

    It is float32 if all arrays are float32 and the constants fit, else float64.
    """
    arrays = [part for part in parts if device.is_array(part)]
    single = all(part.dtype == np.float32 for part in arrays)
    if arrays and single and all(_fits_float32(part) for part in parts if is_scalar(part)):
        return tuple(part if device.is_array(part) else float(part) for part in parts)
    return tuple(map(as_float64, parts))


def promote(parts: Parts) -> Parts:
    """Return numbers in their common type: bool, int64, float32 or float64."""
    if all(map(is_bool, parts)):
        return parts
    if all(map(is_whole, parts)):
        return tuple(map(as_int64, parts))
    return as_floats(parts)


def promote_for_comparison(parts: Parts) -> Parts:
    """Return numbers in types that NumPy compares by value. Integers need no conversion."""
    arrays: list[Any] = []
    numbers: list[Any] = []
    for part in parts:
        (numbers if is_scalar(part) else arrays).append(part)
    for dtype in (part.dtype for part in arrays) if numbers else ():
        if dtype.kind == "f" and dtype.itemsize == 4:
            return as_floats(parts)
        if dtype.kind in "iu" and not all(_within(dtype, number) for number in numbers):
            return promote(parts)
    return parts


def _within(dtype: Any, number: Any) -> bool:
    return isinstance(number, float) or _first_and_last(dtype)[0] <= number <= _first_and_last(dtype)[1]


@lru_cache(maxsize=64)
def _first_and_last(dtype: Any) -> tuple[int, int]:
    limits = np.iinfo(dtype)
    return int(limits.min), int(limits.max)


@lru_cache(maxsize=4096)
def _fits_float32(number: float) -> bool:
    """Whether float32 represents a constant up to rounding; an integer must be exact."""
    with np.errstate(all="ignore"):
        rounded = float(np.float32(number))
    if isinstance(number, int):
        return rounded == number
    if math.isnan(number) or number in (float("inf"), float("-inf")):
        return True
    return abs(rounded - number) <= 2.0**-24 * abs(number)
