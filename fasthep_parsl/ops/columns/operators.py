"""Element-wise operators and functions of numbers. Each takes and returns leaves (see `broadcast.Leaf`).

A result is missing if one of its operands is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import np
from fasthep_parsl.ops.columns import integers
from fasthep_parsl.ops.columns.bounds import as_int64, fits_int64
from fasthep_parsl.ops.columns.division import applies_to, divide
from fasthep_parsl.ops.columns.dtypes import as_floats, is_bool, is_whole, promote, promote_for_comparison
from fasthep_parsl.ops.columns.value_types import ExpressionError, Masked, Value, all_valid, is_scalar, is_text
from fasthep_parsl.ops.kinematics import delta_phi, delta_r

ArrayFunction = Callable[..., Any]
"""A function of arrays and constants of numbers, at least one array, which returns an array or `Masked`."""


def propagate_missing(name: str, flat: ArrayFunction) -> Callable[..., Value]:
    """Return a function of leaves whose result is missing if an argument is missing."""

    def leaf(*leaves: Value) -> Value:
        kinds = {*map(type, leaves)}
        if np.ndarray in kinds and kinds <= {np.ndarray, bool, int, float}:  # the usual case; text is an awkward array
            return flat(*leaves)
        if any(map(is_text, leaves)):
            raise ExpressionError(f"text cannot be used with {name}", "text can be compared with == and !=")
        if all(map(is_scalar, leaves)):
            return _fold(flat, leaves)
        parts = device.same_device(tuple(leaf.values if isinstance(leaf, Masked) else leaf for leaf in leaves))
        valid = all_valid(*(leaf.valid for leaf in leaves if isinstance(leaf, Masked)))
        return _mask(_call(flat, parts, valid), valid)

    return leaf


def _call(flat: ArrayFunction, parts: tuple[Any, ...], valid: Any) -> Any:
    try:
        return flat(*parts)
    except integers.IntegerOverflowError:
        if valid is None:
            raise
    # ignore overflows of masked entries
    return flat(*(np.where(valid, part, np.zeros_like(part)) if device.is_array(part) else part for part in parts))


def _mask(found: Any, valid: Any) -> Value:
    if isinstance(found, Masked):
        return Masked(found.values, all_valid(found.valid, valid))
    return found if valid is None else Masked(found, valid)


def _fold(flat: ArrayFunction, leaves: tuple[Any, ...]) -> Any:
    """Return the result for constants as a constant, so that it does not widen float32 arrays."""
    for leaf in leaves:
        if isinstance(leaf, int) and not fits_int64((leaf, leaf)):
            raise ExpressionError(f"{leaf} does not fit in 64-bit integers", "write it as a float")
    found = flat(np.asarray([leaves[0]]), *leaves[1:])
    if isinstance(found, Masked):
        raise ExpressionError("integer division by zero")
    return found[0].item()


# --- operators --------------------------------------------------------------------------------------------


def _arithmetic(name: str) -> ArrayFunction:
    def flat(a: Any, b: Any) -> Any:
        if is_whole(a) and is_whole(b):
            return integers.arithmetic(name, a, b)
        return getattr(np, name)(*as_floats((a, b)))

    return flat


def _quotient(name: str) -> ArrayFunction:
    def flat(a: Any, b: Any) -> Any:
        if is_whole(a) and is_whole(b):
            return integers.divide(name, a, b)
        parts = as_floats((a, b))
        return divide(name, *parts) if applies_to(name, parts) else getattr(np, name)(*parts)

    return flat


def _power(a: Any, b: Any) -> Any:
    if is_whole(a) and is_scalar(b) and is_whole(b) and b >= 0:
        return integers.power(a, int(b))
    return np.power(*as_floats((a, b)))


def _negative(a: Any) -> Any:
    return integers.negative(a) if is_whole(a) else np.negative(a)


def _positive(a: Any) -> Any:
    return as_int64(a) if is_whole(a) else a


def _bitwise(name: str) -> ArrayFunction:
    def flat(*parts: Any) -> Any:
        if not all(map(is_whole, parts)):
            raise ExpressionError(
                "& | ^ ~ take bools or integers, not floats", "to combine cuts, compare first: (x > 1) & (y < 2)"
            )
        return getattr(np, name)(*promote(parts))

    return flat


def _logical(name: str) -> ArrayFunction:
    def flat(*parts: Any) -> Any:
        return getattr(np, name)(*parts)

    return flat


def _compare(name: str) -> ArrayFunction:
    return lambda *parts: getattr(np, name)(*promote_for_comparison(parts))


def _texts(name: str) -> Callable[[Value, Value], Value]:
    def leaf(a: Value, b: Value) -> Value:
        from fasthep_parsl.ops.columns.layouts import from_column

        if not (is_text(a) and is_text(b)):
            raise ExpressionError(
                "text can only be compared with text", "write text in quotes and numbers without quotes"
            )
        if isinstance(a, str) and isinstance(b, str):
            return (a == b) is (name == "equal")
        return from_column(getattr(np, name)(a, b))

    return leaf


def _comparison(name: str) -> Callable[..., Value]:
    numbers = propagate_missing({"equal": "==", "not_equal": "!="}.get(name, "< <= > >="), _compare(name))
    if name not in ("equal", "not_equal"):
        return numbers
    texts = _texts(name)
    return lambda a, b: texts(a, b) if is_text(a) or is_text(b) else numbers(a, b)


# --- functions --------------------------------------------------------------------------------------------


def _float_function(name: str) -> ArrayFunction:
    return lambda *parts: getattr(np, name)(*as_floats(parts))


def _rounding(name: str) -> ArrayFunction:
    return lambda a: as_int64(a) if is_whole(a) else getattr(np, name)(a)


def _sign(a: Any) -> Any:
    return np.sign(as_int64(a) if is_whole(a) else a)


def _absolute(a: Any) -> Any:
    return integers.absolute(a) if is_whole(a) else np.absolute(a)


def _extremum(name: str) -> ArrayFunction:
    def flat(a: Any, b: Any) -> Any:
        whole = is_whole(a) and is_whole(b)
        return getattr(np, name)(*((as_int64(a), as_int64(b)) if whole else as_floats((a, b))))

    return flat


def _test(name: str) -> ArrayFunction:
    def flat(a: Any) -> Any:
        if is_whole(a):
            return np.ones_like(a, dtype=bool) if name == "isfinite" else np.zeros_like(a, dtype=bool)
        return getattr(np, name)(a)

    return flat


FLOATS = ("sqrt", "log", "log10", "log2", "log1p", "exp", "expm1", "cos", "sin", "tan", "cosh", "sinh", "tanh",
          "arccos", "arcsin", "arctan", "arcsinh", "arccosh", "arctanh", "hypot", "arctan2")  # fmt: skip
"""NumPy functions that compute integers in float64."""

_FLAT: dict[str, tuple[str, ArrayFunction]] = {
    "add": ("+", _arithmetic("add")),
    "subtract": ("-", _arithmetic("subtract")),
    "multiply": ("*", _arithmetic("multiply")),
    "true_divide": ("/", _float_function("true_divide")),
    "floor_divide": ("//", _quotient("floor_divide")),
    "remainder": ("%", _quotient("remainder")),
    "power": ("**", _power),
    "negative": ("-", _negative),
    "positive": ("+", _positive),
    "bitwise_and": ("&", _bitwise("bitwise_and")),
    "bitwise_or": ("|", _bitwise("bitwise_or")),
    "bitwise_xor": ("^", _bitwise("bitwise_xor")),
    "invert": ("~", _bitwise("invert")),
    "logical_and": ("and", _logical("logical_and")),
    "logical_or": ("or", _logical("logical_or")),
    "logical_not": ("not", _logical("logical_not")),
    "floor": ("floor()", _rounding("floor")),
    "ceil": ("ceil()", _rounding("ceil")),
    "round": ("round()", _rounding("rint")),
    "sign": ("sign()", _sign),
    "abs": ("abs()", _absolute),
    "minimum": ("minimum()", _extremum("minimum")),
    "maximum": ("maximum()", _extremum("maximum")),
    "isnan": ("isnan()", _test("isnan")),
    "isfinite": ("isfinite()", _test("isfinite")),
    "isinf": ("isinf()", _test("isinf")),
    "delta_phi": ("delta_phi()", delta_phi),
    "delta_r": ("delta_r()", delta_r),
    **{name: (f"{name}()", _float_function(name)) for name in FLOATS},
}
COMPARISONS = ("less", "less_equal", "greater", "greater_equal", "equal", "not_equal")


@cache
def leaf_function(name: str) -> Callable[..., Value]:
    """Return the function of leaves for the NumPy name of an operator, or the name of a function of expressions."""
    return _comparison(name) if name in COMPARISONS else propagate_missing(*_FLAT[name])


def as_bool(part: Any) -> Any:
    """Return where numbers differ from 0; NaN does."""
    return part if is_bool(part) else part != 0
