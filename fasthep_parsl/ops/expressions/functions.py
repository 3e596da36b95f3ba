"""The functions of expressions: name, implementation, and the structure of the result."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from fasthep_parsl.errors import suggest
from fasthep_parsl.ops.columns import missing, ordering
from fasthep_parsl.ops.columns.broadcast import elementwise
from fasthep_parsl.ops.columns.dtypes import is_bool, is_whole
from fasthep_parsl.ops.columns.indexing import nth_value, select
from fasthep_parsl.ops.columns.operators import FLOATS, leaf_function
from fasthep_parsl.ops.columns.random_numbers import random_value
from fasthep_parsl.ops.columns.reductions import REDUCTIONS, not_jagged, reduce_value
from fasthep_parsl.ops.columns.value_types import ExpressionError, Jagged, Value, innermost, is_text

Rule = Literal["elementwise", "random", "reduce", "number", "object", "index", "shorter", "sorted", "positions"]


@dataclass(frozen=True, slots=True)
class Function:
    """A function of expressions.

    Attributes
    ----------
    name : str
        Name in expressions.
    call : callable
        Takes and returns `Value`. Its signature is that of the function in expressions.
    rule : str
        Structure of the result. ``elementwise``: the arguments broadcast together. ``random``: the structure of the last
        argument, `objects`, or one value per event. The other rules are for functions
        of a list, the first argument. ``reduce``: one value per innermost list. ``number``: one value per outer list.
        ``object``: an entry of the outer list. ``index``: one value per entry of the outer list. ``positions``: the
        structure of the list. ``shorter``: outer lists of other lengths. ``sorted``: innermost lists in another
        order.
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
            There are too many, too few or unknown arguments.
        """
        try:
            return dict(signature(self.call).bind(*args, **keywords).arguments)
        except TypeError as error:
            hint = self.usage
            if self.name in ("min", "max") and len(args) == 2:
                hint = f"{self.name}(x) reduces the objects of an event; for two fields, use {self.name}imum(a, b)"
            raise ExpressionError(f"{self.name}(): {error}", hint) from None


@cache
def signature(call: Callable[..., Value]) -> inspect.Signature:
    """Return the signature of `call`, cached."""
    return inspect.signature(call)


def function(name: str) -> Function:
    """Return the function called `name`.

    Raises
    ------
    ExpressionError
        The function does not exist. The hint names similar ones.
    """
    found = FUNCTIONS.get(name)
    if found is None:
        alias = _EQUIVALENTS.get(name)
        hint = f"use {alias}" if alias else suggest(name, FUNCTIONS, what="functions", limit=60)
        raise ExpressionError(f"unknown function `{name}`", hint)
    return found


# --- element by element -----------------------------------------------------------------------------------


def _unary(name: str) -> Callable[..., Value]:
    def call(x: Value) -> Value:
        return elementwise(leaf_function(name), x)

    return call


def _binary(name: str) -> Callable[..., Value]:
    def call(a: Value, b: Value) -> Value:
        return elementwise(leaf_function(name), a, b)

    return call


def _delta_r(eta1: Value, phi1: Value, eta2: Value, phi2: Value) -> Value:
    return elementwise(leaf_function("delta_r"), eta1, phi1, eta2, phi2)


def _where(condition: Value, a: Value, b: Value) -> Value:
    return missing.where(condition, a, b)


def _random(seed: Value, run: Value, luminosityBlock: Value, event: Value, objects: Value = None) -> Value:  # noqa: N803
    return random_value("uniform", "random", seed, (run, luminosityBlock, event), objects)


def _random_normal(seed: Value, run: Value, luminosityBlock: Value, event: Value, objects: Value = None) -> Value:  # noqa: N803
    return random_value("normal", "random_normal", seed, (run, luminosityBlock, event), objects)


# --- lists ------------------------------------------------------------------------------------------------


def _reduction(name: str) -> Callable[..., Value]:
    def call(x: Value) -> Value:
        return reduce_value(name, x)

    return call


def _lists(name: str, x: Value) -> Jagged:
    if not isinstance(x, Jagged):
        raise not_jagged(name)
    return x


_NO_DEFAULT = object()


def _nth(values: Value, index: Value, default: Value = _NO_DEFAULT) -> Value:
    lists = _lists("nth", values)
    if isinstance(index, Jagged) or is_text(index) or not is_whole(innermost(index)) or is_bool(innermost(index)):
        raise ExpressionError(
            "nth(values, index): the index must be an integer", "e.g. nth(values, 0) for the first object"
        )
    found = nth_value(lists, index)
    return found if default is _NO_DEFAULT else missing.fill_none(found, default)


def _leading(values: Value, default: Value = _NO_DEFAULT) -> Value:
    return _nth(values, 0, default)


def _subleading(values: Value, default: Value = _NO_DEFAULT) -> Value:
    return _nth(values, 1, default)


def _take(values: Value, index: Value) -> Value:
    if isinstance(index, int) and not isinstance(index, bool):
        return ordering.truncate(_lists("take", values), index)
    return select(values, index)


def _sort(x: Value, ascending: bool = True) -> Value:
    return ordering.sort(_lists("sort", x), ascending=_constant("sort", "ascending", ascending))


def _argsort(x: Value, ascending: bool = True) -> Value:
    return ordering.argsort(_lists("argsort", x), ascending=_constant("argsort", "ascending", ascending))


def _local_index(x: Value) -> Value:
    return ordering.local_index(_lists("local_index", x))


def _pad_none(x: Value, target: Value, clip: bool = False) -> Value:
    if isinstance(target, bool) or not isinstance(target, int) or target < 0:
        raise ExpressionError("pad_none(x, target): the target must be an integer from 0 on", "e.g. pad_none(x, 2)")
    return ordering.pad(_lists("pad_none", x), target, clip=_constant("pad_none", "clip", clip))


def _constant(function_name: str, name: str, value: Value) -> bool:
    if not isinstance(value, bool | int):
        raise ExpressionError(f"{function_name}(): `{name}` must be True or False")
    return bool(value)


_UNARY = (*(name for name in FLOATS if name not in ("hypot", "arctan2")),
        "abs", "round", "floor", "ceil", "sign", "isnan", "isfinite", "isinf")  # fmt: skip
_BINARY = ("hypot", "arctan2", "minimum", "maximum", "delta_phi")

FUNCTIONS: dict[str, Function] = {
    item.name: item
    for item in (
        *(Function(name, _unary(name)) for name in _UNARY),
        *(Function(name, _binary(name)) for name in _BINARY),
        Function("where", _where),
        Function("delta_r", _delta_r),
        Function("random", _random, "random"),
        Function("random_normal", _random_normal, "random"),
        Function("fill_none", missing.fill_none),
        Function("is_none", missing.is_none),
        *(Function(name, _reduction(name), "number" if name == "num" else "reduce") for name in sorted(REDUCTIONS)),
        Function("nth", _nth, "object"),
        Function("leading", _leading, "object"),
        Function("first", _leading, "object"),
        Function("subleading", _subleading, "object"),
        Function("take", _take, "shorter"),
        Function("pad_none", _pad_none, "shorter"),
        Function("sort", _sort, "sorted"),
        Function("argsort", _argsort, "positions"),
        Function("local_index", _local_index, "index"),
    )
}
"""All functions by name."""

_EQUIVALENTS = {
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
    "flatten": "the jagged field itself: a histogram is filled once per object",
    "product": "prod(x)",
    "rand": "random(seed, run, luminosityBlock, event)",
    "normal": "random_normal(seed, run, luminosityBlock, event)",
    "gauss": "random_normal(seed, run, luminosityBlock, event)",
}
