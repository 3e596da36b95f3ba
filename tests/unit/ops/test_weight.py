"""hep.weight: products of factors, their variations, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
from pydantic import ValidationError

import fake_cupy
from fasthep_parsl.errors import OpError
from fasthep_parsl.interfaces import Context, DatasetInfo
from fasthep_parsl.ops.stream import Events
from fasthep_parsl.ops.weight import weight

DATASET = DatasetInfo("dy", meta={"k": 2.0})
CONTEXT = Context("W", DATASET, (DATASET,), "dy-0", Path())
SCHEMA = {"gen": (), "pu": (), "hole": (), "sf": ("nMuon",), "deep": ("nMuon", "*"), "tag": ()}
EVENTS = Events(
    {
        "gen": np.array([1.0, -2.0, 0.5], dtype=np.float32),
        "pu": np.array([1.1, 0.9, 1.0]),
        "hole": ak.Array([1.0, None, None]),
        "sf": ak.values_astype(ak.Array([[0.9, 0.8], [], [1.1]]), np.float32),
        "gaps": ak.Array([[0.9, None], [], [1.1]]),
        "deep": ak.Array([[[1.0]], [], [[2.0]]]),
        "tag": np.array([True, False, True]),
        "text": ak.Array(["a", "b", "c"]),
    },
    3,
)
SF = np.array([np.float64(np.float32(0.9)) * np.float64(np.float32(0.8)), 1.0, np.float64(np.float32(1.1))])
GEN, PU = EVENTS["gen"].astype(np.float64), EVENTS["pu"]


def run(factors, events=EVENTS, context=CONTEXT):
    found = weight.op.call(events, params=weight.op.params(output="w", factors=factors), context=context)
    return {name: found[name] for name in found if name not in EVENTS}


def problems(factors):
    found = weight.op.analyse(weight.op.params(output="w", factors=factors), SCHEMA).problems
    return [(p.code, p.path, p.message) for p in found]


def equal(found, expected):
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].dtype == np.float64
        assert found[name].tolist() == list(values), name


def test_a_product():
    equal(run(["gen", "pu", 2, "dataset.k"]), {"w": GEN * PU * 2 * 2})
    equal(run({"a": "gen", "b": "pu"}), {"w": GEN * PU})
    equal(run(["tag"]), {"w": [1.0, 0.0, 1.0]})
    equal(run([3]), {"w": [3.0] * 3})


def test_a_factor_per_object_counts_for_each_object():
    equal(run(["gen", "sf"]), {"w": GEN * SF})
    effects = weight.op.analyse(weight.op.params(output="w", factors=["gen", "sf"]), SCHEMA)
    assert effects.writes == {"w": ()}


FACTORS = {
    "gen": "gen",
    "pileup": {"nominal": "pu", "up": "pu * 1.1", "down": "pu * 0.9"},
    "id": {"up": "sf", "down": 1},
}


def test_factors_with_variations():
    expected = {
        "w": GEN * PU * 1,
        "w@pileup_up": GEN * (PU * 1.1) * 1,
        "w@pileup_down": GEN * (PU * 0.9) * 1,
        "w@id_up": GEN * PU * SF,
        "w@id_down": GEN * PU * 1,
    }
    equal(run(FACTORS), expected)
    effects = weight.op.analyse(weight.op.params(output="w", factors=FACTORS), SCHEMA)
    assert effects.problems == ()
    assert effects.keeps_events
    assert effects.reads == {
        "gen": ("factors", "gen"),
        "pu": ("factors", "pileup", "nominal"),
        "sf": ("factors", "id", "up"),
    } or set(effects.reads) == {"gen", "pu", "sf"}
    assert set(effects.writes) == set(expected)
    assert [(v.name, v.group, v.direction) for v in effects.variations] == [
        ("pileup_up", "pileup", "up"), ("pileup_down", "pileup", "down"), ("id_up", "id", "up"), ("id_down", "id", "down"),
    ]  # fmt: skip
    assert effects.variants == {"w": {v.name: f"w@{v.name}" for v in effects.variations}}


def test_a_call_for_a_variation():
    """Of another stage: the nominal product of varied fields. Of its own factor, too, if the names are equal."""
    equal(run(FACTORS, context=replace(CONTEXT, variation="jes_up")), {"w": GEN * PU})
    equal(
        run(FACTORS, context=replace(CONTEXT, variation="pileup_up")),
        dict.fromkeys(("w", "w@pileup_up"), GEN * (PU * 1.1)),
    )


def test_on_a_gpu():
    with fake_cupy.installed():
        found = weight.op.call(
            EVENTS.on_gpu(EVENTS.fields),
            params=weight.op.params(output="w", factors=["gen", "sf", "pu"]),
            context=CONTEXT,
        ).on_host()
        assert found["w"].tolist() == (GEN * SF * PU).tolist()


def test_without_events():
    assert {name: len(column) for name, column in run(FACTORS, EVENTS.filter(slice(0, 0))).items()}["w@id_up"] == 0


@pytest.mark.parametrize(
    ("factors", "code", "path", "message"),
    [
        ([], "E155", ("factors",), "a weight needs at least one factor"),
        (["genn"], "E150", ("factors", 0), "unknown field `genn`"),
        ({"a": {"nominal": "gen", "up": "puu", "down": 1}}, "E150", ("factors", "a", "up"), "unknown field `puu`"),
        (["deep"], "E155", ("factors", 0), "`deep` has lists of lists"),
        ({"a": {"nominal": "gen", "up": "gen", "down": "gen"}}, "E155", ("factors", "a"), "the variation `a` changes nothing"),
        ({"a b": {"up": 2, "down": 1}}, "E155", ("factors", "a b"), "`a b` cannot be the name of a group of variations"),
    ],
)  # fmt: skip
def test_factors_that_cannot_be(factors, code, path, message):
    assert problems(factors) == [(code, path, message)]


def test_up_without_down():
    with pytest.raises(ValidationError, match="down"):
        weight.op.params(output="w", factors={"a": {"nominal": "gen", "up": "pu"}})


@pytest.mark.parametrize(
    ("factor", "message"),
    [
        ("hole", r"the factor `hole` of a weight is missing for 2 events \(e.g. use fill_none\(hole, 1\)\)"),
        ("gaps", "the factor `gaps` of a weight is missing for 1 objects"),
        ("text", "the factor `text` of a weight is text"),
    ],
)
def test_events_without_a_weight(factor, message):
    with pytest.raises(OpError, match=message):
        run(["gen", factor])
