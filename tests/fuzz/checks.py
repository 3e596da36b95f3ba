"""One seed, one expression: what is compared, and how a difference is told."""

from __future__ import annotations

from random import Random

from fuzz.expressions import difference, expected, filtered, in_parts, minimal, on_gpu, seen, shown
from fuzz.generate import Case, case
from fuzz.values import Unclear


def against_oracle(case: Case) -> str:
    right, found = expected(case), seen(case)
    if right[0] != "too wide":
        return difference(found, right)
    try:  # refused, or exact, as where an object is only picked
        return "" if found[0] == "refused" else difference(found, expected(case, wide=True))
    except Unclear:
        return ""


def parts(random: Random) -> object:
    """Return the check that a pass is worth what its parts are worth."""
    seed = random.random()

    def check(case: Case) -> str:
        random = Random(seed)
        cuts = [random.randint(0, case.events) for _ in range(random.randint(1, 3))]
        return difference(seen(case), in_parts(case, cuts), exact=True)

    return check


def after_filter(random: Random) -> object:
    """Return the check that filtered events are worth what they were."""
    seed = random.random()

    def check(case: Case) -> str:
        random = Random(seed)
        keep = [random.random() < 0.6 for _ in range(case.events)]
        state, found = seen(case)
        if state != "values":
            return ""
        rows = [row for row, kept in zip(found[1], keep, strict=True) if kept]
        return difference((state, (found[0], rows)), filtered(case, keep), exact=True)

    return check


def on_stand_in(case: Case) -> str:
    there = on_gpu(case)
    return "" if there is None else difference(seen(case), there)


def one_expression(seed: int | str) -> tuple[bool, str]:
    """Try the case of a seed; return whether the rules say what it is worth, and how the engine differs."""
    random = Random(str(seed))
    it = case(random)
    try:
        expected(it)
    except Unclear:
        return False, ""
    checks = {"against the oracle": against_oracle, "in parts": parts(random), "after a filter": after_filter(random)}
    if random.random() < 0.15:
        checks["on the stand-in for CuPy"] = on_stand_in
    for name, check in checks.items():
        if check(it):
            least = minimal(it, check)
            return True, f"seed {seed}, {name}:\n{shown(least)}\nengine / expected: {check(least)}"
    return True, ""
