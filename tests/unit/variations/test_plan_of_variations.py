"""`plan` shows what each variation costs."""

from __future__ import annotations

from fasthep_parsl.cli.variation_lines import stages_of, variation_rows

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
