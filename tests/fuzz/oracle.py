"""What an expression is worth for one event after the other, in plain Python: no arrays, no code of the engine.

A value knows its `kind` (``b`` bool, ``i`` int64, ``f`` float32, ``d`` float64, ``s`` text), its `depth` (0: one value per
event, 1: a list, 2: a list of lists), and its data: one entry per event, None where it is missing. A written constant
has no data but `const`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fuzz import functions
from fuzz.tree import Tree, write
from fuzz.values import HIGHEST, Field, Refused, TooWide, Unclear, Value, as_kind, checked, common, constant

CONSTANTS = {"pi": math.pi, "e": math.e, "inf": math.inf, "nan": math.nan}


class Oracle:
    """The events of one pass; `of` a tree is its value for all of them."""

    def __init__(self, fields: dict[str, Field], number: int, *, wide: bool = False) -> None:
        self.fields = fields
        self.number = number
        self.wide = wide  # whether unsigned integers beyond int64 are taken as they are

    def of(self, tree: Tree) -> Value:
        """Return the value of `tree`; raises `Refused`, `Unclear`."""
        if tree[0] == "name" and tree[1] in self.fields:  # nothing is computed
            field = self.fields[tree[1]]
            return Value(field.kind, field.depth, field.data)
        return self.part(tree)

    def part(self, tree: Tree) -> Value:
        """Return the value of a part of a tree."""
        match tree:
            case ("name", name) if name in self.fields:
                return self.field(name)
            case ("name", name):
                return constant(CONSTANTS[name])
            case ("const", value):
                return constant(value)
            case ("unary", operator, a):
                return self.unary(operator, self.part(a))
            case ("binary", operator, a, b):
                return self.binary(operator, self.part(a), self.part(b))
            case ("compare", operators, parts):
                values = [self.part(part) for part in parts]
                found = [self.compare(o, a, b) for o, a, b in zip(operators, values, values[1:], strict=False)]
                result = found[0]
                for other in found[1:]:
                    result = self.logic("and", result, other)
                return result
            case ("logic", operator, a, b):
                return self.logic(operator, self.part(a), self.part(b))
            case ("index", a, b):
                return functions.index(self.part(a), self.part(b), write(tree))
            case ("call", name, args, keywords):
                return functions.call(
                    self, name, [self.part(a) for a in args], {k: self.part(v) for k, v in keywords}, write(tree)
                )
        raise AssertionError(tree)

    def field(self, name: str) -> Value:
        field = self.fields[name]
        if field.dtype == "uint64" and not self.wide:
            _look(field.data)
        return Value(field.kind, field.depth, field.data, structure=field.structure if field.depth else "")

    # --- entry by entry -----------------------------------------------------------------------------------

    def each(self, function: Callable[..., Any], kind: str, *values: Value, missing: bool = False) -> Value:
        """Apply `function` to the entries of values together; a value per event counts for each object.

        With `missing` the function is given None as well, else the result is missing where one of them is.
        """
        if all(value.is_const for value in values):
            return constant_of(function(*(value.const for value in values)), kind)
        structures = {value.structure for value in values if value.depth}
        if len(structures) > 1:
            raise Unclear("lists of different objects")
        depth = max(value.depth for value in values)
        rows = []
        for event in range(self.number):
            entries = [value.const if value.is_const else value.data[event] for value in values]
            rows.append(_combine(function, entries, [value.depth for value in values], depth, missing))
        return Value(kind, depth, tuple(rows), structure=next(iter(structures), ""))

    def unary(self, operator: str, a: Value) -> Value:
        if a.kind == "s":
            raise Refused("text")
        if operator == "not":
            return self.each(lambda x: not functions.truth(x), "b", a)
        if operator == "~":
            if a.kind in "fd":
                raise Refused("bits of a float")
            return self.each((lambda x: not x) if a.kind == "b" else (lambda x: ~int(x)), a.kind, a)
        kind = "i" if a.kind in "bi" else a.kind
        if operator == "+":
            return self.each(lambda x: as_kind(x, kind), kind, a)
        if kind == "i":
            return self.each(lambda x: checked(-int(x)), "i", a)
        return self.each(lambda x: -as_kind(x, kind), kind, a)

    def binary(self, operator: str, a: Value, b: Value) -> Value:
        if a.is_const and b.is_const:
            return self.folded(operator, a, b)
        if operator in "&|^":
            return self.bits(operator, a, b)
        kind = common(a, b)
        kind = "i" if kind == "b" else kind
        if operator == "/":
            kind = "d" if kind == "i" else kind
        if operator == "**" and kind == "i" and not (b.is_const and b.const >= 0):
            kind = "d"
        if operator in ("//", "%") and kind == "i" and b.is_const and not b.const:
            raise Refused("division by a written 0")
        if operator in ("//", "%") and b.kind == "i" and b.is_const and not b.const:
            raise Unclear("a float, of which the plan does not know that it is one, by a written 0")
        compute = functions.INTEGER[operator] if kind == "i" else functions.FLOAT[operator]

        def both(x: Any, y: Any) -> Any:
            if kind == "i":
                found = compute(int(x), int(y))
                return None if found is None else checked(found)
            with np.errstate(all="ignore"):
                return as_kind(compute(as_kind(x, kind), as_kind(y, kind)), kind)

        return self.each(both, kind, a, b)

    def bits(self, operator: str, a: Value, b: Value) -> Value:
        kind = common(a, b)
        if kind in "fd":
            raise Refused("bits of a float")
        if (a.is_const or b.is_const) and "b" in (a.kind, b.kind):
            raise Unclear("looks as if meant to be compared first")
        compute = {"&": lambda x, y: x & y, "|": lambda x, y: x | y, "^": lambda x, y: x ^ y}[operator]
        return self.each(lambda x, y: compute(as_kind(x, kind), as_kind(y, kind)), kind, a, b)

    def folded(self, operator: str, a: Value, b: Value) -> Value:
        """Return two written constants as Python computes them."""
        if "s" in (a.kind, b.kind):
            raise Refused("text")
        if operator in "&|^":
            raise Unclear("bits of constants")
        try:
            found = functions.PYTHON[operator](a.const, b.const)
        except (ZeroDivisionError, OverflowError):
            raise Unclear("a constant that Python does not compute") from None
        if isinstance(found, complex):
            raise Unclear("complex")
        return constant(found)

    def compare(self, operator: str, a: Value, b: Value) -> Value:
        compute = functions.COMPARE[operator]
        if "s" in (a.kind, b.kind):
            if a.kind != b.kind or operator not in ("==", "!="):
                raise Refused("text")
            return self.each(compute, "b", a, b)
        kind = common(a, b)
        kind = "i" if kind == "b" else kind
        return self.each(lambda x, y: bool(compute(as_kind(x, kind), as_kind(y, kind))), "b", a, b)

    def logic(self, operator: str, a: Value, b: Value) -> Value:
        if "s" in (a.kind, b.kind):
            raise Refused("text")
        if operator == "and":
            return self.each(lambda x, y: functions.truth(x) and functions.truth(y), "b", a, b)
        return self.each(lambda x, y: functions.truth(x) or functions.truth(y), "b", a, b)


def constant_of(value: Any, kind: str) -> Value:
    if isinstance(value, np.generic):
        value = value.item()
    return constant(as_kind(value, kind) if kind in "bi" else float(value))


def _look(data: Any) -> None:
    for entry in data:
        if isinstance(entry, tuple):
            _look(entry)
        elif entry is not None and entry > HIGHEST:
            raise TooWide("does not fit in 64-bit signed integers")


def _combine(function: Callable[..., Any], entries: list[Any], depths: list[int], depth: int, missing: bool) -> Any:
    if depth == 0:
        if not missing and any(entry is None for entry in entries):
            return None
        return function(*entries)
    lists = [entry for entry, its in zip(entries, depths, strict=True) if its == depth]
    if any(entry is None for entry in lists):
        return None  # a missing list
    if len({len(entry) for entry in lists}) != 1:
        raise Refused("lists of different lengths")
    outer = len(lists[0])
    given: list[list[Any]] = []
    for entry, its in zip(entries, depths, strict=True):
        if its == depth:
            given.append(list(entry))
        elif depth == 2 and its == 1:
            given.append([None] * outer if entry is None else list(entry))
        else:
            given.append([entry] * outer)
    inner = [d - 1 if d == depth else 0 for d in depths]
    for entry, its in zip(given, depths, strict=True):
        if its and len(entry) != outer:
            raise Refused("lists of different lengths")
    return tuple(_combine(function, list(row), inner, depth - 1, missing) for row in zip(*given, strict=True))
