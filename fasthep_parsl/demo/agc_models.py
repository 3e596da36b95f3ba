"""Models that assign jets to the quarks of a pair of top quarks, as documents of XGBoost.

They are not trained. Each tree looks at one feature and approximates the logarithm of a likelihood ratio by steps, so
that the sum of all trees is that of a naive Bayes classifier. All leaves are multiples of 1/64, so sums are exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

MODEL_FILES: Final = {0: "bdt_trained_on_even.json", 1: "bdt_trained_on_odd.json"}
"""Number modulo 2 of the events for the training → name of the file. A model is for the other events."""

BDT_FEATURES: Final = (
    "deltar_leptonbtoplep", "deltar_w1w2", "deltar_w1btophad", "deltar_w2btophad",
    "mass_leptonbtoplep", "mass_w1w2", "mass_w1w2btophad", "pt_w1w2btophad",
    "pt_w1", "pt_w2", "pt_btophad", "pt_btoplep",
    "btag_w1", "btag_w2", "btag_btophad", "btag_btoplep",
    "qgl_w1", "qgl_w2", "qgl_btophad", "qgl_btoplep",
)  # fmt: skip
"""Features of an assignment, in the order of the models."""

STEPS: Final = 16
"""Number of leaves of a tree, a power of 2."""


@dataclass(frozen=True, slots=True)
class _Staircase:
    """A tree that is a function of one feature: in each of `STEPS` intervals of [low, high] its value in the middle."""

    low: float
    high: float
    value: Callable[[float], float]

    def thresholds(self) -> list[float]:
        width = (self.high - self.low) / STEPS
        return [self.low + width * i for i in range(1, STEPS)]

    def leaves(self) -> list[float]:
        width = (self.high - self.low) / STEPS
        return [round(64 * self.value(self.low + width * (i + 0.5))) / 64 for i in range(STEPS)]


def _peak(mean: float, width: float, weight: float = 3.0) -> Callable[[float], float]:
    return lambda x: weight * (math.exp(-0.5 * ((x - mean) / width) ** 2) - 0.5)


def _slope(middle: float, weight: float) -> Callable[[float], float]:
    return lambda x: weight * (x - middle)


def _trees(wider: float) -> Mapping[str, _Staircase]:
    """Return feature → tree; peaks of masses [GeV] are `wider`, and distances count less, by this factor."""
    tagged, light = _slope(0.5, 2.5), _slope(0.5, -2.5)
    near = _slope(2.0, -0.5 / wider)
    return {
        "deltar_leptonbtoplep": _Staircase(0.4, 4.4, near),
        "deltar_w1w2": _Staircase(0.4, 4.4, near),
        "deltar_w1btophad": _Staircase(0.4, 4.4, _slope(2.0, -0.25 / wider)),
        "deltar_w2btophad": _Staircase(0.4, 4.4, _slope(2.0, -0.25 / wider)),
        "mass_leptonbtoplep": _Staircase(0.0, 240.0, lambda x: 1.0 if x < 155.0 else -2.0),
        "mass_w1w2": _Staircase(40.0, 120.0, _peak(80.4, 10.0 * wider)),
        "mass_w1w2btophad": _Staircase(92.5, 252.5, _peak(172.5, 18.0 * wider)),
        "pt_w1w2btophad": _Staircase(0.0, 400.0, _slope(100.0, 0.004)),
        "pt_btophad": _Staircase(30.0, 190.0, _slope(60.0, 0.004)),
        "pt_btoplep": _Staircase(30.0, 190.0, _slope(60.0, 0.004)),
        "btag_w1": _Staircase(0.0, 1.0, light),
        "btag_w2": _Staircase(0.0, 1.0, light),
        "btag_btophad": _Staircase(0.0, 1.0, tagged),
        "btag_btoplep": _Staircase(0.0, 1.0, tagged),
        "qgl_w1": _Staircase(0.0, 1.0, _slope(0.5, 0.5)),
        "qgl_w2": _Staircase(0.0, 1.0, _slope(0.5, 0.5)),
    }


def agc_model(parity: int) -> dict[str, Any]:
    """Return the model that stands for one trained on events whose number modulo 2 is `parity`.

    It has the features `BDT_FEATURES` and the objective ``binary:logistic``; the margin of XGBoost is the sum of trees.
    """
    trees = [
        _tree(number, BDT_FEATURES.index(name), each)
        for number, (name, each) in enumerate(_trees(1.6 if parity else 1.0).items())
    ]
    number = str(len(BDT_FEATURES))
    return {
        "version": [2, 0, 0],
        "learner": {
            "attributes": {},
            "feature_names": list(BDT_FEATURES),
            "feature_types": ["float"] * len(BDT_FEATURES),
            "gradient_booster": {
                "name": "gbtree",
                "model": {
                    "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(len(trees))},
                    "iteration_indptr": list(range(len(trees) + 1)),
                    "tree_info": [0] * len(trees),
                    "trees": trees,
                },
            },
            "learner_model_param": {
                "base_score": "5E-1", "boost_from_average": "0", "num_class": "0", "num_feature": number, "num_target": "1"
            },
            "objective": {"name": "binary:logistic", "reg_loss_param": {"scale_pos_weight": "1"}},
        },
    }  # fmt: skip


def _tree(number: int, feature: int, staircase: _Staircase) -> dict[str, Any]:
    """Return a balanced tree: node i has the children 2i + 1 and 2i + 2, and the last `STEPS` nodes are leaves."""
    thresholds, leaves = staircase.thresholds(), staircase.leaves()
    inner = STEPS - 1
    conditions = [0.0] * inner + leaves
    for node in range(inner):
        level = (node + 1).bit_length() - 1
        span = STEPS >> level  # leaves below this node
        conditions[node] = thresholds[(node + 1 - (1 << level)) * span + span // 2 - 1]
    nodes = range(len(conditions))
    zeros = [0] * len(conditions)
    return {
        "id": number,
        "tree_param": {
            "num_deleted": "0", "num_feature": str(len(BDT_FEATURES)), "num_nodes": str(len(conditions)),
            "size_leaf_vector": "1",
        },
        "left_children": [2 * i + 1 if i < inner else -1 for i in nodes],
        "right_children": [2 * i + 2 if i < inner else -1 for i in nodes],
        "parents": [(i - 1) // 2 if i else 2**31 - 1 for i in nodes],
        "split_indices": [feature if i < inner else 0 for i in nodes],
        "split_conditions": conditions,
        "split_type": zeros,
        "default_left": zeros,
        "base_weights": conditions,
        "loss_changes": [0.0] * len(conditions),
        "sum_hessian": [1.0] * len(conditions),
        "categories": [],
        "categories_nodes": [],
        "categories_segments": [],
        "categories_sizes": [],
    }  # fmt: skip
