"""``//`` and ``%`` of floats on a GPU with the results of NumPy. CuPy rounds ``a / b`` down: its 1 // 0.1 is 10, not 9."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import np


def applies_to(name: str, parts: tuple[Any, ...]) -> bool:
    """Whether `name` is ``floor_divide`` or ``remainder`` and one of `parts` is on a GPU."""
    return name in _FLOORED and any(map(device.on_gpu, parts))


def divide(name: str, *parts: Any) -> Any:
    """Return ``floor_divide`` or ``remainder`` of floats."""
    return _FLOORED[name](*parts)


def _common(parts: tuple[Any, ...]) -> Any:
    """Return the type that NumPy computes in. Python numbers do not widen arrays."""
    return np.result_type(*(getattr(part, "dtype", part) for part in parts))


def _prepared(parts: tuple[Any, ...]) -> tuple[Any, ...]:
    dtype = _common(parts)
    return tuple(part.astype(dtype, copy=False) if device.is_array(part) else dtype.type(part) for part in parts)


def _exact(a: Any, b: Any) -> tuple[Any, Any]:
    """Return ``fmod(a, b)``, which is exact, and where its sign differs from that of `b`."""
    rest = np.fmod(a, b)
    return rest, (rest != 0) & ((rest < 0) != (b < 0))


def remainder(a: Any, b: Any) -> Any:
    """Return ``a % b`` with the sign of `b`, NaN where `b` is 0."""
    a, b = _prepared((a, b))
    rest, other_side = _exact(a, b)
    return np.where(rest == 0, np.copysign(b.dtype.type(0), b), np.where(other_side, rest + b, rest))


def floor_divide(a: Any, b: Any) -> Any:
    """Return ``a // b``, computed as in NumPy from the exact remainder; ``a / b`` where `b` is 0."""
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
"""Name of a NumPy function → its implementation for a GPU."""
