"""``hep.define``, ``hep.select``, ``hep.selection.flag`` and ``hep.selection.cutflow`` against loops."""

from __future__ import annotations

import math
from random import Random
from typing import Any

from fasthep_parsl.ops.cutflow import cutflow
from fasthep_parsl.ops.define import define
from fasthep_parsl.ops.selection import flag, select
from fuzz.columns import Make
from fuzz.generate import Trees
from fuzz.op_cases import Fields, OpCase, Result
from fuzz.oracle import Oracle
from fuzz.tree import Tree, write
from fuzz.values import Field, Refused, Unclear

Step = tuple[Any, ...]
"""``("leaf", tree)``, ``("reduce", op, tree)`` or ``(mode, steps)``."""


def fields_for(random: Random, trees: Trees) -> tuple[dict[str, Field], int]:
    number = random.choice([0, 1, 3, 6])
    make = Make(random, number)
    fields = {name: make.field(*spec) for name, spec in trees.used.items()}
    return {"id": Field("i", 0, tuple(range(number)), "int64", "E"), **fields}, number


def _leaf(random: Random, trees: Trees) -> Step:
    roll = random.random()
    if roll < 0.5:
        return ("leaf", trees.compared(random.choice("EEO"), 1))
    if roll < 0.75:
        return ("leaf", ("call", random.choice(["any", "all"]), (trees.compared(random.choice("JK"), 0),), ()))
    if roll < 0.9:
        return ("reduce", random.choice(["any", "all"]), trees.compared(random.choice("JKM"), 0))
    return ("leaf", trees.make("E", 0))  # a number is refused


def _step(random: Random, trees: Trees, depth: int) -> Step:
    if depth and random.random() < 0.25:
        return (random.choice(["All", "Any"]), [_step(random, trees, depth - 1) for _ in range(random.randint(1, 3))])
    return _leaf(random, trees)


def _written(step: Step, label: str = "") -> Any:
    named = {"label": label} if label else {}
    if step[0] == "leaf":
        return {"expr": write(step[1]), **named} if label else write(step[1])
    if step[0] == "reduce":
        return {"reduce": {"op": step[1], "over": write(step[2])}, **named}
    return {step[0]: [_written(part) for part in step[1]], **named}


def _label(step: Step) -> str:
    if step[0] == "leaf":
        return write(step[1])
    if step[0] == "reduce":
        return f"{step[1]}({write(step[2])})"
    return f"{step[0].lower()}({', '.join(map(_label, step[1]))})"


def _passes(step: Step, oracle: Oracle) -> list[bool]:
    if step[0] in ("All", "Any"):
        parts = [_passes(part, oracle) for part in step[1]]
        return [(all if step[0] == "All" else any)(row) for row in zip(*parts, strict=True)]
    value = oracle.of(step[1] if step[0] == "leaf" else ("call", step[1], (step[2],), ()))
    if value.is_const or value.depth or value.kind != "b":
        raise Refused("a selection needs one bool per event")
    return [bool(x) for x in value.data]


Group = tuple[str, str, list[Step], str]
"""Name, mode, steps, what it starts from."""


def _selection(random: Random, trees: Trees) -> tuple[Any, list[Group]]:
    """Return a selection as written, and its groups."""

    def steps() -> list[Step]:
        return [_step(random, trees, 1) for _ in range(random.randint(1, 3))]

    if random.random() < 0.4:
        found = steps()
        return [_written(step) for step in found], [("All", "All", found, "")]
    if random.random() < 0.3:
        mode, found = random.choice(["All", "Any"]), steps()
        return {mode: [_written(step) for step in found]}, [(mode, mode, found, "")]
    raw: dict[str, Any] = {}
    groups: list[Group] = []
    for name in ("one", "two", "three")[: random.randint(1, 3)]:
        mode, found, start = random.choice(["All", "Any"]), steps(), ""
        if groups and random.random() < 0.6:
            earlier = random.choice(groups)
            start = random.choice([earlier[0], f"{earlier[0]}[{random.randrange(len(earlier[2]))}]"])
        listed = [_written(step) for step in found]
        key = "cuts" if mode == "All" and random.random() < 0.5 else mode
        raw[name] = {key: listed, **({"from": start} if start else {})} if start or key != "cuts" else listed
        groups.append((name, mode, found, start))
    return raw, groups


def _masks(groups: list[Group], fields: Fields, number: int) -> list[tuple[Group, list[bool], list[list[bool]]]]:
    oracle = Oracle(dict(fields), number)
    done: dict[str, list[bool]] = {}
    found = []
    for group in groups:
        name, mode, steps, start = group
        base = done[start] if start else [True] * number
        rows: list[list[bool]] = []
        for step in steps:
            before = rows[-1] if rows and mode == "All" else base
            rows.append([a and b for a, b in zip(before, _passes(step, oracle), strict=True)])
        if mode == "Any":
            rows.append([any(row) for row in zip(*rows, strict=True)])
        done[name] = rows[-1]
        done.update({f"{name}[{i}]": row for i, row in enumerate(rows)})
        found.append((group, base, rows))
    return found


def _kept(fields: Fields, mask: list[bool]) -> Result:
    return {n: [_plain(x) for x, keep in zip(f.data, mask, strict=True) if keep] for n, f in fields.items()}


def _plain(x: Any) -> Any:
    return [_plain(each) for each in x] if isinstance(x, tuple) else x


def select_case(random: Random) -> OpCase:
    trees = Trees(random)
    raw, groups = _selection(random, trees)
    fields, number = fields_for(random, trees)

    def kept(fields: Fields, number: int) -> Result:
        finals = [rows[-1] for _, _, rows in _masks(groups, fields, number)]
        return _kept(fields, [all(row) for row in zip(*finals, strict=True)])

    def flagged(fields: Fields, number: int) -> Result:
        finals = [rows[-1] for _, _, rows in _masks(groups, fields, number)]
        return {"good": [all(row) for row in zip(*finals, strict=True)]}

    if random.random() < 0.5:
        return OpCase(select, {"selection": raw}, fields, number, kept)
    return OpCase(flag, {"selection": raw, "output": "good"}, fields, number, flagged)


def cutflow_case(random: Random) -> OpCase:
    trees = Trees(random)
    raw, groups = _selection(random, trees)
    weight = random.choice(["", "float64", "float32", "uint8", "bool", "2.5", "nan"])
    if weight and weight[0].isalpha() and weight != "nan":
        trees.used[weight] = ("E", weight)
    fields, number = fields_for(random, trees)
    mode = random.choice(["all", "any", "none"])
    params = {"selection": raw, "filter": mode, "output_field": "passes", "emit_flags": True}
    if weight:
        params["weight_expr"] = weight

    def loop(fields: Fields, number: int) -> Result:
        masks = _masks(groups, fields, number)
        weights = [float(x) for x in fields[weight].data] if weight in fields else [float(weight or 1)] * number
        bad = [not math.isfinite(w) for w in weights]
        weights = [0.0 if wrong else w for w, wrong in zip(weights, bad, strict=True)]

        def sums(mask: list[bool]) -> tuple[int, float, float]:
            chosen = [w for w, keep in zip(weights, mask, strict=True) if keep]
            return sum(mask), math.fsum(chosen), math.fsum(w * w for w in chosen)

        table = []
        for (name, how, steps, _), base, rows in masks:
            labels = [_label(step) for step in steps] + (["any"] if how == "Any" else [])
            before = base
            for label, row in zip(labels, rows, strict=True):
                (n0, w0, v0), (n1, w1, v1) = sums(base if how == "Any" else before), sums(row)
                table.append([name, label, n0, n1, w0, w1, v0, v1])
                before = row
        finals = [rows[-1] for _, _, rows in masks]
        together = [(any if mode == "any" else all)(row) for row in zip(*finals, strict=True)]
        columns = {f"S.{group[0]}": final for (group, _, _), final in zip(masks, finals, strict=True)} | {
            "passes": together
        }
        keep = [True] * number if mode == "none" else together
        kept = _kept(fields, keep) | {n: [x for x, k in zip(c, keep, strict=True) if k] for n, c in columns.items()}
        return kept | {"#table": table, "#nan": sum(bad)}

    return OpCase(cutflow, params, fields, number, loop)


def define_case(random: Random) -> OpCase:
    """New fields, of which the second is made of the first."""
    trees = Trees(random)
    structure = random.choice("EOJKD")
    first, second = trees.make(structure, 2), trees.other(structure, 1)
    chained: Tree = ("binary", random.choice("+-*"), ("name", "first"), second)
    reduction = random.choice(["count_nonzero", "any", "all", "sum", "min", "max", "mean", "argmin", "argmax"])
    variables: list[dict[str, Any]] = [
        {"name": "first", "expr": write(first)},
        {"name": "second", "expr": write(chained)},
    ]
    over = trees.make(random.choice("JK"), 1)
    variables.append({"name": "third", "reduce": {"op": reduction, "over": write(over)}})
    fields, number = fields_for(random, trees)

    def loop(fields: Fields, number: int) -> Result:
        known = dict(fields)
        for name, tree in (("first", first), ("second", chained), ("third", ("call", reduction, (over,), ()))):
            value = Oracle(known, number).of(tree)
            if value.is_const:
                raise Unclear("a constant")
            dtype = {"b": "bool", "i": "int64", "f": "float32", "d": "float64"}[value.kind]
            known[name] = Field(value.kind, value.depth, value.data, dtype, value.structure or "E")
        return {name: [_plain(x) for x in field.data] for name, field in known.items()}

    return OpCase(define, {"variables": variables}, fields, number, loop, tolerance=3e-6)
