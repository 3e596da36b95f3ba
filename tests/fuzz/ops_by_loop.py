"""One seed, one case of an op."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from fuzz import op_objects
from fuzz.op_cases import OpCase, expected, try_case
from fuzz.op_selections import cutflow_case, define_case, select_case
from fuzz.values import Unclear

CASES: tuple[Callable[[Random], OpCase], ...] = (
    select_case, cutflow_case, define_case, op_objects.select_case, op_objects.merge_case, op_objects.clean_case,
)  # fmt: skip


def one_op(seed: str) -> tuple[bool, str]:
    """Try the case of a seed; return whether the rules say what is right, and how the op differs."""
    random = Random(f"op {seed}")
    case = random.choice(CASES)(random)
    try:
        expected(case)
    except Unclear:
        return False, ""
    return True, try_case(case, seed, share=0.3)
