"""Ranges of partitions behave as sets of numbers, and are fast even if there are very many."""

from __future__ import annotations

import random
import time
from itertools import pairwise

import pytest

from fasthep_parsl.worker.spans import add, count, halves, subtract, union


def numbers(spans):
    found = [n for first, last in spans for n in range(first, last)]
    assert len(found) == len(set(found))
    return set(found)


def draw(rng, most=12):
    return [(a, a + rng.randrange(5)) for a in (rng.randrange(40) for _ in range(rng.randrange(most)))]


def members(spans):
    return {n for first, last in spans for n in range(first, last)}


def tidy(spans):
    return all(a[1] < b[0] for a, b in pairwise(spans)) and all(a < b for a, b in spans)


@pytest.mark.parametrize("seed", range(200))
def test_ranges_behave_like_sets(seed):
    rng = random.Random(seed)
    one, two = draw(rng), draw(rng)
    joined = union(one)
    assert tidy(joined)
    assert numbers(joined) == members(one)
    left = subtract(one, two)
    assert tidy(left)
    assert numbers(left) == members(one) - members(two)
    grown = union(one)
    for span in two:
        add(grown, span)
    assert tidy(grown)
    assert grown == union([*one, *two])
    low, high = halves(joined)
    assert numbers(low) | numbers(high) == members(one)
    assert not numbers(low) & numbers(high)
    assert 0 <= count(high) - count(low) <= 1


@pytest.mark.slow
def test_very_many_ranges_are_cheap():
    every_other = [(n, n + 1) for n in range(0, 200_000, 2)]
    began = time.process_time()
    left = subtract([(0, 200_000)], every_other)
    assert count(left) == 100_000
    grown = []
    for span in every_other:
        add(grown, span)
    assert grown == every_other
    assert subtract(every_other, left) == every_other
    assert time.process_time() - began < 5  # quadratic ways take hours
