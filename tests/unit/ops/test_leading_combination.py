"""The first combination of each event, and sums of momenta that are computed once per object."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from fasthep_parsl.ops.collections import candidates
from fasthep_parsl.ops.collections.sorting import argsort_objects, first_objects
from fasthep_parsl.ops.combinations import BuildCombinations, build_combinations
from fasthep_parsl.ops.stream import Events


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "u8"])
@pytest.mark.parametrize("descending", [True, False])
def test_the_first_object_is_that_of_a_sort(dtype, descending):
    random = np.random.default_rng(3)
    counts = np.concatenate([[0], random.integers(0, 7, 400), [0]])
    offsets = np.concatenate([[0], np.cumsum(counts)])
    key = random.integers(0, 4, offsets[-1]).astype(dtype)  # many are equal
    if key.dtype.kind == "f":
        key[random.random(len(key)) < 0.4] = np.nan
        key[random.random(len(key)) < 0.1] = -0.0
        key[random.random(len(key)) < 0.1] = np.inf if descending else -np.inf
        key[random.random(len(key)) < 0.1] = -np.inf if descending else np.inf
    order = argsort_objects(offsets, key, descending=descending)
    edges, rows = first_objects(offsets, key, descending=descending)
    np.testing.assert_array_equal(rows, order[offsets[:-1][counts > 0]])
    np.testing.assert_array_equal(np.diff(edges), counts > 0)
    assert edges.dtype == np.int64


def test_what_cannot_be_compared_at_once_is_sorted():
    assert first_objects(np.array([0, 0]), np.array([]), descending=True) is None
    assert first_objects(np.array([0, 2]), ak.Array([1.0, None]), descending=True) is None


@pytest.mark.parametrize("block", [1 << 16, 50])
@pytest.mark.parametrize("n", [2, 3])
def test_results_are_those_of_sums_and_sorts_to_the_last_bit(monkeypatch, n, block):
    events = jets()
    every = {
        "collection": "Jet", "n": n, "roles": list("abc")[:n], "output": "C", "keep": {"candidate": ["pt", "phi", "mass"]},
        "selection": ["a_tag | b_tag"], "sort": {"by": "pt", "order": "descending"},
    }  # fmt: skip
    monkeypatch.setattr(candidates, "BLOCK", block)
    fast = build_combinations(events, params=BuildCombinations(**every, take=1))
    monkeypatch.setattr(candidates._Candidates, "_transverse_of_objects", lambda self: None)
    slow = build_combinations(events, params=BuildCombinations(**every))
    assert fast.keys() == slow.keys()
    assert len(fast["C_pt"]) == 300
    for name, values in fast.items():
        expected = np.minimum(slow[name], 1) if name == "nC" else slow[name][:, :1]
        assert ak.array_equal(values, expected, equal_nan=True), name


def jets():
    random = np.random.default_rng(5)
    counts = random.integers(0, 7, 300)
    number = counts.sum()
    fields = {
        "pt": random.choice([20.0, 30.0, 45.5], number),
        "eta": random.normal(0, 1, number),
        "phi": random.choice([-1.0, 0.5, 2.0], number),
        "mass": random.uniform(0, 9, number),
        "tag": random.random(number) < 0.5,
    }
    fields = {name: values if name == "tag" else values.astype("f4") for name, values in fields.items()}
    fields["pt"][::17] = np.nan
    columns = {f"Jet_{name}": ak.unflatten(values, counts) for name, values in fields.items()}
    return Events({"nJet": counts, **columns}, len(counts))
