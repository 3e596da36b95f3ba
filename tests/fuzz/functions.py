"""The functions of expressions for single entries and single lists, in plain Python."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from functools import cmp_to_key
from typing import Any

import numpy as np

from fuzz import random_numbers
from fuzz.values import Refused, Unclear, Value, as_kind, checked, common, constant

COMPARE = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


def _power(x: Any, y: Any) -> Any:
    """Return x ** y; of whole numbers not those that take for ever, and fit nowhere."""
    return 2**64 if isinstance(x, int) and abs(x) > 1 and y > 64 else x**y


PYTHON: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "//": operator.floordiv,
    "%": operator.mod, "**": _power,
}  # fmt: skip
INTEGER: dict[str, Callable[[int, int], int | None]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": lambda x, y: x // y if y else None,
    "%": lambda x, y: x % y if y else None,
    "**": _power,
}
FLOAT: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": np.true_divide, "//": np.floor_divide,
    "%": np.remainder, "**": np.power,
}  # fmt: skip

ONE = ("sqrt", "log", "log10", "log2", "log1p", "exp", "expm1", "cos", "sin", "tan", "cosh", "sinh", "tanh",
       "arccos", "arcsin", "arctan", "arcsinh", "arccosh", "arctanh")  # fmt: skip
STAYS = {"floor": np.floor, "ceil": np.ceil, "round": np.rint, "sign": np.sign, "abs": np.abs}
ASKS = {"isnan": math.isnan, "isfinite": math.isfinite, "isinf": math.isinf}
REDUCTIONS = (
    "sum",
    "prod",
    "mean",
    "std",
    "min",
    "max",
    "argmin",
    "argmax",
    "any",
    "all",
    "num",
    "count",
    "count_nonzero",
)


def truth(x: Any) -> bool:
    return bool(x != 0)


def call(oracle: Any, name: str, args: list[Any], keywords: dict[str, Any], text: str) -> Any:
    if all(value.is_const for value in (*args, *keywords.values())):
        raise Unclear("a function of constants")
    if name != "is_none" and any(value.kind == "s" for value in args):
        raise Refused("text")
    if args[0].is_const and name in ("is_none", "fill_none"):
        raise Unclear("a constant is never missing")
    if name in REDUCTIONS:
        return reduction(name, args[0])
    if name in ("random", "random_normal"):
        return random_numbers.call(oracle, name, args)
    if name in ("nth", "leading", "first", "subleading"):
        return _nth(oracle, name, args)
    if name in _LISTS:
        return _LISTS[name](args, keywords, text)
    return _elementwise(oracle, name, args)


def _elementwise(oracle: Any, name: str, args: list[Any]) -> Any:
    kind = common(*args) if name not in ("where", "fill_none", "is_none") else "b"
    if name in ASKS:
        return oracle.each(ASKS[name], "b", *args)
    if name in STAYS:
        if kind in "bi":
            compute = {"abs": lambda x: checked(abs(x)), "sign": lambda x: bool(x > 0) - bool(x < 0)}.get(
                name, lambda x: x
            )
            return oracle.each(lambda x: compute(int(x)), "i", *args)
        return oracle.each(lambda x: _quiet(STAYS[name], as_kind(x, kind)), kind, *args)
    if name in ("minimum", "maximum"):
        kind = "i" if kind == "b" else kind
        pick: Any = {"minimum": np.minimum, "maximum": np.maximum}[name]
        if kind in "bi":
            pick = {"minimum": min, "maximum": max}[name]
        return oracle.each(lambda x, y: as_kind(_quiet(pick, as_kind(x, kind), as_kind(y, kind)), kind), kind, *args)
    if name == "where":
        return _where(oracle, *args)
    if name == "fill_none":
        return _fill_none(oracle, *args)
    if name == "is_none":
        return oracle.each(lambda x: x is None, "b", *args, missing=True)
    wide = "d" if kind in "bi" or name in ("delta_phi", "delta_r") else kind
    compute = {"delta_phi": _delta_phi, "delta_r": _delta_r}.get(name) or getattr(np, name)
    return oracle.each(lambda *x: _quiet(compute, *(as_kind(each, wide) for each in x)), wide, *args)


def _quiet(function: Callable[..., Any], *args: Any) -> Any:
    with np.errstate(all="ignore"):
        return function(*args)


def _delta_phi(a: float, b: float) -> float:
    if not math.isfinite(a - b):
        return math.nan
    # in double precision, which of large angles leaves little
    wrapped = a - b - 2 * math.pi * round((a - b) / (2 * math.pi))
    return max(wrapped - 2 * math.pi if wrapped >= math.pi else wrapped, -math.pi)


def _delta_r(eta1: float, phi1: float, eta2: float, phi2: float) -> float:
    return math.sqrt((eta1 - eta2) * (eta1 - eta2) + _delta_phi(phi1, phi2) ** 2)


def _where(oracle: Any, condition: Any, a: Any, b: Any) -> Any:
    if condition.kind == "s":
        raise Refused("text")
    if condition.is_const:
        raise Unclear("a written condition")
    if a.is_const and b.is_const and a.kind != b.kind:
        raise Unclear("two constants of different types")
    kind = common(a, b)

    def choose(c: Any, x: Any, y: Any) -> Any:
        if c is None:
            return None
        chosen = x if truth(c) else y
        return None if chosen is None else as_kind(chosen, kind)

    return oracle.each(choose, kind, condition, a, b, missing=True)


def _fill_none(oracle: Any, x: Any, value: Any) -> Any:
    if value.depth > x.depth:
        raise Refused("a list in place of one value")
    if x.depth and any(entry is None for entry in x.data):
        raise Unclear("missing lists")
    kind = "b" if x.kind == "b" and value.is_const and value.const in (0, 1) else common(x, value)

    def fill(entry: Any, other: Any) -> Any:
        chosen = other if entry is None else entry
        return None if chosen is None else as_kind(chosen, kind)

    return oracle.each(fill, kind, x, value, missing=True)


# --- lists ------------------------------------------------------------------------------------------------


def lists(value: Any) -> None:
    if value.depth == 0:
        raise Refused("not a list")


def reduction(name: str, value: Any) -> Any:
    """Return the reduction of the innermost lists; of the outer ones for their length."""
    lists(value)
    kind = {
        "sum": "i" if value.kind in "bi" else "d",
        "prod": "d",
        "mean": "d",
        "std": "d",
        "min": value.kind,
        "max": value.kind,
    }.get(name, "b" if name in ("any", "all") else "i")
    compute = _REDUCE[name]

    def row(entry: Any, depth: int) -> Any:
        if entry is None:
            return None
        if depth == 2 and name != "num":
            return tuple(row(inner, 1) for inner in entry)
        return compute(list(entry), value.kind)

    depth = value.depth - 1 if name != "num" else 0
    rows = tuple(row(entry, value.depth) for entry in value.data)
    return Value(kind, depth, rows, structure=value.structure if depth else "")


def _sum(x: list[Any], kind: str) -> Any:
    there = [each for each in x if each is not None]
    if kind in "bi":
        return checked(sum(map(int, there)))
    with np.errstate(all="ignore"):
        return float(sum(map(np.float64, there), np.float64(0)))


def _prod(x: list[Any], _kind: str) -> float:
    with np.errstate(all="ignore"):
        return float(math.prod((np.float64(each) for each in x if each is not None), start=np.float64(1)))


def _mean(x: list[Any], _kind: str) -> float | None:
    there = [float(each) for each in x if each is not None]
    if not there:
        return None if x else math.nan
    with np.errstate(all="ignore"):
        return float(np.float64(sum(there)) / len(there))


def _std(x: list[Any], kind: str) -> float | None:
    there = [float(each) for each in x if each is not None]
    if not there:
        return None if x else math.nan
    with np.errstate(all="ignore"):
        off = [np.float64(each) - np.float64(_mean(x, kind)) for each in there]
        return float(np.sqrt(sum(each * each for each in off) / len(off)))


def _position(x: list[Any], better: Callable[[Any, Any], bool]) -> int | None:
    """Return the first position of the extreme: NaN is passed over if there is a number."""
    best: int | None = None
    for i, each in enumerate(x):
        if each is None:
            continue
        if best is None or (x[best] != x[best] and each == each) or better(each, x[best]):
            best = i
    return best


def _extreme(better: Callable[[Any, Any], bool]) -> Callable[[list[Any], str], Any]:
    def found(x: list[Any], _kind: str) -> Any:
        best = _position(x, better)
        return None if best is None else x[best]

    return found


_REDUCE: dict[str, Callable[[list[Any], str], Any]] = {
    "sum": _sum,
    "prod": _prod,
    "mean": _mean,
    "std": _std,
    "min": _extreme(operator.lt),
    "max": _extreme(operator.gt),
    "argmin": lambda x, _: _position(x, operator.lt),
    "argmax": lambda x, _: _position(x, operator.gt),
    "any": lambda x, _: any(truth(each) for each in x if each is not None),
    "all": lambda x, _: all(truth(each) for each in x if each is not None),
    "num": lambda x, _: len(x),
    "count": lambda x, _: sum(each is not None for each in x),
    "count_nonzero": lambda x, _: sum(truth(each) for each in x if each is not None),
}


def _nth(oracle: Any, name: str, args: list[Any]) -> Any:
    values, *rest = args
    lists(values)
    if name == "nth":
        place, *rest = rest
    else:
        place = constant(1 if name == "subleading" else 0)
    if place.depth or place.kind != "i":
        raise Refused("the index must be an integer")
    found = []
    for event, entry in enumerate(values.data):
        i = place.const if place.is_const else place.data[event]
        if i is None and rest:
            raise Unclear("a default for a missing position")
        if entry is None and rest:
            raise Unclear("a default for a missing list")
        there = entry is not None and i is not None and -len(entry) <= i < len(entry)
        found.append(entry[i] if there else None)
    result = Value(
        values.kind, values.depth - 1, tuple(found), structure=f"{values.structure}[nth]" if values.depth > 1 else ""
    )
    if not rest:
        return result
    if result.depth:
        raise Unclear("a default for a list")
    return _fill_none(oracle, result, rest[0])


def index(values: Any, by: Any, text: str) -> Any:
    lists(values)
    if values.depth > 1 or by.depth > 1:
        raise Unclear("lists of lists")
    if by.kind in "fds" or by.is_const:
        raise Refused("neither a mask nor positions")
    if by.depth == 0 and by.kind == "b":
        raise Refused("one bool per event")
    rows = []
    for entry, chosen in zip(values.data, by.data, strict=True):
        if entry is None or chosen is None:
            rows.append(None)
        elif by.depth == 0:
            rows.append(entry[chosen] if -len(entry) <= chosen < len(entry) else None)
        elif by.kind == "b":
            if values.structure != by.structure:
                raise Unclear("a mask of other objects")
            rows.append(tuple(x for x, keep in zip(entry, chosen, strict=True) if keep))
        else:
            if any(i is not None and not -len(entry) <= i < len(entry) for i in chosen):
                raise Unclear("a position that is not there")
            rows.append(tuple(None if i is None else entry[i] for i in chosen))
    return Value(values.kind, by.depth, tuple(rows), structure=text if by.depth else "")


def _per_list(function: Callable[..., Any], kind: str | None = None, *, same: bool = False) -> Callable[..., Any]:
    def compute(args: list[Any], keywords: dict[str, Any], text: str) -> Any:
        values, *rest = args
        lists(values)
        if values.depth > 1:
            raise Unclear("lists of lists")
        given = {key: value.const for key, value in keywords.items()}
        rows = (None if entry is None else tuple(function(list(entry), *(r.const for r in rest), **given))
                for entry in values.data)  # fmt: skip
        return Value(kind or values.kind, 1, tuple(rows), structure=values.structure if same else text)

    return compute


def _order(x: list[Any], ascending: bool = True) -> list[int]:
    """Return positions: NaN first, missing last, stable."""

    def rank(i: int) -> int:
        return 2 if x[i] is None else 0 if x[i] != x[i] else 1

    def compare(i: int, j: int) -> int:
        if rank(i) != rank(j) or rank(i) != 1:
            return rank(i) - rank(j)
        higher = bool(x[i] > x[j]) - bool(x[i] < x[j])
        return higher if ascending else -higher

    return sorted(range(len(x)), key=cmp_to_key(compare))


def _pad(x: list[Any], target: int, clip: bool = False) -> list[Any]:
    padded = x + [None] * (target - len(x))
    return padded[:target] if clip else padded


def _take(args: list[Any], keywords: dict[str, Any], text: str) -> Any:
    if args[1].is_const:
        if args[1].kind != "i":
            raise Refused("not a number of objects")
        return _per_list(lambda x, n: x[:n])(args, keywords, text)
    return index(*args, text)


_LISTS: dict[str, Callable[..., Any]] = {
    "take": _take,
    "sort": _per_list(lambda x, ascending=True: [x[i] for i in _order(x, ascending)]),
    "argsort": _per_list(_order, "i", same=True),
    "local_index": _per_list(lambda x: range(len(x)), "i", same=True),
    "pad_none": _per_list(_pad),
}
