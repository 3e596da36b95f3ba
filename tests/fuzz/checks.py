"""One seed, one expression: what is compared, and how a difference is told."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from fuzz.expressions import Outcome, difference, expected, filtered, in_parts, minimal, on_gpu, seen, shown
from fuzz.generate import Case, case
from fuzz.values import Unclear

Check = Callable[[Case, Outcome], str]
"""``check(case, what the engine says of it)`` → how that differs."""


def against_oracle(case: Case, found: Outcome) -> str:
    right = expected(case)
    if right[0] != "too wide":
        return difference(found, right)
    try:  # refused, or exact, as where an object is only picked
        return "" if found[0] == "refused" else difference(found, expected(case, wide=True))
    except Unclear:
        return ""


def parts(random: Random) -> Check:
    """Return the check that a pass is worth what its parts are worth."""
    seed = random.random()

    def check(case: Case, found: Outcome) -> str:
        random = Random(seed)
        cuts = [random.randint(0, case.events) for _ in range(random.randint(1, 3))]
        return difference(found, in_parts(case, cuts), exact=True)

    return check


def after_filter(random: Random) -> Check:
    """Return the check that filtered events are worth what they were."""
    seed = random.random()

    def check(case: Case, found: Outcome) -> str:
        random = Random(seed)
        keep = [random.random() < 0.6 for _ in range(case.events)]
        if found[0] != "values":
            return ""
        rows = [row for row, kept in zip(found[1][1], keep, strict=True) if kept]
        return difference((found[0], (found[1][0], rows)), filtered(case, keep), exact=True)

    return check


def on_stand_in(case: Case, found: Outcome) -> str:
    there = on_gpu(case)
    return "" if there is None else difference(found, there)


def one_expression(seed: int | str) -> tuple[bool, str]:
    """Try the case of a seed; return whether the rules say what it is worth, and how the engine differs."""
    random = Random(str(seed))
    it = case(random)
    try:
        expected(it)
    except Unclear:
        return False, ""
    found = seen(it)
    checks: list[tuple[str, float, Check]] = [
        ("against the oracle", 1.0, against_oracle),
        ("in parts", 0.5, parts(random)),
        ("after a filter", 0.3, after_filter(random)),
        ("on the stand-in for CuPy", 0.1, on_stand_in),
    ]
    for name, share, check in checks:
        if random.random() < share and check(it, found):
            least = minimal(it, lambda case, check=check: check(case, seen(case)))
            why = check(least, seen(least))
            return True, f"seed {seed}, {name}:\n{shown(least)}\nengine / expected: {why}"
    return True, ""
