"""One seed, one case of an op."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from fuzz import op_candidates, op_histograms, op_inference, op_objects, op_selections, op_sums, op_weights
from fuzz.op_cases import OpCase, expected, try_case
from fuzz.values import Unclear

CASES: dict[str, Callable[[Random], OpCase]] = {
    "hep.select": op_selections.select_case,
    "hep.selection.cutflow": op_selections.cutflow_case,
    "hep.define": op_selections.define_case,
    "hep.select_objects": op_objects.select_case,
    "hep.merge_collections": op_objects.merge_case,
    "hep.clean": op_objects.clean_case,
    "hep.build_pairs": op_candidates.pairs_case,
    "hep.build_combinations": op_candidates.combinations_case,
    "hep.correction": op_weights.correction_case,
    "hep.inference": op_inference.inference_case,
    "hep.weight": op_weights.weight_case,
    "hep.lumi_mask": op_sums.lumi_case,
    "hep.sum_of_weights": op_sums.sum_case,
    "hep.hist": op_histograms.hist_case,
}
"""Op (``hep.select`` with ``hep.selection.flag``) → what makes a case of it."""


def one_op(seed: str, op: str = "") -> tuple[bool, str]:
    """Try the case of a seed; return whether the rules say what is right, and how the op differs."""
    random = Random(f"op {seed}")
    name = random.choice(list(CASES))
    case = CASES[op or name](random)
    try:
        expected(case)
    except Unclear:
        return False, ""
    return True, try_case(case, seed, share=0.3)
