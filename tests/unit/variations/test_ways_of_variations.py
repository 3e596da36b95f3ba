"""Stages of all kinds in variations: ops of users, weights, conditions, several pools, products that other stages read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MET = {"name": "met", "source": "met", "type": "regular", "bins": {"nbins": 8, "low": 0, "high": 256}}
LEAD = {"name": "lead", "source": "lead", "type": "regular", "bins": {"nbins": 8, "low": 0, "high": 256}}
PT = {"name": "pt", "source": "Jet_pt", "type": "regular", "bins": {"nbins": 8, "low": 0, "high": 256}}
UP = {"name": "jes_up", "replace": {"fields": {"Jet_pt": "Jet_pt * 2"}}}
MC = {"applies_to": {"eventtype": "mc"}}


def doubled(events):
    return {"Jet_pt": events["Jet_pt"] * 2}


@pytest.fixture
def compared(flow, samples, in_variation):
    """Run stages with variations, and once per variation on changed files; return the plan."""
    shutil.copyfile(HERE / "variation_ops.py", flow.folder / "variation_ops.py")
    use = {"use": {"modules": ["probe_ops.py", "variation_ops.py"]}}

    def compared(stages, wanted, variations=(UP,), datasets=("a", "b", "data"), chunk=7, **sections):
        """`wanted` maps each variation to its stages and how the files are changed."""
        found = {}
        for name, (other, change) in {"": (stages, None), **wanted}.items():
            data = samples.write(f"w{len(found)}", change)
            outcome = flow.write(other, data=data, **use).run(mode="force", chunk_size=chunk)
            assert outcome.status == "complete", outcome.summary["failures"]
            found[name] = outcome.products
        flow.write(stages, data=samples.write(), systematics={"variations": list(variations)}, **use, **sections)
        plan = flow.compile(chunk_size=chunk)
        outcome = flow.run(plan, mode="force")
        assert outcome.status == "complete", outcome.summary["failures"]
        assert in_variation(outcome.products) == in_variation(found[""])
        for name in wanted:
            mine, theirs = (in_variation(outcome.products, name, datasets), in_variation(found[name], "", datasets))
            assert mine == theirs, name
            assert theirs != in_variation(found[""], "", datasets), "the variation changes something"
        return plan

    return compared


def hist(flow, name, axis, weight="w", **keys):
    return flow.stage(name, "hep.hist", axes=[axis], weight_expr=weight, dataset_axis=True, **keys)


@pytest.mark.slow
def test_ops_of_users_fork_unless_they_keep_all_events(flow, compared):
    stages = [flow.stage("Lead", "probe.leading"), hist(flow, "Hist", LEAD), hist(flow, "Met", MET)]
    plan = compared(stages, {"jes_up": (stages, doubled)})
    assert [s.id for s in plan.stages if s.variation] == ["@Jet_pt@jes_up", "Lead@jes_up", "Hist@jes_up"]
    assert plan.stage("Lead@jes_up").outputs == {"lead": "lead@jes_up"}
    stages[0] = flow.stage("Lead", "probe.undeclared")
    plan = compared(stages, {"jes_up": (stages, doubled)})
    assert [s.id for s in plan.stages if s.variation][-2:] == ["Hist@jes_up", "Met@jes_up"]
    assert plan.stage("Lead@jes_up").outputs == {}


def test_an_op_that_drops_events_against_its_word_fails(flow, samples):
    shutil.copyfile(HERE / "variation_ops.py", flow.folder / "variation_ops.py")
    stages = [flow.stage("Lead", "probe.liar"), hist(flow, "Hist", LEAD)]
    flow.write(stages, data=samples.write(), use={"modules": ["variation_ops.py"]})
    outcome = flow.run()
    assert outcome.status == "failed"
    assert "op `probe.liar` keeps all events, but returned" in outcome.summary["failures"][0]["message"]


@pytest.mark.slow
def test_streams_between_pools_carry_variations(flow, compared):
    s = flow.stage
    stages = [
        s("Fixed", "hep.select", selection=["x % 7 != 3"]),
        s("Good", "hep.select_objects", collection="Jet", output="Good", selection=["pt > 30"], keep=["pt"]),
        s("HTs", "hep.define", pool="other", variables=[{"name": "lead", "expr": "sum(Good_pt)"}]),
        hist(flow, "Early", LEAD),
        s("Cuts", "hep.selection.cutflow", pool="other", selection=["lead > 90"], weight_expr="w"),
        hist(flow, "Late", LEAD),
        s("Sum", "probe.sum", field="x"),
    ]
    pools = {"default": {"workers": 2}, "other": {"workers": 1}}
    for applies, datasets in (({}, ("a", "b", "data")), (MC, ("a", "b"))):
        plan = compared(
            stages, {"jes_up": (stages, doubled)}, [{**UP, **applies}], datasets,
            execution={"backend": "local", "pools": pools},
        )  # fmt: skip
        assert len(plan.segments) > 3


@pytest.mark.slow
def test_weights_of_ops_vary_with_objects_and_alone(flow, compared):
    def stages(weight="sf * w"):
        return [
            flow.stage("SF", "probe.scale_factor"),
            flow.stage("Cut", "hep.select", selection=["met > 20"]),
            hist(flow, "Met", MET, weight),
            flow.stage("Flow", "hep.selection.cutflow", selection=["met > 40"], weight_expr=weight),
            flow.stage("Own", "hep.select", selection=["sum(Jet_pt) > 80"]),
            hist(flow, "Later", MET, weight),
        ]

    # an expression of the nominal factor that is exactly the variation of the op
    wanted = {
        "sf_up": (stages("(sf + 1) * w"), None),
        "sf_down": (stages("((sf - 1) * 0.5) * w"), None),
        "jes_up": (stages(), doubled),
        "both": (stages("((sf * w) * (1.5)) * 1.0"), None),
    }
    both = {"name": "both", "weight": {"multiply": ["1.5"]}}
    plan = compared(stages(), wanted, [UP, both])
    assert [v.name for v in plan.variations] == ["jes_up", "both", "sf_up", "sf_down"]
    assert [w.variation for w in plan.stage("Met").weights] == ["jes_up", "both", "sf_up", "sf_down"]
    assert {s.variation for s in plan.stages if s.nominal in ("Own", "Later")} == {"jes_up"}


@pytest.mark.slow
def test_a_variation_of_fields_and_weights_together(flow, compared):
    def stages(weight):
        return [
            flow.stage("Own", "hep.select", selection=["sum(Jet_pt) > 80"]),
            hist(flow, "Later", MET, weight),
            flow.stage("Flow", "hep.selection.cutflow", selection=["met > 40"], weight_expr=weight),
        ]

    known = {**UP, "weight": {"multiply": ["x % 3", "0.5"]}}
    compared(stages("w"), {"jes_up": (stages("(w) * (x % 3) * (0.5)"), doubled)}, [known])


@pytest.mark.slow
def test_equal_names_vary_together(flow, compared):
    def stages(weight="sf * w"):
        return [flow.stage("SF", "probe.scale_factor"), hist(flow, "Pt", PT, "1.0"), hist(flow, "Met", MET, weight)]

    same = {**UP, "name": "sf_up"}
    wanted = {"sf_up": (stages("(sf + 1) * w"), doubled), "sf_down": (stages("((sf - 1) * 0.5) * w"), None)}
    with pytest.raises(AssertionError, match="sf_down"):  # `Pt` does not vary with it, and its files are not changed
        compared(stages(), {**wanted, "sf_down": (stages("(sf + 1) * w"), None)}, [same])
    compared(stages(), wanted, [same])


@pytest.mark.slow
def test_a_field_that_a_stage_defines_is_replaced_after_it(flow, compared):
    def stages(*more):
        return [
            flow.stage("Cut", "hep.select", selection=["x % 7 != 3"]),
            flow.stage("Def", "hep.define", variables=[{"name": "lead", "expr": "sum(Jet_pt)"}, *more]),
            hist(flow, "Before", LEAD),
            flow.stage("Own", "hep.select", selection=["lead > 90"]),
            hist(flow, "After", LEAD),
        ]

    known = {"name": "ht_up", "replace": {"fields": {"lead": "lead + met"}}}
    again = {"name": "lead", "expr": "lead + met"}
    compared(stages(), {"ht_up": (stages(again), None)}, [known])


@pytest.mark.slow
def test_nothing_is_computed_twice(flow, compared):
    """What a variation does not reach is shared; streams end before those of the next variation begin."""
    s = flow.stage
    stages = [
        s("Own", "hep.select", selection=["sum(Jet_pt) > 80"]),
        s("Def", "hep.define", variables=[{"name": "lead", "expr": "sum(Jet_pt)"}]),
        hist(flow, "After", LEAD),
        s("Free", "hep.select", [], selection=["met > 20"]),
        hist(flow, "Met", MET),
    ]
    down = {"name": "jes_down", "replace": {"fields": {"Jet_pt": "Jet_pt * 0.5"}}}
    plan = compared(stages, {"jes_up": (stages, doubled)}, [UP, down])
    assert [stage.id for stage in plan.stages] == [
        "@Jet_pt@jes_up", "Own@jes_up", "Def@jes_up", "After@jes_up",
        "@Jet_pt@jes_down", "Own@jes_down", "Def@jes_down", "After@jes_down",
        "Own", "Def", "After", "Free", "Met",
    ]  # fmt: skip
    assert "Jet_pt@jes_up" not in plan.stage("@Jet_pt@jes_down").keep
    assert plan.segments[0].columns == ("Jet_pt", "met", "w")


def test_memory_of_copies_makes_smaller_partitions(flow, samples):
    stages = [flow.stage("Own", "hep.select", selection=["sum(Jet_pt) > 80"]), hist(flow, "After", PT)]
    pools = {"default": {"workers": 1, "resources": {"memory": "500MB"}}}
    many = [{"name": f"v{n}", "replace": {"fields": {"Jet_pt": f"Jet_pt * {n + 2}"}}} for n in range(60)]
    sizes = []
    for variations in ([], many):
        flow.write(
            stages, data=samples.write(), systematics={"variations": variations},
            execution={"backend": "local", "pools": pools},
        )  # fmt: skip
        sizes.append(flow.compile().pass_size)
    assert sizes[1] < sizes[0]


@pytest.mark.slow
def test_a_stage_that_overwrites_what_it_reads(flow, compared):
    def stages():
        return [
            flow.stage(
                "Def", "hep.define",
                variables=[{"name": "w", "expr": "w * 2"}, {"name": "lead", "expr": "sum(Jet_pt) + w"},
                           {"name": "free", "expr": "met + w"}],
            ),
            hist(flow, "Hist", LEAD),
            hist(flow, "Free", {**LEAD, "source": "free"}),
            flow.stage("Own", "hep.select", selection=["lead > 90"]),
            hist(flow, "After", LEAD),
        ]  # fmt: skip

    plan = compared(stages(), {"jes_up": (stages(), doubled)})
    assert plan.stage("Def").input == "Def@jes_up"
    assert [v["name"] for v in plan.stage("Def@jes_up").params["variables"]] == ["w", "lead"]
    assert "Free@jes_up" not in {stage.id for stage in plan.stages}


@pytest.mark.slow
def test_what_only_variations_of_the_nominal_weight_need_is_not_copied(flow, compared):
    def stages(factor=None, select=True):
        factor = factor or {"nominal": 1, "up": "hard", "down": "0.5 * hard"}
        own = [flow.stage("Own", "hep.select", selection=["sum(Jet_pt) > 80"])] if select else []
        return [
            *own,
            flow.stage("Def", "hep.define", variables=[{"name": "hard", "expr": "1 + count_nonzero(Jet_pt > 40)"}]),
            flow.stage("Weight", "hep.weight", output="ew", factors={"w": "w", "f": factor}),
            hist(flow, "Met", MET, "ew"),
            hist(flow, "Pt", PT, "ew"),
        ]

    wanted = {"jes_up": (stages(), doubled), "f_up": (stages("hard"), None)}
    plan = compared(stages(), wanted)
    copies = [stage.nominal for stage in plan.stages if stage.variation == "jes_up" and stage.nominal]
    assert copies == ["Own", "Weight", "Met", "Pt"]
    assert plan.stage("Weight@jes_up").input == "Own@jes_up"
    wanted = {"jes_up": (stages(select=False), doubled), "f_up": (stages("hard", select=False), None)}
    plan = compared(stages(select=False), wanted)
    assert [stage.nominal for stage in plan.stages if stage.variation == "jes_up" and stage.nominal] == ["Pt"]
