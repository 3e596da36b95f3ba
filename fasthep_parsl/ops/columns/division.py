"""``//`` and ``%`` of floats on a GPU as NumPy computes them: CuPy rounds ``a / b`` down, so that its 1 // 0.1 is 10, not 9."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import ak, np


def divides(name: str, parts: tuple[Any, ...]) -> bool:
    """Whether `name` is ``//`` or ``%`` and some of `parts` lie on a GPU."""
    return name in _FLOORED and any(map(device.on_gpu, parts))


def divide(name: str, *parts: Any) -> Any:
    """Return ``//`` or ``%`` of two values, flat or awkward; of integers as CuPy computes it, which is right."""
    if any(isinstance(part, ak.Array) for part in parts):
        return _inside(name, parts)
    return (_FLOORED[name] if _common(parts).kind == "f" else getattr(np, name))(*parts)


def _inside(name: str, parts: tuple[Any, ...]) -> Any:
    """Divide the numbers inside awkward arrays; one of `parts` may be a plain number."""
    is_array = [getattr(part, "ndim", 0) > 0 for part in parts]

    def at(layouts: Any, **_: Any) -> Any:
        layouts = layouts if isinstance(layouts, list | tuple) else [layouts]
        if not all(layout.is_numpy for layout in layouts):
            return None  # further down
        found = iter(layout.data for layout in layouts)
        flat = (next(found) if known else part for part, known in zip(parts, is_array, strict=True))
        return ak.contents.NumpyArray(divide(name, *flat))

    return ak.transform(at, *(part for part, known in zip(parts, is_array, strict=True) if known))


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
