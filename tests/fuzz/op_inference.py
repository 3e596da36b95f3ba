"""``hep.inference`` against two trees with five leaves each, read from the file of the model and walked with single numbers."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from fasthep_parsl.ops.inference.model_outputs import inference
from fuzz.generate import Trees
from fuzz.op_cases import Fields, OpCase, Result
from fuzz.op_selections import fields_for
from fuzz.oracle import Oracle
from fuzz.tree import write
from fuzz.values import Refused, Unclear

FILE = Path(__file__).parents[1] / "data" / "trees.json"


@cache
def learner() -> Any:
    return json.loads(FILE.read_text())["learner"]


def inference_case(random: Random) -> OpCase:
    """The output of a model per event or per object."""
    trees = Trees(random)
    structure = random.choice("EEOJJKD")
    pt, eta = trees.make(structure, random.choice([0, 1])), trees.other(structure, 0)
    features: Any = {"eta": write(eta), "pt": write(pt)} if random.random() < 0.5 else [write(pt), write(eta)]
    output = {"p": "prediction", "m": "margin"} if random.random() < 0.5 else "p"
    params = {"model": FILE, "features": features, "output": output, "batch": random.choice([1, 2, 100])}
    fields, number = fields_for(random, trees)

    def loop(fields: Fields, number: int) -> Result:
        oracle = Oracle(dict(fields), number)
        x, y = oracle.of(pt), oracle.of(eta)
        if "s" in (x.kind, y.kind):
            raise Refused("text")
        if x.is_const and y.is_const:
            raise Unclear("constants")
        found: Result = {name: list(field.data) for name, field in fields.items()}
        found["p"] = list(oracle.each(lambda a, b: 1 / (1 + math.exp(-_margin(a, b))), "f", x, y).data)
        if not isinstance(output, str):
            found["m"] = list(oracle.each(_margin, "f", x, y).data)
        return found

    return OpCase(inference, params, fields, number, loop, tolerance=1e-5)


def _margin(pt: Any, eta: Any) -> float:
    with np.errstate(all="ignore"):
        row = [np.float32(pt), np.float32(eta)]
    base = float(str(learner()["learner_model_param"]["base_score"]).strip("[]"))
    return math.log(base / (1 - base)) + sum(
        _leaf(tree, row) for tree in learner()["gradient_booster"]["model"]["trees"]
    )


def _leaf(tree: Any, row: list[Any]) -> float:
    node = 0
    while tree["left_children"][node] != -1:
        value, split = row[tree["split_indices"][node]], np.float32(tree["split_conditions"][node])
        left = bool(tree["default_left"][node]) if np.isnan(value) else value < split
        node = tree["left_children" if left else "right_children"][node]
    return float(tree["split_conditions"][node])
