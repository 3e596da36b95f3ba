"""``hep.lumi_mask`` and ``hep.sum_of_weights`` against loops: sets of sections, `math.fsum`."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from random import Random

from fasthep_parsl.ops.lumi_mask import lumi_mask
from fasthep_parsl.ops.weight_sums import sum_of_weights
from fuzz.generate import Trees
from fuzz.op_cases import Fields, OpCase, Result
from fuzz.op_selections import fields_for
from fuzz.oracle import Oracle
from fuzz.tree import Tree, write
from fuzz.values import Refused

FILE = Path(__file__).parents[1] / "data" / "certified.json"
"""Runs and sections as small as the numbers of the cases."""


@cache
def certified() -> frozenset[tuple[int, int]]:
    ranges = json.loads(FILE.read_text()).items()
    return frozenset((int(run), n) for run, found in ranges for first, last in found for n in range(first, last + 1))


def lumi_case(random: Random) -> OpCase:
    """Events of data, in any order, or of simulation, which all stay."""
    trees = Trees(random)
    names = [random.choice(["int32", "int64", "uint8", "float64"]) for _ in range(2)]
    trees.used |= {name: ("E", name) for name in names}
    fields, number = fields_for(random, trees)
    data = random.random() < 0.8
    params = {"file": FILE, "run": names[0], "luminosity_block": names[1]}

    def loop(fields: Fields, number: int) -> Result:
        everything = {name: list(field.data) for name, field in fields.items()}
        if not data:
            return everything | {"#seen": [], "#read": 0}
        pairs = list(zip(*(fields[name].data for name in names), strict=True))
        if any(not math.isfinite(x) or x != int(x) or x < 0 or x >= 1 << 32 for pair in pairs for x in pair):
            raise Refused("no number of a run or section")
        kept = {
            name: [x for x, pair in zip(c, pairs, strict=True) if pair in certified()] for name, c in everything.items()
        }
        return kept | {"#seen": sorted({(int(run), int(section)) for run, section in pairs}), "#read": number}

    return OpCase(lumi_mask, params, fields, number, loop, eventtype="data" if data else "mc")


def sum_case(random: Random) -> OpCase:
    """A weight per event; what is not finite is counted and left out."""
    trees = Trees(random)
    weight: Tree = trees.make(random.choice("EEEEOJ"), random.choice([0, 1, 2]))
    fields, number = fields_for(random, trees)

    def loop(fields: Fields, number: int) -> Result:
        value = Oracle(dict(fields), number).of(weight)
        if value.kind == "s" or (not value.is_const and value.depth):
            raise Refused("not a number per event")
        found = [value.const] * number if value.is_const else list(value.data)
        if None in found:
            raise Refused("missing")
        finite = [float(x) for x in found if math.isfinite(x)]
        sums = {"#events": number, "#sum": math.fsum(finite), "#square": sum(x * x for x in finite)}
        return sums | {"#nan": number - len(finite)}

    return OpCase(sum_of_weights, {"weights": {"ds": write(weight)}}, fields, number, loop)
