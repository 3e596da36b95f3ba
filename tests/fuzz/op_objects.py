"""``hep.select_objects``, ``hep.merge_collections`` and ``hep.clean`` against loops over single objects."""

from __future__ import annotations

import math
from functools import cmp_to_key
from random import Random
from typing import Any

from fasthep_parsl.ops.clean import clean
from fasthep_parsl.ops.objects import merge_collections, select_objects
from fuzz.columns import kind_of
from fuzz.op_cases import Fields, OpCase, Result
from fuzz.oracle import Oracle
from fuzz.tree import Tree, write
from fuzz.values import Field, Refused, Value

QUANTITIES = {"pt": ("float32", "float64"), "eta": ("float32", "float64"), "phi": ("float32", "float64"),
              "mass": ("float32", "float64"), "charge": ("int8", "int32", "int64"),
              "n": ("uint8", "int16", "uint32", "bool"), "hash": ("int64", "uint64", "uint64", "int8")}  # fmt: skip


def _draw(random: Random, name: str, odd: float) -> Any:
    if name in ("charge", "n"):
        return random.choice([-1, 1]) if name == "charge" else random.randint(0, 3)
    if name == "hash":
        return random.choice([0, 1, 2, 2**53, 2**53 + 1, 2**63 - 1, 2**63 + 1, 2**64 - 1])
    if random.random() < odd:
        return math.nan
    if name == "pt":
        return random.choice([random.expovariate(0.03) + 1, 20.0, 25.5])
    if name == "mass":
        return abs(random.gauss(0.1, 3))
    return random.uniform(-2.5, 2.5) if name == "eta" else random.uniform(-math.pi, math.pi)


def _stored(x: Any, dtype: str) -> Any:
    import numpy as np

    if isinstance(x, int) and not isinstance(x, bool) and dtype != "bool":
        x = min(x, int(np.iinfo(dtype).max))
    return None if x is None else np.dtype(dtype).type(x).item()


def collection(
    random: Random, name: str, events: int, names: Any = QUANTITIES, *, odd: float = 0.0
) -> dict[str, Field]:
    """Return the fields of objects; `odd` is the share of values that are NaN, or missing."""
    most = random.choice([0, 1, 3, 5])
    counts = [random.randint(0, most) for _ in range(events)]
    holes = random.choice([0.0, 0.0, odd])
    found = {}
    for field in names:
        dtype = random.choice(QUANTITIES[field])
        structure = "K" if holes and field not in ("charge", "n") else "J"
        rows = tuple(
            tuple(
                None if random.random() < holes and structure == "K" else _stored(_draw(random, field, odd), dtype)
                for _ in range(n)
            )
            for n in counts
        )
        found[f"{name}_{field}"] = Field(kind_of(dtype), 1, rows, dtype, structure)
    return found


def events_for(random: Random) -> tuple[dict[str, Field], int]:
    number = random.choice([0, 1, 2, 4, 7])
    met = tuple(_stored(random.uniform(0, 60), "float32") for _ in range(number))
    return {
        "id": Field("i", 0, tuple(range(number)), "int64", "E"),
        "met": Field("f", 0, met, "float32", "E"),
        "nvtx": Field("i", 0, tuple(random.randint(0, 4) for _ in range(number)), "uint8", "E"),
    }, number


def condition(random: Random, names: list[str]) -> Tree:
    """Return an expression of one bool per object."""
    left: Tree = ("name", random.choice(names))
    roll = random.random()
    if roll < 0.3:
        left = ("call", "abs", (left,), ())
    elif roll < 0.6:
        left = ("binary", random.choice("+-*"), left, ("name", random.choice([*names, "met", "nvtx"])))
    elif roll < 0.7:
        left = ("unary", "-", left)
    right = random.choice([("const", random.choice([0, 1, -1, 20, 0.5, 25.5])), ("name", "met"), ("name", "nvtx")])
    return ("compare", (random.choice(["<", "<=", ">", ">=", "==", "!="]),), (left, right))


def local(fields: Fields, name: str, number: int, added: dict[str, Field] | None = None) -> Oracle:
    """Return the oracle in which the fields of a collection have their short names."""
    prefix = f"{name}_"
    short = {
        n.removeprefix(prefix): Field(f.kind, 1, f.data, f.dtype, "J")
        for n, f in fields.items()
        if n.startswith(prefix)
    }
    return Oracle({**{n: f for n, f in fields.items() if not f.depth}, **short, **(added or {})}, number)


def per_object(value: Value, counts: list[int]) -> list[list[Any]]:
    """Return one value per object, whatever the value is."""
    if value.is_const:
        return [[value.const] * n for n in counts]
    return [list(x) if value.depth else [x] * n for x, n in zip(value.data, counts, strict=True)]


def order(keys: list[Any], *, descending: bool) -> list[int]:
    """Return positions that sort `keys`: stable, NaN and missing last in both directions."""

    def last(x: Any) -> bool:
        return x is None or bool(x != x)

    def compare(i: int, j: int) -> int:
        a, b = keys[i], keys[j]
        if last(a) or last(b):
            return last(a) - last(b)
        return (bool(a > b) - bool(a < b)) * (-1 if descending else 1)

    return sorted(range(len(keys)), key=cmp_to_key(compare))


def _plain(x: Any) -> Any:
    return x.item() if hasattr(x, "item") else x


def select_case(random: Random) -> OpCase:
    fields, number = events_for(random)
    fields |= collection(random, "J", number, odd=random.choice([0.0, 0.1]))
    short = [n.removeprefix("J_") for n in fields if n.startswith("J_")]
    derived: dict[str, Tree] = {}
    if random.random() < 0.5:
        derived["twice"] = (
            "binary",
            random.choice("+-*/"),
            ("name", random.choice(short)),
            random.choice([("const", 2), ("name", "met")]),
        )
    names = [*short, *derived]
    cuts = [condition(random, names) for _ in range(random.randint(0, 2))]
    keep = random.sample(names, random.randint(1, len(names)))
    sort = random.choice([None, False, "by"])
    by: Tree = random.choice(
        [("name", random.choice(names)), ("call", "abs", (("name", "eta"),), ()), ("unary", "-", ("name", "n"))]
    )
    descending = random.random() < 0.5
    params: dict[str, Any] = {"collection": "J", "output": "G", "keep": keep, "selection": [write(cut) for cut in cuts]}
    params["sort"] = {"by": write(by), "order": "descending" if descending else "ascending"} if sort else sort
    if derived:
        params["derived"] = {n: write(t) for n, t in derived.items()}

    def loop(fields: Fields, number: int) -> Result:
        counts = [len(row) for row in fields["J_pt"].data]
        plain = local(fields, "J", number)
        made = {}
        for name, tree in derived.items():
            value = plain.of(tree)
            made[name] = Field(value.kind, 1, tuple(map(tuple, per_object(value, counts))), "", "J")
        oracle = local(fields, "J", number, made)
        masks = [per_object(oracle.of(cut), counts) for cut in cuts]
        key = None if sort is False else per_object(oracle.of(by if sort else ("name", "pt")), counts)
        down = descending if sort else True
        found: Result = {"nG": []} | {f"G_{name}": [] for name in keep}
        for event in range(number):
            rows = [i for i in range(counts[event]) if all(mask[event][i] for mask in masks)]
            if key is not None:
                rows = [rows[i] for i in order([key[event][i] for i in rows], descending=down)]
            found["nG"].append(len(rows))
            for name in keep:
                found[f"G_{name}"].append([_plain(oracle.fields[name].data[event][i]) for i in rows])
        return found

    return OpCase(select_objects, params, fields, number, loop, tolerance=1e-6)


def merge_case(random: Random) -> OpCase:
    fields, number = events_for(random)
    odd = random.choice([0.0, 0.1])
    names = ["J", "M", "K"][: random.randint(1, 3)]
    shared = random.sample(list(QUANTITIES), random.randint(2, 5))
    for name in names:
        fields |= collection(random, name, number, shared, odd=odd)
    numbers = (
        {name: random.randint(-3, 400) for name in names}
        if random.random() < 0.5
        else {n: i for i, n in enumerate(names)}
    )
    listed = list(numbers.values()) == list(range(len(names)))
    tag = random.choice(["flavour", "kind", None])
    by, descending = random.choice([*shared, "index"]), random.random() < 0.5
    sort = {"by": by, "order": "descending" if descending else "ascending"} if random.random() < 0.6 else False
    params = {"inputs": names if listed else numbers, "output": "G", "tag": tag, "sort": sort}

    def loop(fields: Fields, number: int) -> Result:
        own = [*([tag] if tag else []), "index"]
        for f in shared:
            parts = [fields[f"{name}_{f}"] for name in names]
            if len({part.dtype for part in parts}) > 1 and any(
                x is not None and x >= 2**63 for p in parts for row in p.data for x in row
            ):
                raise Refused("does not fit beside the other types")
        found: Result = {"nG": []} | {f"G_{name}": [] for name in (*shared, *own)}
        for event in range(number):
            objects = [
                {f: _plain(fields[f"{name}_{f}"].data[event][i]) for f in shared} | {tag: numbers[name], "index": i}
                for name in names
                for i in range(len(fields[f"{name}_{shared[0]}"].data[event]))
            ]
            if sort:
                objects = [objects[i] for i in order([each[by] for each in objects], descending=descending)]
            found["nG"].append(len(objects))
            for name in (*shared, *own):
                found[f"G_{name}"].append([each[name] for each in objects])
        return found

    return OpCase(merge_collections, params, fields, number, loop)


def clean_case(random: Random) -> OpCase:
    fields, number = events_for(random)
    against = ["M", "K"][: random.randint(1, 2)]
    odd = random.choice([0.0, 0.15])
    fields |= collection(random, "J", number, odd=odd)
    for name in against:
        fields |= collection(random, name, number, ("eta", "phi"), odd=odd)
    limit = random.choice([0.0, 0.4, 1.0, 2.5, 4.0])
    by, descending = random.choice([None, "pt", "n", "hash"]), random.random() < 0.5
    keep_removed = random.random() < 0.5
    params = {"source": "J", "clean_against": against, "output": "C", "min_delta_r": limit, "sort_by": by,
              "sort_order": "descending" if descending else "ascending",
              "diagnostics": {"keep_removed": keep_removed}}  # fmt: skip

    def near(a: tuple[Any, Any], b: tuple[Any, Any]) -> bool:
        if None in (*a, *b) or any(x != x for x in (*a, *b)):
            return False
        return math.hypot(a[0] - b[0], math.remainder(a[1] - b[1], 2 * math.pi)) < limit

    def loop(fields: Fields, number: int) -> Result:
        names = [n.removeprefix("J_") for n in fields if n.startswith("J_")]
        parts = ["C", *(["C_removed"] if keep_removed else [])]
        found: Result = {f"n{part}": [] for part in parts} | {"nremoved_C": []}
        found |= {f"{part}_{name}": [] for part in parts for name in names}
        for event in range(number):
            mine = list(zip(fields["J_eta"].data[event], fields["J_phi"].data[event], strict=True))
            theirs = [
                b
                for o in against
                for b in zip(fields[f"{o}_eta"].data[event], fields[f"{o}_phi"].data[event], strict=True)
            ]
            gone = [any(near(a, b) for b in theirs) for a in mine]
            rows = {"C": [i for i, g in enumerate(gone) if not g], "C_removed": [i for i, g in enumerate(gone) if g]}
            if by:
                keys = [fields[f"J_{by}"].data[event][i] for i in rows["C"]]
                rows["C"] = [rows["C"][i] for i in order(keys, descending=descending)]
            found["nremoved_C"].append(sum(gone))
            for part in parts:
                found[f"n{part}"].append(len(rows[part]))
                for name in names:
                    found[f"{part}_{name}"].append([_plain(fields[f"J_{name}"].data[event][i]) for i in rows[part]])
        return found

    return OpCase(clean, params, fields, number, loop)
