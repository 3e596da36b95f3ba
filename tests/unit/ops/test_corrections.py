"""hep.correction: its checks against the JSON, and its values against correctionlib called on one object after the other."""

from __future__ import annotations

import gzip
import json
import math
from dataclasses import replace
from pathlib import Path

import awkward as ak
import correctionlib
import numpy as np
import pytest

import fake_cupy
from fasthep_parsl.errors import OpError
from fasthep_parsl.interfaces import Context, DatasetInfo
from fasthep_parsl.ops.corrections import evaluator
from fasthep_parsl.ops.corrections.correction import correction
from fasthep_parsl.ops.stream import Events

FILE = Path(__file__).parents[2] / "data" / "corrections.json"
SETS = correctionlib.CorrectionSet.from_file(str(FILE))
DATASET = DatasetInfo("dy", meta={"period": "up"})
CONTEXT = Context("Sf", DATASET, (DATASET,), "dy-0", Path())
SCHEMA = {
    "Muon_pt": ("nMuon",), "Muon_eta": ("nMuon",), "Jet_pt": ("nJet",), "Jet_flavour": ("nJet",), "met": (), "npu": (),
}  # fmt: skip
EVENTS = Events(
    {
        "Muon_pt": ak.values_astype(ak.Array([[12.0, 55.0], [], [31.0], [400.0]]), np.float32),
        "Muon_eta": ak.values_astype(ak.Array([[-0.3, 2.1], [], [1.7], [-2.3]]), np.float32),
        "Jet_pt": ak.Array([[25.0], [45.0, 75.0, 150.0], [], [30.0]]),
        "Jet_flavour": ak.values_astype(ak.Array([[5], [4, 0, 5], [], [5]]), np.int32),
        "met": np.array([5.0, math.nan, 35.0, 59.0]),
        "npu": np.array([3, 12, 25, 60]),
    },
    4,
)
MUON = {"systematic": "nominal", "abseta": "abs(Muon_eta)", "pt": "Muon_pt"}
BTAG = {"systematic": "central", "working_point": "M", "flavor": "Jet_flavour", "pt": "Jet_pt"}


def params(**given):
    return correction.op.params(**{"file": FILE, "name": "muon_sf", "inputs": MUON, "output": "sf", **given})


def run(events=EVENTS, context=CONTEXT, **given):
    found = correction.op.call(events, params=params(**given), context=context)
    return {name: ak.to_list(found[name]) for name in found if name not in EVENTS}


def analyse(**given):
    return correction.op.analyse(params(**given), SCHEMA)


def problems(**given):
    return [(p.code, p.path, p.message, str(p.hint)) for p in analyse(**given).problems]


def per_muon(systematic, events=EVENTS):
    """The scale factor of each muon by correctionlib's own loop over single numbers."""
    rows = zip(ak.to_list(events["Muon_eta"]), ak.to_list(events["Muon_pt"]), strict=True)
    return [
        [SETS["muon_sf"].evaluate(systematic, abs(y), x) for y, x in zip(*row, strict=True)] for row in rows
    ]  # fmt: skip


# --- values -------------------------------------------------------------------------------------------------


def test_a_value_per_object():
    assert run() == {"sf": per_muon("nominal")}


def test_a_value_per_event():
    inputs = {"year": "2016", "pileup": "npu"}
    assert run(name="event_weight", inputs=inputs) == {"sf": [0.8, 1.0, 1.3, 1.0]}
    assert run(name="event_weight", inputs={"year": "2017", "pileup": 7}) == {"sf": [1.0] * 4}


def test_a_value_per_event_counts_for_each_object():
    inputs = {"systematic": "nominal", "abseta": "abs(Muon_eta)", "pt": "fill_none(met * 0 + 30, 30)"}
    events = EVENTS.with_columns({"met": np.array([1.0, 2.0, 3.0, 4.0])})
    expected = [[SETS["muon_sf"].evaluate("nominal", abs(y), 30.0) for y in row] for row in EVENTS["Muon_eta"].tolist()]
    assert run(events, inputs=inputs)["sf"] == expected


def test_integers_texts_and_categories():
    expected = [
        [SETS["btag"].evaluate("central", "M", f, x) for f, x in zip(*row, strict=True)]
        for row in zip(EVENTS["Jet_flavour"].tolist(), EVENTS["Jet_pt"].tolist(), strict=True)
    ]
    assert run(name="btag", inputs=BTAG)["sf"] == expected


def test_a_compound_correction():
    events = EVENTS.with_columns({"Muon_pt": ak.Array([[12.0, 21.0], [], [31.0], [40.0]])})
    inputs = {"pt": "Muon_pt", "eta": "Muon_eta"}
    rows = zip(events["Muon_pt"].tolist(), events["Muon_eta"].tolist(), strict=True)
    expected = [[SETS.compound["levels"].evaluate(x, y) for x, y in zip(*row, strict=True)] for row in rows]
    assert run(events, name="levels", inputs=inputs)["sf"] == expected


def test_a_text_of_the_dataset():
    assert run(inputs={**MUON, "systematic": "dataset.period"})["sf"] == per_muon("up")


def test_missing_stays_missing_and_nan_stays_nan():
    found = run(inputs={"systematic": "nominal", "abseta": 1.0, "pt": "leading(Muon_pt)"})["sf"]
    assert found == [0.9, None, 0.95, 0.99]
    found = run(name="level2", inputs={"pt": "met"})["sf"]
    assert found[::2] == [1.05, 1.02]
    assert math.isnan(found[1])
    assert found[3] == 1.02


def test_without_events_or_objects_the_structure_is_the_same():
    found = correction.op.call(EVENTS.filter(slice(0, 0)), params=params(), context=CONTEXT)
    assert str(found["sf"].type) == "0 * var * float64"
    assert run(EVENTS.filter(slice(1, 2)))["sf"] == [[]]


def test_a_compressed_file_is_the_same(tmp_path):
    path = tmp_path / "corrections.json.gz"
    path.write_bytes(gzip.compress(FILE.read_bytes()))
    assert problems(file=path) == []
    assert run(file=path) == run()


def test_files_of_one_content_are_loaded_once(tmp_path):
    copy = tmp_path / "other.json"
    copy.write_bytes(FILE.read_bytes())
    assert evaluator.load(copy) is evaluator.load(FILE)
    copy.write_text(FILE.read_text().replace("0.95", "0.96"))
    assert evaluator.load(copy) is not evaluator.load(FILE)


def test_columns_on_a_gpu():
    with fake_cupy.installed():
        view = EVENTS.on_gpu(EVENTS.fields)
        found = correction.op.call(view, params=params(), context=CONTEXT).on_host()
        assert ak.to_list(found["sf"]) == per_muon("nominal")


# --- variations ---------------------------------------------------------------------------------------------

VARIED = {"variations": {"up": "up", "down": {"systematic": "down"}}}


def test_variations_are_columns():
    assert run(**VARIED) == {"sf": per_muon("nominal"), "sf@sf_up": per_muon("up"), "sf@sf_down": per_muon("down")}
    assert set(run(**VARIED, group="muon_id")) == {"sf", "sf@muon_id_up", "sf@muon_id_down"}
    effects = analyse(**VARIED, group="muon_id")
    assert effects.keeps_events
    assert effects.problems == ()
    assert effects.variants == {"sf": {"muon_id_up": "sf@muon_id_up", "muon_id_down": "sf@muon_id_down"}}
    assert [(v.name, v.group, v.direction) for v in effects.variations] == [
        ("muon_id_up", "muon_id", "up"),
        ("muon_id_down", "muon_id", "down"),
    ]
    assert set(effects.writes) == {"sf", "sf@muon_id_up", "sf@muon_id_down"}
    assert effects.writes["sf@muon_id_up"] == ("nMuon",)


def test_several_groups_of_variations():
    groups = {
        "stat": {"up": "up", "down": {}},
        "syst": {"up": {"pt": "Muon_pt * 1.1"}, "down": {"pt": "Muon_pt * 0.9"}},
    }
    found = run(variations=groups)
    assert found["sf@stat_up"] == per_muon("up")
    assert found["sf@stat_down"] == found["sf"]  # nothing changes in this direction
    scaled = EVENTS.with_columns({"Muon_pt": EVENTS["Muon_pt"] * np.float32(0.9)})
    assert found["sf@syst_down"] == per_muon("nominal", scaled)


def test_a_call_for_another_variation_computes_only_its_value():
    assert run(context=replace(CONTEXT, variation="jes_up"), **VARIED) == {"sf": per_muon("nominal")}


def test_a_call_for_its_own_variation_computes_the_varied_value():
    """Another stage has a variation of the same name: both vary together."""
    found = run(context=replace(CONTEXT, variation="sf_up"), **VARIED)
    assert found == dict.fromkeys(("sf", "sf@sf_up"), per_muon("up"))


@pytest.mark.parametrize(
    ("variations", "path", "message"),
    [
        ({"up": "up"}, ("variations",), "the variation `sf` has `up`, but no `down`"),
        ({"a": {"down": "up"}}, ("variations", "a"), "the variation `a` has `down`, but no `up`"),
        ({"up": "up", "down": "dwn"}, ("variations", "down"), "correction `muon_sf` has no `systematic: dwn`"),
        ({"up": {"systematic": "upp"}, "down": "down"}, ("variations", "up", "systematic"),
         "correction `muon_sf` has no `systematic: upp`"),
        ({"up": {"sys": "up"}, "down": "down"}, ("variations", "up", "sys"), "correction `muon_sf` has no input `sys`"),
        ({"up": "nominal", "down": "down"}, ("variations", "up"), "the variation changes nothing: `systematic: nominal` is nominal"),
        ({"up": {}, "down": {}}, ("variations",), "the variation `sf` changes nothing"),
        ({"up": {"pt": "met"}, "down": {"pt": "Jet_pt"}}, ("variations", "down", "pt"),
         "`abs(Muon_eta)` and `Jet_pt` belong to different objects (nMuon and nJet)"),
        ({"a b": {"up": "up", "down": "down"}}, ("variations", "a b"), "`a b` cannot be the name of a group of variations"),
    ],
)  # fmt: skip
def test_variations_that_cannot_be(variations, path, message):
    found = problems(variations=variations)
    assert [(where, text) for _, where, text, _ in found] == [(path, message)]


def test_one_text_needs_one_input_that_is_text():
    found = problems(
        name="btag", inputs=BTAG, variations={"up": "up", "down": {"systematic": "down", "working_point": "L"}}
    )
    assert found == [
        ("E155", ("variations", "up"), "which input `up` is for is not clear: `btag` has 2 inputs that are text",
         "name the input, e.g. {systematic: up}")
    ]  # fmt: skip


def test_a_combination_that_does_not_exist():
    (found,) = problems(
        name="btag", inputs=BTAG, variations={"up": {"systematic": "up"}, "down": {"systematic": "down"}}
    )
    assert found[1:] == (("variations", "down"), "correction `btag` has no `working_point: M`", "values: L")


# --- what is wrong is said when the plan is made --------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "code", "path", "message", "hint"),
    [
        ({"name": "muon_fs"}, "E155", ("name",), "`corrections.json` has no correction `muon_fs`", "did you mean `muon_sf`?"),
        ({"inputs": {**MUON, "Pt": 3}}, "E155", ("inputs", "Pt"), "correction `muon_sf` has no input `Pt`", "did you mean `pt`?"),
        ({"inputs": {"systematic": "nominal", "abseta": 1.0, "pT": "Muon_pt"}}, "E155", ("inputs", "pT"),
         "correction `muon_sf` has no input `pT`", "did you mean `pt`?"),
        ({"inputs": {"abseta": 1.0, "pt": "Muon_pt"}}, "E155", ("inputs",), "correction `muon_sf` also needs `systematic` (text)",
         "values of `systematic`: down, nominal, up"),
        ({"inputs": {**MUON, "systematic": "Nominal"}}, "E155", ("inputs", "systematic"),
         "correction `muon_sf` has no `systematic: Nominal`", "did you mean `nominal`?"),
        ({"inputs": {**MUON, "systematic": 3}}, "E155", ("inputs", "systematic"), "the input `systematic` is text, not a number",
         "write it in quotes: '3'"),
        ({"inputs": {**MUON, "pt": "'x'"}}, "E155", ("inputs", "pt"), "the input `pt` is a number, not text",
         "write an expression without quotes"),
        ({"inputs": {**MUON, "abseta": "Muon_Eta"}}, "E150", ("inputs", "abseta"), "unknown field `Muon_Eta`",
         "did you mean `Muon_eta`?"),
        ({"inputs": {**MUON, "abseta": 3.1}}, "E155", ("inputs", "abseta"), "correction `muon_sf`: `abseta: 3.1` is outside of its bins",
         "they are from 0 to 2.4"),
        ({"inputs": {**MUON, "abseta": "2 + 0.5"}}, "E155", ("inputs", "abseta"),
         "correction `muon_sf`: `abseta: 2.5` is outside of its bins", "they are from 0 to 2.4"),
        ({"name": "btag", "inputs": {**BTAG, "flavor": 3}}, "E155", ("inputs", "flavor"), "correction `btag` has no `flavor: 3`",
         "values: 0, 4, 5"),
        ({"name": "btag", "inputs": {**BTAG, "flavor": 5.5}}, "E155", ("inputs", "flavor"), "the input `flavor` is an integer, not `5.5`", ""),
        ({"name": "btag", "inputs": {**BTAG, "flavor": "Jet_flavour / 2"}}, "E155", ("inputs", "flavor"),
         "the input `flavor` is an integer, but `Jet_flavour / 2` is not", "use integers, and `//` to divide"),
        ({"inputs": {**MUON, "pt": "Jet_pt"}}, "E151", ("inputs", "pt"),
         "`abs(Muon_eta)` and `Jet_pt` belong to different objects (nMuon and nJet)",
         "reduce one of them to one value per event first, e.g. with sum(…), max(…) or nth(…, 0)"),
    ],
)  # fmt: skip
def test_inputs_that_do_not_fit(given, code, path, message, hint):
    assert problems(**given) == [(code, path, message, hint)]


def test_an_input_of_a_compound_correction_that_it_updates_is_not_a_constant():
    assert problems(name="levels", inputs={"pt": 25.0, "eta": 1.0}) == []
    (found,) = problems(name="levels", inputs={"pt": 25.0, "eta": 7.0})
    assert found[2:] == ("correction `levels`: `eta: 7` is outside of its bins", "they are from -5 to 5")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "`c.json` is not valid JSON"),
        (b"\xff\xfe\x00", "`c.json` is neither JSON nor JSON.gz"),
        (b"\x1f\x8bbroken", "`c.json` cannot be decompressed"),
        (b"[]", "`c.json` is not a set of corrections"),
        (b'{"schema_version": 1, "corrections": []}', "`c.json` has the schema version `1`; supported: 2"),
        (b'{"schema_version": 2, "corrections": [{"name": "muon_sf"}]}', "`c.json` does not follow the schema of correctionlib"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_set_of_corrections(tmp_path, content, message):
    path = tmp_path / "c.json"
    path.write_bytes(content)
    ((code, place, text, _),) = problems(file=path)
    assert (code, place) == ("E113", ("file",))
    assert text.startswith(message)


def test_a_formula_that_correctionlib_refuses(tmp_path):
    content = json.loads(FILE.read_text())
    content["corrections"][2]["data"]["content"][0]["expression"] = "sqrt(x"
    path = tmp_path / "c.json"
    path.write_text(json.dumps(content))
    ((code, place, text, _),) = problems(file=path)
    assert (code, place) == ("E113", ("file",))
    assert text.startswith("correctionlib cannot load `c.json`: ")


def test_a_file_that_does_not_exist_is_reported_as_a_file(tmp_path):
    effects = analyse(file=tmp_path / "none.json", **VARIED)
    assert effects.problems == ()
    assert set(effects.writes) == {"sf", "sf@sf_up", "sf@sf_down"}


# --- what only the events show --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"inputs": {**MUON, "abseta": "Muon_eta"}}, r"correction `muon_sf`: `abseta` = -0.3 is outside of its bins .*from 0 to 2.4"),
        ({"name": "level2", "inputs": {"pt": "Jet_pt"}}, r"correction `level2`: `pt` = 75 is outside of its bins"),
        ({"name": "levels", "inputs": {"pt": "Jet_pt", "eta": 1.0}}, r"correction `levels`: `pt` = 90 is outside of its bins"),
        ({"name": "btag", "inputs": {**BTAG, "flavor": "Jet_flavour + 1"}}, r"correction `btag` has no `flavor` = 6; its values are: 0, 4, 5"),
        ({"name": "btag", "inputs": {**BTAG, "flavor": "Jet_pt"}}, r"the input `flavor` is an integer, but gets floats"),
        ({"inputs": {**MUON, "systematic": "dataset.name"}}, r"correction `muon_sf` has no `systematic` = dy; its values are: down, nominal, up"),
        ({"inputs": {**MUON, "systematic": "dataset.xsec"}}, r"dataset `dy` has no `xsec`"),
    ],
)  # fmt: skip
def test_events_without_a_correction(given, message):
    with pytest.raises(OpError, match=message):
        run(**given)
