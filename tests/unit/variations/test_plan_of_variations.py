"""`plan` shows what each variation costs."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from fasthep_parsl.cli.plan import _variations
from fasthep_parsl.cli.variation_lines import stages_of, variation_rows
from fasthep_parsl.errors import ConfigError

PT = {"name": "pt", "source": "Jet_pt", "type": "regular", "bins": {"nbins": 8, "low": 0, "high": 256}}


def test_the_plan_shows_copies_and_shares(flow, samples):
    stages = [
        flow.stage("Free", "hep.select", selection=["met > 20"]),
        flow.stage("Own", "hep.select", selection=["sum(Jet_pt) > 80"]),
        flow.stage("Pt", "hep.hist", axes=[PT], weight_expr="w"),
        flow.stage("Met", "hep.hist", ["Free"], axes=[{**PT, "source": "met"}], weight_expr="w"),
    ]
    variations = [
        {"name": "jes_up", "replace": {"fields": {"Jet_pt": "Jet_pt * 2"}}},
        {"name": "w_up", "weight": {"multiply": ["2"]}},
        {"name": "other", "datasets": {"a": "b"}},
    ]
    plan = flow.write(stages, data=samples.write(), systematics={"variations": variations}).compile()
    assert [row.how for row in variation_rows(plan)] == ["2 stages once more (50%)", "2 weights", "b for a"]
    assert stages_of(plan.segments[0], plan) == "Free Own Pt Met +3"
    assert plan.variations[0].datasets == ("a", "data")
    console = Console(width=100, record=True, file=io.StringIO())
    _variations(plan, console)
    assert "in variations only, in no nominal result: b" in console.export_text().splitlines()


USERS = """
from fasthep_parsl import op

@op("custom.count", reads=["x"], product="n", merge=lambda a, b: a + b)
def count(events, *, histogram: object):
    return len(events)
"""


def test_the_plan_warns_of_bound_products_that_vary_through_weights(flow, samples):
    (flow.folder / "own_ops.py").write_text(USERS)
    stages = [
        flow.stage("Pt", "hep.hist", axes=[PT], weight_expr="w"),
        {**flow.stage("N", "custom.count"), "from": [{"node": "Pt", "port": "hist", "as": "histogram"}]},
    ]
    varied = {"variations": [{"name": "w_up", "weight": {"multiply": ["2"]}}]}
    flow.write(stages, data=samples.write(), systematics=varied, use={"modules": ["own_ops.py"]})
    plan = flow.compile()
    (warning,) = [text for text in plan.warnings if "nominal" in text]
    assert warning == (
        "stage `N` takes the nominal product of `Pt`, which variation `w_up` would change through its weights"
    )


def test_ids_of_copies_that_are_too_long_for_file_names_are_refused(flow, samples):
    def problems(stage, region, variation):
        hist = flow.stage(stage, "hep.hist", axes=[PT], regions=[region])
        analysis = {"stages": [hist], "regions": {region: ["x >= 0"]}}
        varied = [{"name": variation, "replace": {"fields": {"Jet_pt": "Jet_pt * 2"}}}]
        flow.write([], data=samples.write(), systematics={"variations": varied}, analysis=analysis)
        try:
            flow.compile()
        except ConfigError as error:
            return error.problems
        return ()

    assert problems("H" * 100, "r" * 100, "v" * 38) == ()
    (found,) = problems("H" * 100, "r" * 100, "v" * 39)
    assert (found.code, found.key, found.where.file) == ("E106", "analysis.stages[0].id", str(flow.path))
    assert "has 241 bytes, with at most 240" in found.message
    assert "shorten" in str(found.hint)


@pytest.mark.slow
@pytest.mark.parametrize("wrong", [False, True])
def test_sums_of_weights_read_the_fields_of_their_own_dataset(flow, samples, wrong):
    data = samples.write(change=lambda _: {})
    real = {"eventtype": "data"}
    own = {"a": "w", "b": "v" if wrong else "other"}
    data["datasets"] = [
        {**item, "xsec": 1.0, "sum_of_weights": {"expr": own[item["name"]]}}
        for item in data["datasets"]
        if item["eventtype"] != real["eventtype"]
    ]
    data["luminosity"] = 1
    fields = {"other": {"branch": {"b": "w"}, "applies_to": {"datasets": ["b"]}}}
    fields["w_a"] = {"branch": "w", "applies_to": {"datasets": ["a"]}}
    data["datasets"][0]["sum_of_weights"] = {"expr": "w_a"}
    axes = [{**PT, "source": "met"}]
    flow.write([flow.stage("Met", "hep.hist", axes=axes)], data=data, fields=fields)
    if not wrong:
        assert flow.run().exit_code == 0
        return
    with pytest.raises(ConfigError) as caught:
        flow.compile()
    (found,) = caught.value.problems
    assert (found.code, found.key) == ("E150", "data.datasets[1].sum_of_weights.expr")
