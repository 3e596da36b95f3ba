"""Products are merged in the order of events, in pairs that do not depend on bundles, workers or times."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasthep_parsl.tasks import Failure
from fasthep_parsl.worker.sums import CountedTwiceError, Sums

END = 40


def pairs(stage, left, right):
    return f"({left}{right})"


def blame(stage, error):
    return Failure(-1, "user", stage, str(error))


def sums(join=pairs, end=END):
    return Sums(join, blame, end)


def leaf(first, last):
    return ((first, last),), {"A": f"[{first},{last}]"}


@st.composite
def histories(draw):
    """Passes, and how they are bundled: bundles in any order, each a run of passes."""
    cuts = sorted(draw(st.sets(st.integers(1, END - 1))))
    passes = list(zip([0, *cuts], [*cuts, END], strict=True))
    borders = sorted(draw(st.sets(st.integers(1, max(len(passes) - 1, 1)), max_size=len(passes))))
    bundles = [passes[a:b] for a, b in zip([0, *borders], [*borders, len(passes)], strict=True) if passes[a:b]]
    return passes, draw(st.permutations(bundles)), draw(st.integers(1, 3)), draw(st.randoms(use_true_random=False))


def in_one_go(passes):
    found = sums()
    for span in passes:
        found.add(*leaf(*span))
    return found


@given(histories())
def test_the_same_pairs_whatever_the_bundles(history):
    passes, bundles, fan_in, chance = history
    files = []
    for bundle in bundles:
        task = sums()
        for span in bundle:
            task.add(*leaf(*span))
        files.append(task.parts)
    while len(files) > 1:
        chosen = [files.pop(chance.randrange(len(files))) for _ in range(min(fan_in + 1, len(files)))]
        task = sums()
        for parts in chosen:
            for part in parts:
                task.add(part.spans, part.products)
        files.append(task.parts)
    (parts,) = files
    assert [part.spans for part in parts] == [((0, END),)]
    assert parts == in_one_go(passes).parts


@given(histories(), st.data())
def test_what_is_missing_finds_its_place_later(history, data):
    passes, bundles, _, _ = history
    failed = data.draw(st.sets(st.sampled_from(passes)))
    found = sums()
    for bundle in bundles:
        for span in bundle:
            if span not in failed:
                found.add(*leaf(*span))
    spans = [span for part in found.parts for span in part.spans]
    assert spans == sorted(spans)
    whole = found.whole().get("A", "")
    assert whole.replace("(", "").replace(")", "") == "".join(f"[{a},{b}]" for a, b in passes if (a, b) not in failed)
    for span in failed:
        found.add(*leaf(*span))
    assert found.parts == in_one_go(passes).parts


def test_a_bundle_has_few_parts():
    found = sums(end=100_000)
    for number in range(5_000, 6_000):
        found.add([(number, number + 1)], {"A": "x"})
    assert len(found.parts) < 40


@pytest.mark.parametrize("span", [(3, 4), (0, 4), (5, 7), (4, 6), (3, 9)])
def test_nothing_is_counted_twice(span):
    found = sums()
    found.add(*leaf(3, 6))
    with pytest.raises(CountedTwiceError):
        found.add(*leaf(*span))


def test_a_stage_whose_products_cannot_be_joined_costs_no_other():
    def join(stage, left, right):
        if stage == "B" and len(right) > 2:
            raise ValueError("too long")
        return left + right

    found = sums(join)
    for number in range(END):
        found.add([(number, number + 1)], {"A": [number], "B": [number]})
    assert found.parts[0].products == {"A": list(range(END))}
    assert found.broken["B"].message == "too long"
    assert found.whole() == {"A": list(range(END))}


def test_very_many_parts_are_joined_in_order():
    found = sums(end=10_000)
    numbers = list(range(0, 10_000, 2))
    random.Random(1).shuffle(numbers)
    for number in numbers:
        found.add([(number, number + 1)], {"A": f"{number} "})
    assert len(found.parts) == 5_000
    found.limit([(5_001, 5_002)], 64)
    assert len(found.parts) == 4_999
    found.limit([(n, n + 1) for n in range(1, 10_000, 2)], 64)
    assert len(found.parts) <= 64
    assert [span for part in found.parts for span in part.spans] == [(n, n + 1) for n in sorted(numbers)]
    said = "".join(part.products["A"] for part in found.parts).replace("(", "").replace(")", "")
    assert [int(word) for word in said.split()] == sorted(numbers)
