"""``//`` and ``%`` of floats on a GPU as NumPy computes them: CuPy rounds ``a / b`` down, so that its 1 // 0.1 is 10, not 9."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import np


def divides(name: str, parts: tuple[Any, ...]) -> bool:
    """Whether `name` is ``//`` or ``%`` and some of `parts` lie on a GPU."""
    return name in _FLOORED and any(map(device.on_gpu, parts))


def divide(name: str, *parts: Any) -> Any:
    """Return ``//`` or ``%`` of floats."""
    return _FLOORED[name](*parts)


def _common(parts: tuple[Any, ...]) -> Any:
    """Return the type that NumPy computes in: plain numbers do not widen that of arrays."""
    return np.result_type(*(getattr(part, "dtype", part) for part in parts))


def _prepared(parts: tuple[Any, ...]) -> tuple[Any, ...]:
    dtype = _common(parts)
    return tuple(part.astype(dtype, copy=False) if device.is_array(part) else dtype.type(part) for part in parts)


def _exact(a: Any, b: Any) -> tuple[Any, Any]:
    """Return ``fmod(a, b)``, which is exact, and where its sign is not that of `b`."""
    rest = np.fmod(a, b)
    return rest, (rest != 0) & ((rest < 0) != (b < 0))


def remainder(a: Any, b: Any) -> Any:
    """Return ``a % b`` with the sign of `b`, NaN where `b` is 0."""
    a, b = _prepared((a, b))
    rest, other_side = _exact(a, b)
    return np.where(rest == 0, np.copysign(b.dtype.type(0), b), np.where(other_side, rest + b, rest))


def floor_divide(a: Any, b: Any) -> Any:
    """Return ``a // b``: `a` without its remainder is a multiple of `b`, but for rounding; ``a / b`` where `b` is 0."""
    a, b = _prepared((a, b))
    rest, other_side = _exact(a, b)
    quotient = (a - rest) / b
    quotient = np.where(other_side, quotient - 1, quotient)
    floor = np.floor(quotient)
    floor = np.where(quotient - floor > 0.5, floor + 1, floor)
    plain = a / b
    floor = np.where(quotient == 0, np.copysign(b.dtype.type(0), plain), floor)
    return np.where(b == 0, plain, floor)


_FLOORED: dict[str, Callable[[Any, Any], Any]] = {"remainder": remainder, "floor_divide": floor_divide}
"""Name of NumPy's function → the same on a GPU."""
