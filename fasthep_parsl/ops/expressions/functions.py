"""The functions that expressions may use, with their signatures and what they do to a field's structure."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from fasthep_parsl.errors import suggest
from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import ak, np
from fasthep_parsl.ops.columns import segments
from fasthep_parsl.ops.columns.picking import nth_value, select
from fasthep_parsl.ops.columns.reductions import REDUCTIONS, not_jagged, reduce_value
from fasthep_parsl.ops.columns.values import (
    ExpressionError,
    Jagged,
    Masked,
    Value,
    elementwise,
    from_column,
    to_awkward,
)
from fasthep_parsl.ops.kinematics import delta_phi, delta_r

Rule = Literal["elementwise", "reduce", "object", "same", "new"]


@dataclass(frozen=True, slots=True)
class Function:
    """A function of expressions.

    Attributes
    ----------
    name : str
        As written.
    call : callable
        On `Value`; its signature is what the user may give.
    rule : str
        Structure of the result: ``elementwise`` that of the arguments together; ``reduce`` and ``object`` one
        value per event from a list (first argument); ``same`` that of the first argument; ``new`` lists of other
        lengths or order than those of the first argument.
    """

    name: str
    call: Callable[..., Value]
    rule: Rule = "elementwise"

    @property
    def usage(self) -> str:
        """The signature as text, e.g. ``nth(values, index, default)``."""
        return f"{self.name}({', '.join(signature(self.call).parameters)})"

    def bind(self, args: list[Any], keywords: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments by name.

        Raises
        ------
        ExpressionError
            Too many, too few or unknown arguments.
        """
        try:
            return dict(signature(self.call).bind(*args, **keywords).arguments)
        except TypeError as error:
            hint = self.usage
            if self.name in ("min", "max") and len(args) == 2:
                hint = f"{self.name}(x) is per event over the objects; of two fields: {self.name}imum(a, b)"
            raise ExpressionError(f"{self.name}(): {error}", hint) from None


@cache
def signature(call: Callable[..., Value]) -> inspect.Signature:
    """Return the signature of `call`; made once."""
    return inspect.signature(call)


def function(name: str) -> Function:
    """Return the function called `name`.

    Raises
    ------
    ExpressionError
        No such function; the hint names close ones.
    """
    found = FUNCTIONS.get(name)
    if found is None:
        alias = _ELSEWHERE.get(name)
        hint = f"use {alias}" if alias else suggest(name, FUNCTIONS, what="functions", limit=60)
        raise ExpressionError(f"unknown function `{name}`", hint)
    return found


# --- element by element -----------------------------------------------------------------------------------


def _ufunc1(name: str) -> Callable[..., Value]:
    def call(x: Value) -> Value:
        return elementwise(getattr(np, name), x)

    return call


def _ufunc2(name: str) -> Callable[..., Value]:
    def call(a: Value, b: Value) -> Value:
        return elementwise(getattr(np, name), a, b)

    return call


def _where(condition: Value, a: Value, b: Value) -> Value:
    if isinstance(condition, bool | int | float | str):
        condition = np.bool_(condition)  # a written condition, or a fact of the dataset: CuPy takes no plain one
    return elementwise(np.where, condition, a, b, generic=_where_awkward)


def _where_awkward(condition: Any, a: Any, b: Any) -> Any:
    if np.ndim(condition) == 0:  # awkward refuses it
        return ak.broadcast_arrays(a, b)[0 if condition else 1]
    return ak.where(condition, a, b)


def _delta_phi(a: Value, b: Value) -> Value:
    return elementwise(delta_phi, a, b)


def _delta_r(eta1: Value, phi1: Value, eta2: Value, phi2: Value) -> Value:
    return elementwise(delta_r, eta1, phi1, eta2, phi2)


def _fill_none(x: Value, value: Value) -> Value:
    if isinstance(x, Masked):
        if isinstance(value, Masked):
            filled = np.where(*device.together((x.valid, x.values, value.values)))
            return Masked(filled, device.any_of([x.valid, value.valid]))
        return np.where(*device.together((x.valid, x.values, _fitting(x.values, value))))
    if isinstance(x, ak.Array):
        return from_column(ak.fill_none(x, to_awkward(value), axis=None))
    return x


def _fitting(values: Any, value: Any) -> Any:
    """Return `value` as True/False if it replaces missing bools by 0 or 1."""
    return bool(value) if values.dtype == bool and np.ndim(value) == 0 and value in (0, 1) else value


def _is_none(x: Value) -> Value:
    if isinstance(x, Masked):
        return ~x.valid
    if isinstance(x, Jagged):
        return Jagged(x.offsets, np.zeros_like(x.content, dtype=bool))
    if isinstance(x, ak.Array):
        return from_column(ak.is_none(x, axis=-1))
    return np.zeros_like(x, dtype=bool)


# --- lists ------------------------------------------------------------------------------------------------


def _reduction(name: str) -> Callable[..., Value]:
    def call(x: Value) -> Value:
        return reduce_value(name, x)

    return call


_MISSING = object()


def _nth(values: Value, index: Value, default: Value = _MISSING) -> Value:
    if not isinstance(values, Jagged | ak.Array):
        raise not_jagged("nth")
    if isinstance(index, Jagged | ak.Array | float):
        raise ExpressionError("nth(values, index): the index is an integer", "nth(values, 0) is the first object")
    masked = isinstance(index, Masked)
    found = nth_value(values, index.values if masked else index, index.valid if masked else None)
    return found if default is _MISSING else _fill_none(found, default)


def _leading(values: Value, default: Value = _MISSING) -> Value:
    return _nth(values, 0, default)


def _subleading(values: Value, default: Value = _MISSING) -> Value:
    return _nth(values, 1, default)


def _lists(name: str, x: Value) -> Any:
    if not isinstance(x, Jagged | ak.Array) or (isinstance(x, ak.Array) and x.ndim < 2):
        raise not_jagged(name)
    return to_awkward(x)


def _take(values: Value, index: Value) -> Value:
    if isinstance(index, int | np.integer) and not isinstance(index, bool):
        if _flat_on_gpu(values):
            counts = device.repeat(values.counts, values.offsets, len(values.content))
            kept = _local_index(values).content < (index if index >= 0 else counts + index)
            return select(values, Jagged(values.offsets, kept))
        return from_column(_lists("take", values)[:, :index])
    return select(values, index)


def _flat_on_gpu(x: Value) -> bool:
    return isinstance(x, Jagged) and device.on_gpu(x.content)


def _sort(x: Value, ascending: bool = True) -> Value:
    if _flat_on_gpu(x):
        return Jagged(x.offsets, x.content[segments.order(x, ascending=bool(ascending), nan_first=True)])
    return from_column(ak.sort(_lists("sort", x), axis=1, ascending=bool(ascending)))


def _argsort(x: Value, ascending: bool = True) -> Value:
    if _flat_on_gpu(x):
        rows = segments.order(x, ascending=bool(ascending), nan_first=True)
        return Jagged(x.offsets, rows - device.repeat(x.offsets[:-1], x.offsets, len(rows)))
    return from_column(ak.argsort(_lists("argsort", x), axis=1, ascending=bool(ascending)))


def _local_index(x: Value) -> Value:
    if isinstance(x, Jagged):
        number = len(x.content)
        positions = device.module_of(x.offsets).arange(number)
        return Jagged(x.offsets, positions - device.repeat(x.offsets[:-1], x.offsets, number))
    return from_column(ak.local_index(_lists("local_index", x), axis=1))


def _pad_none(x: Value, target: int, clip: bool = False) -> Value:
    return from_column(ak.pad_none(_lists("pad_none", x), int(target), axis=1, clip=bool(clip)))


_ONE = ("sqrt", "log", "log10", "log2", "log1p", "exp", "expm1", "cos", "sin", "tan", "cosh", "sinh", "tanh",
        "arccos", "arcsin", "arctan", "arcsinh", "arccosh", "arctanh", "floor", "ceil", "sign", "isnan",
        "isfinite", "isinf")  # fmt: skip
_TWO = ("hypot", "arctan2", "minimum", "maximum")

FUNCTIONS: dict[str, Function] = {
    item.name: item
    for item in (
        *(Function(name, _ufunc1(name)) for name in _ONE),
        *(Function(name, _ufunc2(name)) for name in _TWO),
        Function("abs", _ufunc1("absolute")),
        Function("round", _ufunc1("rint")),
        Function("where", _where),
        Function("delta_phi", _delta_phi),
        Function("delta_r", _delta_r),
        Function("fill_none", _fill_none),
        Function("is_none", _is_none),
        *(Function(name, _reduction(name), "reduce") for name in sorted(REDUCTIONS)),
        Function("nth", _nth, "object"),
        Function("leading", _leading, "object"),
        Function("first", _leading, "object"),
        Function("subleading", _subleading, "object"),
        Function("take", _take, "new"),
        Function("sort", _sort, "new"),
        Function("pad_none", _pad_none, "new"),
        Function("argsort", _argsort, "same"),
        Function("local_index", _local_index, "same"),
    )
}
"""All functions by name."""

_ELSEWHERE = {
    "len": "num(x)",
    "size": "num(x)",
    "firsts": "leading(x)",
    "atan2": "arctan2(y, x)",
    "acos": "arccos(x)",
    "asin": "arcsin(x)",
    "atan": "arctan(x)",
    "fabs": "abs(x)",
    "pow": "x ** y",
    "if": "where(condition, a, b)",
    "deltaR": "delta_r(eta1, phi1, eta2, phi2)",
    "deltaPhi": "delta_phi(phi1, phi2)",
    "flatten": "the jagged field itself: histograms fill once per object",
    "prod": "an op of your own",
}
