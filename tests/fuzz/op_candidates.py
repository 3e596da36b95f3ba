"""``hep.build_pairs`` and ``hep.build_combinations`` against loops over single combinations."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import combinations, permutations, product
from random import Random
from typing import Any

from fasthep_parsl.ops.combinations import build_combinations, build_pairs
from fuzz.op_cases import Fields, OpCase, Result
from fuzz.op_objects import QUANTITIES, collection, events_for, order
from fuzz.oracle import Oracle
from fuzz.tree import Tree, write
from fuzz.values import Field, kind_of_number

KINEMATIC = ("pt", "eta", "phi", "mass", "charge")
Object = dict[str, Any]
Groups = list[list[str]] | None


def candidate(members: list[Object]) -> Object:
    """Return the sum of objects as (pt, eta, phi, mass) and charge, by the formulas of a textbook in double precision."""
    pt, eta, phi, mass = ([math.nan if o[q] is None else float(o[q]) for o in members] for q in KINEMATIC[:4])
    charges = [o["charge"] for o in members]
    px = sum(p * math.cos(a) for p, a in zip(pt, phi, strict=True))
    py = sum(p * math.sin(a) for p, a in zip(pt, phi, strict=True))
    pz = sum(p * math.sinh(y) for p, y in zip(pt, eta, strict=True))
    energy = sum(math.sqrt((p * math.cosh(y)) ** 2 + m * m) for p, y, m in zip(pt, eta, mass, strict=True))
    total = math.hypot(px, py)
    square = energy**2 - px**2 - py**2 - pz**2
    return {
        "pt": total,
        "eta": math.asinh(pz / total) if total else math.nan,
        "phi": math.atan2(py, px),
        "mass": math.nan if math.isnan(square) else math.sqrt(max(square, 0.0)),
        "charge": sum(charges),
    }


def _objects(fields: Fields, name: str, event: int, masses: dict[str, float]) -> list[Object]:
    short = [n.removeprefix(f"{name}_") for n in fields if n.startswith(f"{name}_")]
    number = len(fields[f"{name}_pt"].data[event])
    found = [{q: fields[f"{name}_{q}"].data[event][i] for q in short} | {"index": i} for i in range(number)]
    return [o | {"mass": masses[name]} for o in found] if name in masses else found


def _cut(random: Random, roles: list[str]) -> Tree:
    one, two = roles[:2]
    opposite = (
        "compare",
        ("<",),
        (("binary", "*", ("name", f"{one}_charge"), ("name", f"{two}_charge")), ("const", 0)),
    )
    far = (
        "compare",
        (">",),
        (("call", "abs", (("binary", "-", ("name", f"{one}_eta"), ("name", f"{two}_eta")),), ()), ("const", 0.3)),
    )
    return random.choice([
        opposite,
        far,
        ("compare", (">",), (("name", f"{one}_pt"), ("const", 20))),
        ("compare", (">",), (("name", "mass"), ("const", 15.5))),
        ("compare", ("<",), (("name", "pt"), ("name", "met"))),
        ("compare", ("==",), (("name", "charge"), ("const", 0))),
        ("compare", ("!=",), (("name", f"{one}_index"), ("name", "nvtx"))),
    ])  # fmt: skip


def _case(random: Random, op: Any, names: list[str], n: int, *, merged: bool) -> OpCase:
    fields, number = events_for(random)
    odd = random.choice([0.0, 0.0, 0.1])
    for name in names:
        fields |= collection(random, name, number, QUANTITIES, odd=odd)
    pairs = op is build_pairs
    if pairs:
        roles = ["lepton_1", "lepton_2"]
    elif merged:
        roles = [f"{names[0]}_{i + 1}" for i in range(n)]
    else:
        roles = list(names)
    cuts = [_cut(random, roles) for _ in range(random.randint(0, 2))]
    distance: Tree = ("call", "abs", (("binary", "-", ("name", "mass"), ("const", 30.0)),), ())
    by: Tree = random.choice([distance, ("name", "pt"), ("name", f"{roles[0]}_pt")])
    descending = random.random() < 0.5
    sort = {"by": write(by), "order": "descending" if descending else "ascending"} if random.random() < 0.6 else None
    take = random.choice([None, 1, 2])
    quantities = random.choice([None, ["mass"], ["pt", "charge"], ["phi", "eta"]])
    extra = random.choice([None, ["pt"], ["eta", "n"]])
    mass = random.choice([None, None, 0.5, {names[0]: 0.1}])
    masses = {} if mass is None else mass if isinstance(mass, dict) else dict.fromkeys(names, mass)
    params: dict[str, Any] = {"output": "Z", "selection": [write(cut) for cut in cuts], "sort": sort, "take": take,
                              "keep": {"candidate": quantities, "constituents": extra}, "mass": mass}  # fmt: skip
    if pairs or not merged:
        params["collections"] = names
    else:
        params |= {"collection": names[0], "n": n}
    groups = None if pairs or not merged else random.choice([None, None, [], [roles[:2]], [roles[-2:]], [roles]])
    if groups is not None:
        params["exchangeable"] = groups
    prefix = "Z_Z" if pairs else "Z"

    def loop(fields: Fields, number: int) -> Result:
        kept = [*(extra or ()), *([] if pairs else ["index"])]
        columns = [(f"{prefix}_{q}", q) for q in quantities or KINEMATIC]
        columns += [(f"Z_{role}_{f}", f"{role}_{f}") for role in roles for f in kept]
        found: Result = {f"n{prefix}": []} | {name: [] for name, _ in columns}
        for event in range(number):
            each = [_objects(fields, name, event, masses) for name in names]
            together = [o | {"index": i} for i, o in enumerate(o for part in each for o in part)]
            every = _assignments(combinations(together, n), roles, groups) if merged else product(*each)
            rows = []
            for members in every:
                row = candidate(list(members)) | {
                    f"{r}_{q}": o[q] for r, o in zip(roles, members, strict=True) for q in o
                }
                row |= {name: field.data[event] for name, field in fields.items() if not field.depth}
                if all(_worth(cut, row, fields) for cut in cuts):
                    rows.append(row)
            if sort:
                rows = [rows[i] for i in order([_worth(by, row, fields) for row in rows], descending=descending)]
            rows = rows[:take]
            found[f"n{prefix}"].append(len(rows))
            for name, local in columns:
                found[name].append([row[local] for row in rows])
        return found

    return OpCase(op, params, fields, number, loop, tolerance=1e-6)


def _assignments(every: Iterable[tuple[Object, ...]], roles: list[str], groups: Groups) -> Iterable[tuple[Object, ...]]:
    """Return the combinations, or with `groups` all of their permutations that differ."""
    if groups is None:
        return every
    return (p for found in every for p in permutations(found) if _in_order(p, roles, groups))


def _in_order(members: tuple[Object, ...], roles: list[str], groups: list[list[str]]) -> bool:
    """Whether the roles of each group have the order of the objects."""
    places = [[members[roles.index(role)]["index"] for role in group] for group in groups]
    return all(place == sorted(place) for place in places)


def _worth(tree: Tree, row: Object, fields: Fields) -> Any:
    """Return what an expression is worth for one candidate."""
    known = {}
    for name, x in row.items():
        source = fields.get(name)
        known[name] = Field(source.kind if source else kind_of_number(x), 0, (x,), "", "E")
    return Oracle(known, 1).of(tree).data[0]


def pairs_case(random: Random) -> OpCase:
    return _case(random, build_pairs, ["J", "M"][: random.randint(1, 2)], 2, merged=True)


def combinations_case(random: Random) -> OpCase:
    if random.random() < 0.5:
        return _case(random, build_combinations, ["J"], random.choice([2, 2, 3]), merged=True)
    return _case(random, build_combinations, ["J", "M", "K"][: random.randint(2, 3)], 2, merged=False)
