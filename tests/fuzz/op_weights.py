"""``hep.correction`` and ``hep.weight`` against loops: correctionlib called with single numbers, products of single factors."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from fasthep_parsl.ops.corrections.correction import correction
from fasthep_parsl.ops.weight import weight
from fuzz.generate import Trees
from fuzz.op_cases import Fields, OpCase, Result
from fuzz.op_selections import fields_for
from fuzz.oracle import Oracle
from fuzz.tree import Tree, write
from fuzz.values import Refused, Unclear

FILE = Path(__file__).parents[1] / "data" / "corrections.json"
GROUPS: dict[str, Any] = {"up": {"systematic": "up"}, "down": {"systematic": "down"}}


@cache
def corrections() -> Any:
    import correctionlib

    return correctionlib.CorrectionSet.from_file(str(FILE))


# --- hep.correction -----------------------------------------------------------------------------------------


def correction_case(random: Random) -> OpCase:
    """A scale factor of objects or events, with or without variations."""
    trees = Trees(random)
    structure = random.choice("EEOJJKD")
    pt = trees.make(structure, random.choice([0, 1]))
    abseta: Tree = ("call", "abs", (trees.other(structure, 0),), ())
    varied = random.random() < 0.6
    inputs = {"systematic": "nominal", "abseta": write(abseta), "pt": write(pt)}
    params = {"file": FILE, "name": "muon_sf", "inputs": inputs, "output": "sf", "variations": GROUPS if varied else {}}
    fields, number = fields_for(random, trees)
    columns = {"sf": "nominal"} | ({"sf@sf_up": "up", "sf@sf_down": "down"} if varied else {})

    def loop(fields: Fields, number: int) -> Result:
        oracle = Oracle(dict(fields), number)
        y, x = oracle.of(abseta), oracle.of(pt)
        if "s" in (y.kind, x.kind):
            raise Refused("text")
        if y.is_const and x.is_const:
            raise Unclear("constants")
        found: Result = {name: list(field.data) for name, field in fields.items()}
        for column, name in columns.items():
            found[column] = list(oracle.each(lambda a, b, name=name: _scale_factor(name, a, b), "d", y, x).data)
        return found

    return OpCase(correction, params, fields, number, loop)


def _scale_factor(name: str, abseta: Any, pt: Any) -> float:
    if math.isnan(abseta) or math.isnan(pt):
        return math.nan
    try:
        return float(corrections()["muon_sf"].evaluate(name, float(abseta), float(pt)))
    except RuntimeError as error:
        raise Refused(str(error)) from None


# --- hep.weight ---------------------------------------------------------------------------------------------


def weight_case(random: Random) -> OpCase:
    """A product of values per event and per object, with variations of one factor."""
    trees = Trees(random)
    parts = [trees.make(random.choice("EEEOJJK"), random.choice([0, 1])) for _ in range(random.randint(1, 3))]
    own: list[Tree] = [trees.make("E", 0), ("const", random.choice([0.5, 1.5, 2]))] if random.random() < 0.5 else []
    named: dict[str, Any] = {f"f{number}": write(part) for number, part in enumerate(parts)}
    if own:
        named["f0"] = {"nominal": write(parts[0]), "up": write(own[0]), "down": write(own[1])}
    params = {"output": "w", "factors": named if own else list(named.values())}
    fields, number = fields_for(random, trees)
    first = {"w": parts[0]} | (dict(zip(("w@f0_up", "w@f0_down"), own, strict=True)) if own else {})

    def loop(fields: Fields, number: int) -> Result:
        oracle = Oracle(dict(fields), number)
        found: Result = {name: list(field.data) for name, field in fields.items()}
        for column, tree in first.items():
            factors = [_per_event(oracle.of(each), number) for each in (tree, *parts[1:])]
            with np.errstate(all="ignore"):
                rows = (math.prod(row, start=np.float64(1)) for row in zip(*factors, strict=True))
                found[column] = [float(row) for row in rows]
        return found

    return OpCase(weight, params, fields, number, loop)


def _per_event(value: Any, number: int) -> list[Any]:
    """Return a factor of each event."""
    if value.kind == "s":
        raise Refused("text")
    if value.is_const:
        return [np.float64(value.const)] * number
    found = []
    for entry in value.data:
        objects = entry if value.depth else (entry,)
        if objects is None or None in objects:
            raise Refused("missing")
        with np.errstate(all="ignore"):
            found.append(math.prod(map(np.float64, objects), start=np.float64(1)))
    return found
