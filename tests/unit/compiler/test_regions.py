"""Regions: one selection per region and stream, one copy of a histogram per region, and every mistake in its place."""

from __future__ import annotations

import json

import numpy as np
import pytest
import uproot

from fasthep_parsl.cli.explain import explain_key
from fasthep_parsl.driver.api import load
from fasthep_parsl.errors import ConfigError, OpError
from fasthep_parsl.ops.axes import Axis
from fasthep_parsl.ops.histogram import histogram

X = {"name": "x", "bins": {"nbins": 8, "low": 0, "high": 160}}


@pytest.fixture
def analysis(flow, small_files):
    def write(stages, regions, **sections):
        files = [small_files / "a.root", small_files / "b.root"]
        flow.write(stages, files)
        content = json.loads(flow.path.read_text())
        content["analysis"]["regions"] = regions
        flow.path.write_text(json.dumps({**content, **sections}, indent=1))
        return flow

    return write


def hist(name, regions=None, needs=None, pool="", **params):
    given = {"axes": [X], **params} | ({} if regions is None else {"regions": regions})
    stage = {"id": name, "op": "hep.hist", "params": given}
    stage |= {} if needs is None else {"needs": needs}
    return stage | ({"execution": {"require": pool}} if pool else {})


SELECT = {"id": "Sel", "op": "hep.select", "params": {"selection": ["x >= 20"]}}
REGIONS = {"one": ["nJet == 1"], "two": {"Any": ["nJet == 2", "x > 130"]}, "odd": "x % 2 == 1"}


def test_histograms_share_the_selection_of_a_region(analysis):
    stages = [SELECT, hist("A", "all"), hist("B", ["two", "one"]), hist("Plain"), hist("C", "one", needs=[])]
    plan = analysis(stages, REGIONS).compile()
    ids = [stage.id for stage in plan.stages]
    assert ids == ["Sel", "Sel@one", "A@one", "Sel@two", "A@two", "Sel@odd", "A@odd", "B@two", "B@one", "Plain",
                   "@one", "C@one"]  # fmt: skip
    copy = plan.stage("B@two")
    assert (copy.nominal, copy.region, copy.input, copy.needs) == ("B", "two", "Sel@two", ("Sel@two",))
    assert "regions" not in copy.params
    selection = plan.stage("Sel@two")
    assert (selection.op, selection.region, selection.nominal, selection.stream) == ("hep.select", "two", "", True)
    assert (plan.stage("@one").input, plan.stage("C@one").input) == ("", "@one")
    assert len(plan.segments) == 1
    assert plan.stage("Sel").keep == ("nJet", "x")


@pytest.mark.parametrize("chunk_size", [1, 7, 1000])
def test_each_copy_has_the_events_of_its_region(analysis, small_files, chunk_size, long_passes):
    flow = analysis([SELECT, hist("A", "all")], REGIONS)
    outcome = flow.run(chunk_size=chunk_size)
    assert outcome.status == "complete"
    x = np.concatenate([uproot.open(small_files / f"{n}.root")["Events"]["x"].array(library="np") for n in "ab"])
    jets = x % 3
    masks = {"one": jets == 1, "two": (jets == 2) | (x > 130), "odd": x % 2 == 1}
    products = {stage: product for (stage, _), product in outcome.products.items()}
    for region, mask in masks.items():
        expected, _ = np.histogram(x[mask & (x >= 20)], bins=8, range=(0, 160))
        assert products["A"].hist[{"region": region}].values().tolist() == expected.tolist()


def test_needs_of_a_stage_with_regions_are_its_copies(analysis):
    plan = analysis([SELECT, hist("A", "all"), hist("B", needs=["A"])], REGIONS).compile()
    assert plan.stage("B").needs == ("A@one", "A@two", "A@odd")
    assert plan.stage("B").input == "Sel"


def test_a_selection_runs_where_the_first_of_its_histograms_runs(analysis):
    plan = analysis([SELECT, hist("A", "one", pool="other"), hist("B", "one")], {"one": ["nJet == 1"]}).compile()
    pools = {stage.id: stage.pool for stage in plan.stages}
    assert pools == {"Sel": "default", "Sel@one": "other", "A@one": "other", "B@one": "default"}


def problems(flow):
    with pytest.raises(ConfigError) as caught:
        flow.compile()
    return [(item.code, item.key, item.message, str(item.hint), item.where) for item in caught.value.problems]


def test_an_unknown_field_is_an_error_of_the_region(analysis):
    flow = analysis([SELECT, hist("A", "all"), hist("B", "one")], {**REGIONS, "one": ["nJet == 1", "nJt > 0"]})
    ((code, key, message, hint, where),) = problems(flow)
    assert (code, key) == ("E150", "analysis.regions.one[1]")
    assert message == "unknown field `nJt`"
    assert "nJet" in hint
    assert flow.path.read_text().splitlines()[where.line - 1].strip() == '"nJt > 0"'


@pytest.mark.parametrize(
    ("selection", "code", "key"),
    [
        (["Jet_pt > 20"], "E151", "analysis.regions.bad[0]"),
        ({"Al": {"steps": ["x > 1"], "cut": 2}}, "E151", "analysis.regions.bad.Al.cut"),
        ([], "E151", "analysis.regions.bad"),
        (["x >"], "E151", "analysis.regions.bad[0]"),
        (None, "E105", "analysis.regions.bad"),
        (3, "E105", "analysis.regions.bad"),
    ],
)
@pytest.mark.parametrize("used", [True, False])
def test_a_selection_that_is_none_is_an_error_of_the_region(analysis, selection, code, key, used):
    flow = analysis([hist("A", ["bad" if used else "one"])], {**REGIONS, "bad": selection})
    if not used and selection == ["Jet_pt > 20"]:  # no stage shows what `Jet_pt` is
        assert flow.compile()
        return
    found = problems(flow)
    assert [(item[0], item[1]) for item in found] == [(code, key)]


@pytest.mark.parametrize(
    ("regions", "code", "key", "words"),
    [
        (["one", "twoo"], "E125", "analysis.stages[0].params.regions[1]", "`two`"),
        ("twoo", "E125", "analysis.stages[0].params.regions", "`two`"),
        (["one", "one"], "E106", "analysis.stages[0].params.regions[1]", "twice"),
        ([], "E106", "analysis.stages[0].params.regions", "empty"),
        ([3], "E105", "analysis.stages[0].params.regions[0]", ""),
    ],
)
def test_wrong_names_of_regions(analysis, regions, code, key, words):
    ((found, where, message, hint, _),) = problems(analysis([hist("A", regions)], REGIONS))
    assert (found, where) == (code, key)
    assert words in message + hint


def test_a_region_where_there_are_none(analysis):
    ((code, key, message, _, _),) = problems(analysis([hist("A", "one")], {}))
    assert (code, key, message) == ("E125", "analysis.stages[0].params.regions", "the workflow has no regions")


def test_names_of_regions_that_are_not_allowed(analysis):
    found = problems(analysis([hist("A", "one")], {"all": ["x > 1"], "one": ["x > 2"], "a/b": ["x > 3"]}))
    assert [item[0] for item in found] == ["E106", "E106"]
    found = problems(analysis([hist("A", "one")], {"One": ["x > 1"], "one": ["x > 2"]}))
    assert [item[:2] for item in found] == [("E106", "analysis.regions.one")]


def test_products_per_region_cannot_be_bound(analysis):
    take = {"id": "T", "op": "probe.use", "params": {}, "from": [{"node": "A", "port": "hist", "as": "given"}]}
    found = problems(analysis([hist("A", "one"), take], REGIONS))
    assert ("E124", "analysis.stages[1].from[0].node") in [item[:2] for item in found]


def test_a_region_without_histogram_is_a_warning(analysis):
    plan = analysis([hist("A", ["one", "two"])], REGIONS).compile()
    assert [text for text in plan.warnings if "region" in text] == ["region `odd`: no histogram has it in `regions`"]


def test_a_region_that_nothing_fills_is_a_warning_of_the_run(analysis):
    flow = analysis([hist("A", "all")], {"some": ["nJet == 1"], "none": ["x > 1000"]})
    outcome = flow.run()
    assert outcome.status == "complete"
    warnings = json.loads((flow.folder / "run" / "run.json").read_text())["warnings"]
    assert [text for text in warnings if "region" in text] == [
        "region `none`: no event is in it; its histograms are empty"
    ]


def test_an_explanation_names_the_stage_as_written(analysis):
    flow = analysis([SELECT, hist("A", "one", pool="other")], REGIONS)
    loaded = load(flow.path, "local", ())
    text = explain_key(loaded, "analysis.stages[1].execution.require", flow.compile)
    assert "stage A runs on pool other" in text


def test_regions_need_a_workflow():
    with pytest.raises(OpError, match="needs a workflow"):
        histogram(None, axes=(Axis(name="x"),), regions=("one",))
