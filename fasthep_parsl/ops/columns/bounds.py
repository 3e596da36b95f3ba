"""Known bounds of the integers in an array: they rule out an overflow without looking at the numbers."""

from __future__ import annotations

from typing import Any

from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import np

Bounds = tuple[int, int]
"""Minimum and maximum that can occur."""

INT64: Bounds = (-(2**63), 2**63 - 1)
_bounds = device.WeakArrayDict()
"""Array → bounds that its numbers do not exceed."""
_exact_bounds = device.WeakArrayDict()
"""Array → its minimum and maximum."""


def set_bounds(array: Any, bounds: Bounds) -> Any:
    """Record the bounds of an array of int64, and return the array."""
    if INT64[0] < bounds[0] or bounds[1] < INT64[1]:
        _bounds.put(array, bounds)
    return array


def copy_bounds(source: Any, array: Any) -> Any:
    """Give `array` the bounds of `source`, because it contains no other numbers. Return it."""
    known = _bounds.get(source) if device.is_array(source) else None
    return array if known is None else set_bounds(array, known)


def known_bounds(part: Any) -> Bounds | None:
    """Return the bounds of a constant or an array of integers or bools if they are known, else None."""
    if not device.is_array(part):
        return int(part), int(part)
    if part.dtype.kind == "b":
        return 0, 1
    if part.dtype.itemsize < 8:
        bits = 8 * part.dtype.itemsize
        return (0, 2**bits - 1) if part.dtype.kind == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return _bounds.get(part)  # type: ignore[no-any-return]


def find_bounds(part: Any) -> Bounds:
    """Return the minimum and maximum of an array. On a GPU this waits twice, unless they are known."""
    if not device.is_array(part) or part.dtype.kind == "b":
        return known_bounds(part) or (0, 0)
    found = _exact_bounds.get(part)
    if found is None:
        found = (device.to_python(part.min()), device.to_python(part.max())) if len(part) else (0, 0)
        _exact_bounds.put(part, found)
        _bounds.put(part, found)
    return found  # type: ignore[no-any-return]


def fits_int64(bounds: Bounds) -> bool:
    """Whether all numbers in `bounds` fit in int64."""
    return INT64[0] <= bounds[0] and bounds[1] <= INT64[1]


def as_int64(part: Any) -> Any:
    """Return integers and bools as int64, with their bounds."""
    if not device.is_array(part):
        return int(part)
    if part.dtype == np.int64:
        return part
    return set_bounds(part.astype(np.int64), known_bounds(part) or INT64)
