"""Every variation in one run equals a run on files in which its fields are really replaced."""

from __future__ import annotations

import pytest

PT = {"name": "pt", "source": "Good_pt", "type": "regular", "bins": {"nbins": 8, "low": 0, "high": 256}}
HT = {"name": "ht", "source": "ht", "type": "regular", "bins": {"nbins": 8, "low": 0, "high": 1024}}
MET = {"name": "met", "source": "met", "type": "regular", "bins": {"nbins": 8, "low": 0, "high": 256}}
ON_DATASETS = {"dataset_axis": True, "weight_expr": "w"}


def analysis(flow):
    """A chain that keeps events, a filter that varies and one that does not, and histograms everywhere."""
    s = flow.stage
    return [
        s("Fixed", "hep.select", selection=["x % 7 != 3"]),
        s(
            "Good",
            "hep.select_objects",
            collection="Jet",
            output="Good",
            selection=["pt > 30"],
            keep=["pt", "eta", "phi"],
        ),
        s("HTs", "hep.define", variables=[{"name": "ht", "expr": "sum(Good_pt)"}, {"name": "free", "expr": "x * 2"}]),
        s("Early", "hep.hist", axes=[HT], **ON_DATASETS),
        s("Met", "hep.hist", axes=[MET], **ON_DATASETS),
        s("Cuts", "hep.selection.cutflow", selection={"two": ["nGood >= 2", "ht > 90"]}, weight_expr="w"),
        s("Late", "hep.hist", axes=[PT], **ON_DATASETS),
        s("LateMet", "hep.hist", axes=[MET], **ON_DATASETS),
        s("Pairs", "hep.build_combinations", collection="Good", n=2, output="JJ", mass=0.0, keep={"candidate": ["pt"]}),
        s("Two", "hep.select", selection=["nJJ > 0"]),
        s("Sum", "probe.sum", field="x"),
    ]


VARIATIONS = {
    "jes_up": ({"Jet_pt": "Jet_pt * 2"}, lambda e: {"Jet_pt": e["Jet_pt"] * 2}),
    "jes_down": ({"Jet_pt": "Jet_pt * 0.5"}, lambda e: {"Jet_pt": e["Jet_pt"] * 0.5}),
    "met_up": ({"met": "met + 10"}, lambda e: {"met": e["met"] + 10}),
    "swap": ({"met": "w * 4", "w": "met / 4"}, lambda e: {"met": e["w"] * 4, "w": e["met"] / 4}),
}


def section(**applies):
    found = []
    for name, (fields, _) in VARIATIONS.items():
        group, _, direction = name.partition("_")
        found.append({"name": name, "group": group, "direction": direction, "replace": {"fields": fields}, **applies})
    return {"variations": found}


ALL = ("a", "b", "data")


@pytest.fixture(scope="module")
def oracle():
    return {}


def expected(oracle, flow, samples, name):
    if name not in oracle:
        data = samples.write(name, VARIATIONS[name][1] if name else None)
        oracle[name] = flow.write(analysis(flow), data=data).run(mode="force").products
    return oracle[name]


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [1, 7, None])
@pytest.mark.parametrize("datasets", [ALL, ("a", "b")])
def test_variations_equal_runs_on_changed_files(flow, samples, in_variation, oracle, chunk, datasets, long_passes):
    wanted = {name: expected(oracle, flow, samples, name) for name in ("", *VARIATIONS)}
    applies = {} if datasets == ALL else {"applies_to": {"eventtype": "mc"}}
    flow.write(analysis(flow), data=samples.write(), systematics=section(**applies))
    outcome = flow.run(chunk_size=chunk, mode="force")
    assert outcome.status == "complete", outcome.summary["failures"]
    assert in_variation(outcome.products) == in_variation(wanted[""])
    for name in VARIATIONS:
        assert in_variation(outcome.products, name, datasets) == in_variation(wanted[name], "", datasets), name
    assert in_variation(wanted["jes_up"]) != in_variation(wanted[""])


@pytest.mark.slow
@pytest.mark.parametrize("applies", [{}, {"applies_to": {"datasets": ["a"]}}])
def test_a_weight_with_a_variation_of_the_same_name_varies_with_the_fields(flow, samples, in_variation, applies):
    s = flow.stage
    trigger = {"nominal": 1, "up": "1 + nJet", "down": 0.5}
    stages = [
        s("HTs", "hep.define", variables=[{"name": "ht", "expr": "sum(Jet_pt)"}]),
        s("Before", "hep.weight", output="before", factors={"gen": "w", "trig": trigger, "hard": "1 + (ht > 100)"}),
        s("Early", "hep.hist", axes=[HT], dataset_axis=True, weight_expr="before"),
        s("Cut", "hep.selection.cutflow", selection=["ht > 90"], weight_expr="before"),
        s("After", "hep.weight", output="after", factors={"gen": "w", "trig": trigger, "hard": "1 + (ht > 200)"}),
        s("Late", "hep.hist", axes=[HT], dataset_axis=True, weight_expr="after * before"),
    ]
    datasets = ("a",) if applies else ALL
    changed = samples.write("jes_up", VARIATIONS["jes_up"][1], datasets=ALL)
    wanted = flow.write(stages, data=changed).run(mode="force").products
    stages = [{**stage, **applies} for stage in stages]
    both = {"name": "trig_up", "group": "trig", "direction": "up", **applies}
    both["replace"] = {"fields": {"Jet_pt": "Jet_pt * 2"}}
    flow.write(stages, data=samples.write(), systematics={"variations": [both]})
    outcome = flow.run(mode="force")
    assert outcome.status == "complete", outcome.summary["failures"]
    assert in_variation(outcome.products, "trig_up", datasets) == in_variation(wanted, "trig_up", datasets)
    assert in_variation(wanted, "trig_up", datasets) != in_variation(wanted, "", datasets)
