"""Integer arithmetic in int64 with overflow checks: a result that does not fit raises `IntegerOverflowError`.

Known bounds often rule out an overflow, e.g. for 32-bit numbers. Otherwise the minimum and maximum are computed, and only
if these do not rule it out, every entry is checked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import np
from fasthep_parsl.ops.columns.bounds import INT64, Bounds, as_int64, find_bounds, fits_int64, known_bounds, set_bounds
from fasthep_parsl.ops.columns.value_types import ExpressionError, Masked
from fasthep_parsl.ops.counts import any_true


class IntegerOverflowError(ExpressionError):
    """A result does not fit in int64."""


def overflow() -> IntegerOverflowError:
    """Return the error for a result that does not fit in int64."""
    return IntegerOverflowError(
        "the result does not fit in 64-bit integers", "compute with floats: multiply by 1.0 first"
    )


def _product_bounds(a: Bounds, b: Bounds) -> Bounds:
    ends = [x * y for x in a for y in b]
    return min(ends), max(ends)


def _sum_overflows(a: Any, b: Any, found: Any) -> Any:
    return ((a ^ found) & (b ^ found)) < 0


def _difference_overflows(a: Any, b: Any, found: Any) -> Any:
    return ((a ^ b) & (a ^ found)) < 0


def _product_overflows(a: Any, b: Any, found: Any) -> Any:
    """Compare with float64: an overflow changes the result by a multiple of 2⁶⁴, rounding by less than 2⁶²."""
    rough = np.multiply(a, b, dtype=np.float64)
    return np.abs(rough - found) > 2.0**62


_Rule = tuple[Callable[[Bounds, Bounds], Bounds], Callable[[Any, Any, Any], Any]]
_RULES: dict[str, _Rule] = {
    "add": (lambda a, b: (a[0] + b[0], a[1] + b[1]), _sum_overflows),
    "subtract": (lambda a, b: (a[0] - b[1], a[1] - b[0]), _difference_overflows),
    "multiply": (_product_bounds, _product_overflows),
}


def arithmetic(name: str, a: Any, b: Any) -> Any:
    """Return the result of ``add``, ``subtract`` or ``multiply`` for integers or bools, in int64.

    Raises
    ------
    IntegerOverflowError
        A result does not fit.
    """
    bound, wrong = _RULES[name]
    known_a, known_b = known_bounds(a), known_bounds(b)
    bounds = bound(known_a, known_b) if known_a and known_b else None
    if bounds is None or not fits_int64(bounds):
        bounds = bound(find_bounds(a), find_bounds(b))
    a, b = as_int64(a), as_int64(b)
    found = getattr(np, name)(a, b)
    if fits_int64(bounds):
        return set_bounds(found, bounds)
    if any_true(wrong(a, b, found)):
        raise overflow()
    return found


def _negatable_bounds(a: Any) -> Bounds:
    """Return the bounds of integers; raise if the negative of one does not fit."""
    found = known_bounds(a)
    if found is None or found[0] == INT64[0]:
        found = find_bounds(a)
    if found[0] == INT64[0]:
        raise overflow()
    return found


def negative(a: Any) -> Any:
    """Return ``-a`` in int64."""
    low, high = _negatable_bounds(a)
    return set_bounds(np.negative(as_int64(a)), (-high, -low))


def absolute(a: Any) -> Any:
    """Return the absolute value in int64."""
    low, high = _negatable_bounds(a)
    return set_bounds(np.absolute(a, dtype=np.int64), (0, max(-low, high)))


def power(a: Any, exponent: int) -> Any:
    """Return ``a ** exponent`` in int64 for ``exponent >= 0``."""
    low, high = _roots(exponent)
    known = known_bounds(a)
    if known is None or not (low <= known[0] and known[1] <= high):
        known = find_bounds(a)
    if not (low <= known[0] and known[1] <= high):
        raise overflow()
    ends = [known[0] ** exponent, known[1] ** exponent, 0]
    return set_bounds(np.power(as_int64(a), exponent), (min(ends), max(*ends, exponent == 0)))


def _roots(exponent: int) -> Bounds:
    """Return the smallest and largest number whose power fits in int64."""
    if exponent < 2:
        return INT64
    if exponent > 62:
        return (-2 if exponent == 63 else -1), 1
    high = _root(INT64[1], exponent)
    return (-_root(-INT64[0], exponent) if exponent % 2 else -high), high


def _root(number: int, exponent: int) -> int:
    """Return the largest integer whose power is at most `number`."""
    root = int(number ** (1 / exponent))
    while root**exponent > number:
        root -= 1
    while (root + 1) ** exponent <= number:
        root += 1
    return root


def divide(name: str, a: Any, b: Any) -> Any:
    """Return ``floor_divide`` or ``remainder`` in int64; missing where an array `b` is 0."""
    _check_quotient(name, a, b)
    whole, divisor = as_int64(a), as_int64(b)
    bounds = _quotient_bounds(name, a, b)
    if not device.is_array(divisor):
        found = getattr(np, name)(whole, divisor or 1)
        found = found if bounds is None else set_bounds(found, bounds)
        return found if divisor else Masked(found, np.zeros_like(found, dtype=bool))
    valid = divisor != 0
    found = getattr(np, name)(whole, np.where(valid, divisor, 1))
    return Masked(found if bounds is None else set_bounds(found, bounds), valid)


def _check_quotient(name: str, a: Any, b: Any) -> None:
    """Raise for ``-2**63 // -1``, which does not fit."""
    divisors = known_bounds(b)
    if name == "remainder" or (divisors is not None and not divisors[0] <= -1 <= divisors[1]):
        return
    if (known_bounds(a) or INT64)[0] > INT64[0] or find_bounds(a)[0] > INT64[0]:
        return
    if any_true((as_int64(a) == INT64[0]) & (as_int64(b) == -1)):
        raise overflow()


def _quotient_bounds(name: str, a: Any, b: Any) -> Bounds | None:
    known = known_bounds(a if name == "floor_divide" else b)
    if known is None:
        return None
    largest = max(abs(known[0]), abs(known[1])) + 1
    return -largest, largest
