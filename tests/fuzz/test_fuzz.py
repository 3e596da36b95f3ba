"""A share of what ``make fuzz`` tries, with seeds that stay: minutes, in the suite."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from importlib.metadata import entry_points
from random import Random

import pytest

from fasthep_parsl.ops.expressions.functions import FUNCTIONS
from fuzz.__main__ import one_cluster
from fuzz.checks import one_expression
from fuzz.generate import case
from fuzz.ops_by_loop import CASES, one_op
from fuzz.tree import Tree, parts_of
from fuzz.variations import one_variations
from fuzz.workflows import one_workflow

EXPRESSIONS, OPS, WORKFLOWS, VARIATIONS = 200, 60, 12, 60
"""Cases in one test."""


def no_difference(tried):
    ran = 0
    for counts, why in tried:
        assert not why, why
        ran += counts
    return ran


@pytest.mark.parametrize("block", range(15))
def test_expressions(block):
    assert no_difference(one_expression(f"suite-{block}-{i}") for i in range(EXPRESSIONS)) > EXPRESSIONS // 2


@pytest.mark.parametrize("op", CASES)
def test_ops(op):
    assert no_difference(one_op(f"suite-{i}", op) for i in range(OPS)) > OPS // 3


@pytest.mark.parametrize("block", range(6))
def test_workflows(block):
    assert no_difference(one_workflow(f"suite-{block}-{i}") for i in range(WORKFLOWS)) == WORKFLOWS


@pytest.mark.parametrize("seed", ["5-11", "5-175", "11-703", "77-245", "77-469", "20261130-266", "20261130-1173"])
def test_variations_that_were_wrong(seed):
    """Fields that few datasets overwrite were not read; weights of cutflows took nominal fields."""
    assert no_difference([one_variations(seed)]) == 1


def test_variations():
    assert no_difference(one_variations(f"suite-{i}") for i in range(VARIATIONS)) > VARIATIONS // 3


@pytest.mark.integration
@pytest.mark.parametrize("seed", ["suite-1", "suite-2", "suite-7"])
def test_workflows_on_parsl(seed):
    """Of some a worker is killed."""
    assert no_difference([one_cluster(seed)]) == 1


def functions_of(tree: Tree) -> Iterator[str]:
    if tree[0] == "call":
        yield tree[1]
    for part in parts_of(tree):
        yield from functions_of(part)


def test_every_function_and_every_op_is_tried():
    seen = Counter(name for i in range(3000) for name in set(functions_of(case(Random(f"suite-{i % 15}-{i}")).tree)))
    assert {name for name in FUNCTIONS if seen[name] < 5} == set()
    built_in = {entry.name for entry in entry_points(group="fasthep_parsl.ops") if entry.name.startswith("hep.")}
    assert built_in - CASES.keys() == {"hep.selection.flag", "hep.write"}  # with hep.select; tested with its files
