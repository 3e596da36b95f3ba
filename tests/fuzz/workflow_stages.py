"""Random stages of workflows, each with the loop that says what it does to events."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from fuzz.columns import DEPTHS
from fuzz.generate import Trees
from fuzz.op_cases import Result
from fuzz.op_histograms import fill, random_axis
from fuzz.oracle import Oracle
from fuzz.tree import Tree, write
from fuzz.values import Field, Refused, Unclear

Events = tuple[dict[str, Field], int]
DTYPE = {"b": "bool", "i": "int64", "f": "float32", "d": "float64"}


@dataclass
class Stage:
    """A stage: what is written, what it does to the events of one dataset, and what it yields of them."""

    spec: dict[str, Any]
    stream: Callable[[Events], Events] | None = None
    product: Callable[[Events, str], Result] | None = None
    result: Result = field(default_factory=dict)


class Known(Trees):
    """Trees over fields that are there."""

    def __init__(self, random: Random, there: dict[str, Field]) -> None:
        super().__init__(random)
        self.there: dict[str, list[str]] = {}
        for name, its in there.items():
            self.there.setdefault(its.structure, []).append(name)

    def has(self, structure: str) -> bool:
        return structure[-1] in self.there

    def leaf(self, structure: str) -> Tree:
        if structure.startswith("~"):
            return ("index", self.leaf(structure[1]), self.mask(structure))
        if structure in self.there:
            return ("name", self.random.choice(self.there[structure]))
        if DEPTHS[structure]:
            raise LookupError(structure)
        if structure == "O":
            lists = [s for s in self.there if DEPTHS[s] == 1]
            if lists:
                return ("call", "leading", (self.leaf(self.random.choice(lists)),), ())
        return ("name", self.random.choice(self.there["E"]))


def worth(tree: Tree, events: Events) -> Any:
    """Return the value of a tree for all events; raises `Unclear` for constants."""
    value = Oracle(events[0], events[1]).of(tree)
    if value.is_const:
        raise Unclear("a constant")
    return value


def find(
    random: Random, parts: list[Events], make: Callable[[Known], Tree], kinds: str = "bifd"
) -> tuple[Tree, Any] | None:
    """Return a tree that the rules give a value on the events of all datasets, and its value on the first."""
    for _ in range(12):
        try:
            tree = make(Known(random, parts[0][0]))
            values = [worth(tree, part) for part in parts]
        except (LookupError, Refused, Unclear):
            continue
        if values[0].kind in kinds:
            return tree, values[0]
    return None


def keep(events: Events, mask: list[bool]) -> Events:
    fields, _ = events
    rows = [i for i, kept in enumerate(mask) if kept]
    data = {n: Field(f.kind, f.depth, tuple(f.data[i] for i in rows), f.dtype, f.structure) for n, f in fields.items()}
    return data, len(rows)


def define(random: Random, name: str, parts: list[Events]) -> Stage | None:
    structure = random.choice("EEJJKMLO")
    found = find(random, parts, lambda known: known.make(structure, random.choice([1, 2, 2])))
    if found is None or (found[1].depth and found[1].structure not in DEPTHS) or found[1].depth > 1:
        return None
    tree = found[0]
    new = f"new{name}"

    def stream(events: Events) -> Events:
        its = worth(tree, events)
        missing = any(x is None for x in its.data)
        where = its.structure if its.depth else "O" if missing else "E"
        return {**events[0], new: Field(its.kind, its.depth, its.data, DTYPE[its.kind], where)}, events[1]

    return Stage(
        {"id": name, "op": "hep.define", "params": {"variables": [{"name": new, "expr": write(tree)}]}}, stream
    )


def condition(known: Known) -> Tree:
    return known.compared(known.random.choice("EEO"), known.random.choice([0, 1]))


def select(random: Random, name: str, parts: list[Events]) -> Stage | None:
    found = find(random, parts, condition, "b")
    if found is None:
        return None
    tree = found[0]
    spec = {"id": name, "op": "hep.select", "params": {"selection": [write(tree)]}}
    return Stage(spec, lambda events: keep(events, [bool(x) for x in worth(tree, events).data]))


def cutflow(random: Random, name: str, parts: list[Events]) -> Stage | None:
    cuts = [found[0] for found in (find(random, parts, condition, "b") for _ in range(random.randint(1, 3))) if found]
    if not cuts:
        return None
    floats = [n for n, f in parts[0][0].items() if f.structure == "E" and f.dtype not in ("text", "uint64", "int64")]
    weight = random.choice(["", *floats])
    filtering = random.random() < 0.7
    params = {"selection": [write(cut) for cut in cuts], "filter": filtering, "emit_flags": False}
    if weight:
        params["weight_expr"] = weight

    def masks(events: Events) -> list[list[bool]]:
        rows = [[True] * events[1]]
        for cut in cuts:
            rows.append([a and bool(b) for a, b in zip(rows[-1], worth(cut, events).data, strict=True)])
        return rows

    def product(events: Events, _dataset: str) -> Result:
        weights = [float(x) for x in events[0][weight].data] if weight else [1.0] * events[1]
        good = [w if math.isfinite(w) else 0.0 for w in weights]

        def sums(mask: list[bool]) -> tuple[int, float, float]:
            chosen = [w for w, kept in zip(good, mask, strict=True) if kept]
            return sum(mask), math.fsum(chosen), math.fsum(w * w for w in chosen)

        found = [sums(mask) for mask in masks(events)]
        table = [
            ["All", write(cut), a[0], b[0], a[1], b[1], a[2], b[2]]
            for cut, a, b in zip(cuts, found, found[1:], strict=False)
        ]
        return {"#table": table, "#nan": sum(not math.isfinite(w) for w in weights)}

    spec = {"id": name, "op": "hep.selection.cutflow", "params": params}
    return Stage(
        spec, (lambda events: keep(events, masks(events)[-1])) if filtering else (lambda events: events), product
    )


def hist(random: Random, name: str, parts: list[Events]) -> Stage | None:
    fields = parts[0][0]
    shared = random.choice([s for s in "EOJKMLR" if any(f.structure == s for f in fields.values())])
    usable = [n for n, f in fields.items() if f.structure in (shared, "E", "O", "S")]
    sources = random.sample(usable, min(len(usable), random.choice([1, 1, 2])))
    axes = [random_axis(random, source, fields[source].dtype) for source in sources]
    floats = [n for n, f in fields.items() if f.structure in "EO" and f.dtype not in ("text", "uint64", "int64")]
    weight = random.choice(["", "", *floats])
    by_dataset = random.random() < 0.5
    params: dict[str, Any] = {"axes": axes, "dataset_axis": by_dataset}
    if weight:
        params["weight_expr"] = weight

    def product(events: Events, dataset: str) -> Result:
        return fill(axes, weight, *events, single=not weight, end=(dataset,) if by_dataset else ())

    try:
        for part in parts:
            product(part, "")
    except Refused:
        return None
    return Stage({"id": name, "op": "hep.hist", "params": params}, None, product)
