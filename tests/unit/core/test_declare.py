"""``@op``: what a function declares is what the compiler sees, and contradictions are refused at import."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from fasthep_parsl import op
from fasthep_parsl.interfaces import Effects

SCHEMA = {"Muon_pt": ("nMuon",), "Muon_eta": ("nMuon",), "MET_pt": (), "nMuon": ()}


def add(a, b):
    return a + b


def effects_of(function, **params):
    return function.op.analyse(function.op.params(**params), SCHEMA)


def test_a_function_with_parameters():
    @op("mine.ht", reads=["{collection}_pt"], writes=["{output}"])
    def ht(events, *, collection: str, output: str = "HT", context: Any = None):
        return {output: events[f"{collection}_pt"]}

    assert ht({"Jet_pt": 1}, collection="Jet") == {"HT": 1}  # it stays a plain function
    assert ht.op.call is ht
    assert (ht.op.stream, ht.op.product, ht.op.scope, ht.op.takes_events, ht.op.takes_context) == (
        True,
        None,
        "partition",
        True,
        True,
    )
    assert set(ht.op.params.model_fields) == {"collection", "output"}
    assert effects_of(ht, collection="Muon") == Effects({"Muon_pt": ("collection",)}, {"HT": ("*",)})
    for wrong in ({}, {"collection": "Muon", "outputs": "x"}, {"collection": 3}):
        with pytest.raises(ValidationError):
            ht.op.params(**wrong)


def test_templates_over_lists_optional_fields_and_all():
    @op("mine.many", reads=["{fields}", "weight?", "MET_pt?"], writes=["{out}_{fields}"])
    def many(events, *, fields: list[str], out: str | None = None):
        return {}

    found = effects_of(many, fields=["Muon_pt", "Muon_eta"], out="x")
    assert found.reads == {"Muon_pt": ("fields", 0), "Muon_eta": ("fields", 1), "MET_pt": ()}
    assert set(found.writes) == {"x_Muon_pt", "x_Muon_eta"}
    assert effects_of(many, fields=["Muon_pt"]).writes == {}  # a parameter that is not given names nothing

    @op("mine.all", reads=["*"], writes=lambda n: [f"w{i}" for i in range(n)])
    def everything(events, *, n: int = 2):
        return {}

    assert effects_of(everything).keeps_all
    assert set(effects_of(everything, n=3).writes) == {"w0", "w1", "w2"}


def test_shapes_of_new_fields():
    @op("mine.shape", writes={"a": (), "Muon_new": ("nMuon",)})
    def shape(events):
        return {}

    assert effects_of(shape).writes == {"a": (), "Muon_new": ("nMuon",)}

    @op("mine.replace", writes=["Muon_pt"])
    def replace(events):
        return {}

    assert effects_of(replace).writes == {"Muon_pt": ("nMuon",)}  # a field that is replaced keeps its structure


def test_products():
    @op("mine.count", merge=add)
    def count(events):
        return len(events)

    assert (count.op.stream, count.op.product) == (False, "product")

    @op("mine.both", merge=add, product="n", stream=True)
    def both(events):
        return events, len(events)

    assert (both.op.stream, both.op.product) == (True, "n")

    @op("mine.whole", scope="workflow")
    def whole():
        return 1

    assert (whole.op.stream, whole.op.product, whole.op.takes_events) == (False, "product", False)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"product": "p"}, "give merge"),
        ({"scope": "workflow", "stream": True}, "not a stream"),
        ({"scope": "dataset", "stream": True}, "not a stream"),
    ],
)
def test_contradictions_are_refused(facts, message):
    with pytest.raises(TypeError, match=message):
        op("mine.wrong", **facts)


def test_parameters_must_have_names():
    with pytest.raises(TypeError, match=r"mine\.wrong.*\*\*rest"):

        @op("mine.wrong")
        def wrong(events, **rest):
            return {}


def test_a_model_of_ones_own():
    class Mine(BaseModel):
        model_config = ConfigDict(extra="forbid")
        a: int

    @op("mine.model", params=Mine, analyse=lambda params, schema: Effects({"MET_pt": ("a",)}, {f"x{params.a}": ()}))
    def model(events, *, params: Mine, context: Any = None):
        return {f"x{params.a}": events["MET_pt"]}

    assert model.op.params is Mine
    assert model.op.takes_model
    assert model({"MET_pt": 1}, params=Mine(a=4)) == {"x4": 1}
    assert model.op.keywords(Mine(a=4)) == {"params": Mine(a=4)}
    assert effects_of(model, a=4) == Effects({"MET_pt": ("a",)}, {"x4": ()})


def test_a_function_without_a_model_has_its_parameters_as_keywords():
    @op("mine.keywords")
    def keywords(events, *, a: int, params: int = 2):
        return {}

    assert not keywords.op.takes_model
    assert keywords.op.keywords(keywords.op.params(a=1)) == {"a": 1, "params": 2}


def test_a_function_with_a_model_takes_nothing_but_the_model():
    class Mine(BaseModel):
        model_config = ConfigDict(extra="forbid")
        a: int

    class Lenient(BaseModel):
        a: int

    def none(events):
        return {}

    def rebuilt(events, *, a: int):
        return {}

    def both(events, *, params: Mine, a: int):
        return {}

    for function, message in ((none, "takes the keyword `params`$"), (rebuilt, "not a$"), (both, "not a$")):
        with pytest.raises(TypeError, match=rf"mine\.model.*{message}"):
            op("mine.model", params=Mine)(function)
    with pytest.raises(TypeError, match=r"mine\.model.*Lenient accepts unknown parameters"):
        op("mine.model", params=Lenient)(lambda events, *, params: {})
