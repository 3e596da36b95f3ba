"""Mistakes in section `systematics`: found when the plan is made, at their place, with what to do."""

from __future__ import annotations

import pytest

from fasthep_parsl.errors import ConfigError

HT = {"name": "ht", "source": "ht", "type": "regular", "bins": {"nbins": 8, "low": 0, "high": 1024}}


def up(name="jes_up", **keys):
    return {"name": name, **keys}


def fields(**replaced):
    return {"replace": {"fields": replaced}}


@pytest.fixture
def compiled(flow, samples):
    def compiled(*variations, stages=None, **keys):
        s = flow.stage
        stages = stages or [
            s("HTs", "hep.define", variables=[{"name": "ht", "expr": "sum(Jet_pt)"}]),
            s("Cut", "hep.select", selection=["ht > 90"]),
            s("After", "hep.define", variables=[{"name": "late", "expr": "ht * w"}]),
            s("Hist", "hep.hist", axes=[HT], weight_expr="late"),
        ]
        flow.write(stages, data=samples.write(), systematics={"variations": list(variations), **keys})
        return flow.compile()

    return compiled


AT = "systematics.variations[0]"
CASES = {
    "nothing": ([up()], "E129", AT, "changes nothing"),
    "misspelt": ([up(**fields(Jet_pd="Jet_pt * 2"))], "E150", f"{AT}.replace.fields.Jet_pd", "unknown field `Jet_pd`"),
    "no `fields`": (
        [up(replace={"Jet_pt": "Jet_pt * 2"})],
        "E102", f"{AT}.replace.Jet_pt", "unknown key `Jet_pt`",
    ),
    "itself": ([up(**fields(Jet_pt="Jet_pt"))], "E129", f"{AT}.replace.fields.Jet_pt", "by itself"),
    "unread": ([up(**fields(met="met * 2"))], "E129", f"{AT}.replace.fields.met", "no stage reads `met`"),
    "expression": ([up(**fields(Jet_pt="Jet_pt * "))], "E151", f"{AT}.replace.fields.Jet_pt", ""),
    "in expression": ([up(**fields(Jet_pt="Jet_qt * 2"))], "E150", f"{AT}.replace.fields.Jet_pt", "Jet_qt"),
    "structure": ([up(**fields(Jet_pt="met * 2"))], "E129", f"{AT}.replace.fields.Jet_pt", "one value per event"),
    "same name": (
        [up(**fields(Jet_pt="Jet_pt * 2")), up(**fields(w="w * 2"))],
        "E129", "systematics.variations[1].name", "two variations have the name `jes_up`",
    ),
    "case": (
        [up(**fields(Jet_pt="Jet_pt * 2")), up("JES_up", **fields(w="w * 2"))],
        "E129", "systematics.variations[1].name", "differ only in case",
    ),
    "two up": (
        [up(group="jes", direction="up", **fields(Jet_pt="Jet_pt * 2")),
         up("more", group="jes", direction="up", **fields(w="w * 2"))],
        "E129", "systematics.variations[1].direction", "are both `up` of group `jes`",
    ),
    "unknown dataset": ([up(datasets={"a": "bb"})], "E129", f"{AT}.datasets.a", "no dataset `bb`"),
    "data for simulation": (
        [up(datasets={"a": "data"})], "E129", f"{AT}.datasets.a", "`data` has the eventtype `data`, and takes the place of `mc`",
    ),
    "same dataset": ([up(datasets={"a": "a"})], "E129", f"{AT}.datasets.a", "replaces itself"),
    "two kinds": ([up(datasets={"a": "b"}, **fields(w="w * 2"))], "E106", f"{AT}.datasets", "and changes fields or weights"),
    "factor": ([up(weight={"multiply": ["ww"]})], "E150", f"{AT}.weight.multiply[0]", "unknown field `ww`"),
    "factor per object": (
        [up(weight={"multiply": ["2", "Jet_pt"]})],
        "E151", f"{AT}.weight.multiply", "has one value per object, but `ht` has one per event",
    ),
    "mixed": (
        [up(**fields(Jet_pt="Jet_pt * 2", late="late + ht"))],
        "E129", f"{AT}.replace.fields.late", "after a selection that it changes, and reads `ht`, `late`",
    ),
    "nominal": ([up("nominal", weight={"multiply": ["2"]})], "E129", f"{AT}.name", "what does not vary"),
    "chain": (
        [up(datasets={"a": "b"}), up("more", datasets={"b": "data"})],
        "E129", "systematics.variations[1].datasets.b", "`b` takes the place of another one",
    ),
    "swap": (
        [up(datasets={"a": "b"}), up("more", datasets={"data": "a"})],
        "E129", "systematics.variations[1].datasets.data", "`a` takes the place of another one",
    ),
    "no name": ([{"direction": "up"}], "E104", AT, "a variation has no name"),
    "direction": ([up(direction="left")], "E106", f"{AT}.direction", ""),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_mistakes_have_a_place_and_a_code(compiled, case):
    variations, code, key, message = CASES[case]
    with pytest.raises(ConfigError) as caught:
        compiled(*variations)
    found = [(item.code, item.key) for item in caught.value.problems]
    assert (code, key) in found
    right = next(item for item in caught.value.problems if (item.code, item.key) == (code, key))
    assert message in right.message
    assert right.where is not None
    assert right.where.line
    assert len(found) == 1, caught.value


def test_fields_without_their_key_show_what_to_write(compiled):
    with pytest.raises(ConfigError) as caught:
        compiled(up(replace={"Jet_pt": "Jet_pt * 2"}))
    (problem,) = caught.value.problems
    assert problem.hint == "put fields under `fields`: `replace: {fields: {Jet_pt: Jet_pt * 2}}`"


def test_a_weight_that_nothing_uses_is_a_mistake(flow, compiled):
    stages = [flow.stage("Sum", "probe.sum", field="x")]
    with pytest.raises(ConfigError, match="no histogram or cutflow has a weight that it could multiply"):
        compiled(up(weight={"multiply": ["1.5"]}), stages=stages)


def test_a_field_with_two_values_is_not_replaced(flow, compiled):
    stages = [
        flow.stage("First", "hep.hist", axes=[{**HT, "source": "w"}]),
        flow.stage("Again", "hep.define", variables=[{"name": "w", "expr": "w * 3"}]),
        flow.stage("Second", "hep.hist", axes=[{**HT, "source": "w"}]),
    ]
    with pytest.raises(ConfigError, match="stage `Again` overwrites `w`"):
        compiled(up(**fields(w="w * 2")), stages=stages)


def test_a_variation_of_no_dataset_is_a_warning(compiled):
    plan = compiled(up(applies_to={"datasets": ["zz*"]}, **fields(Jet_pt="Jet_pt * 2")))
    assert not plan.variations
    assert len(plan.stages) == 4
    (warning,) = plan.warnings
    assert "`jes_up` applies to no dataset" in warning
    assert "no dataset `zz*`" in warning


def test_a_misspelt_dataset_among_others_is_a_warning(compiled):
    plan = compiled(up(applies_to={"datasets": ["a", "bb"], "eras": []}, **fields(Jet_pt="Jet_pt * 2")))
    assert plan.variations[0].datasets == ("a",)
    (warning,) = [text for text in plan.warnings if "no dataset `bb`" in text]
    assert "variation `jes_up`" in warning
    assert "datasets: a, b, data" in warning or "did you mean" in warning


def test_equal_names_apply_to_the_same_datasets(flow, compiled):
    factors = {"gen": "w", "trig": {"nominal": 1, "up": 2, "down": 0.5}}
    weight = flow.stage("Weight", "hep.weight", output="weight", factors=factors)
    stages = [weight, flow.stage("Hist", "hep.hist", axes=[{**HT, "source": "met"}], weight_expr="weight")]
    both = up("trig_up", group="trig", direction="up", weight={"multiply": ["2"]}, applies_to={"datasets": ["a"]})
    with pytest.raises(ConfigError) as caught:
        compiled(both, stages=stages)
    (problem,) = caught.value.problems
    assert (problem.code, problem.key) == ("E129", f"{AT}.applies_to")
    assert "stage `Weight`, which has it for more datasets: `b`, `data`" in problem.message
    weight["applies_to"] = {"datasets": ["a"]}
    stages[1]["applies_to"] = {"datasets": ["a"]}
    assert {v.name: v.datasets for v in compiled(both, stages=stages).variations}["trig_up"] == ("a",)


def test_one_side_is_a_warning(compiled):
    one = up(group="jes", direction="up", **fields(Jet_pt="Jet_pt * 2"))
    other = up("jes_down", group="jes", direction="down", **fields(Jet_pt="Jet_pt * 0.5"))
    assert any("group `jes` has no `down`" in warning for warning in compiled(one).warnings)
    assert not [w for w in compiled(one, other).warnings if "has no `down`" in w]
    assert not compiled(up(group="jes", **fields(Jet_pt="Jet_pt * 2"))).warnings


def test_names_come_from_group_and_direction(compiled):
    plan = compiled({"group": "jes", "direction": "up", **fields(Jet_pt="Jet_pt * 2")}, include_nominal=False)
    assert [(v.name, v.group, v.direction) for v in plan.variations] == [("jes_up", "jes", "up")]
    assert any("include_nominal" in warning for warning in plan.warnings)


def test_what_sees_all_events_is_nominal_only(flow, compiled):
    stages = [
        flow.stage("HTs", "hep.define", variables=[{"name": "ht", "expr": "sum(Jet_pt)"}]),
        flow.stage("All", "probe.all", field="ht"),
        flow.stage("Skim", "hep.write", format="root", fields=["ht"]),
        flow.stage("Hist", "hep.hist", axes=[HT]),
    ]
    plan = compiled(up(**fields(Jet_pt="Jet_pt * 2")), stages=stages)
    assert [s.id for s in plan.stages if s.variation] == ["@Jet_pt@jes_up", "HTs@jes_up", "Hist@jes_up"]
    warned = [w for w in plan.warnings if "is nominal only" in w]
    assert [w.split("`")[1] for w in warned] == ["All", "Skim"]
