"""``analysis.templates``: what it names, its defaults, and every mistake in its place, before an event is read."""

from __future__ import annotations

import json

import pytest

from fasthep_parsl.compiler.templates import plan_templates, unused_datasets
from fasthep_parsl.driver.api import load
from fasthep_parsl.errors import ConfigError
from fasthep_parsl.plan import PlanChannel, PlanTerm, PlanVariation

X = {"name": "x", "bins": {"nbins": 8, "low": 0, "high": 160}}
Y = {"name": "nJet", "bins": {"nbins": 3, "low": 0, "high": 3}}


def hist(name, regions="all", axes=(X,), **params):
    given = {"axes": list(axes), **params} | ({"regions": regions} if regions else {})
    return {"id": name, "op": "hep.hist", "params": given}


STAGES = [hist("A", ["one", "two"]), hist("B", ["two"]), hist("Plain", None), hist("Two", None, (X, Y)),
          hist("Open", None, ({"name": "x", "type": "category"},)), hist("Own", None, variations={"weights": {"up": "2"}}),
          hist("Squares", None, storage="double", weights="x"), {"id": "Sel", "op": "hep.select", "params": {"selection": "x > 3"}}]  # fmt: skip
REGIONS = {"one": "nJet == 1", "two": "nJet == 2"}


@pytest.fixture
def analysis(flow, small_files):
    """Write a workflow with four datasets, whose files are copies."""

    def write(templates, regions=None, stages=STAGES, **datasets):
        listed = []
        for name in ("ttbar", "wjets", "st_s", "st_t", "ttbar_ME", "data"):
            copy = flow.folder / f"{name}.root"
            if not copy.exists():  # files with another time make another plan
                copy.write_bytes((small_files / "b.root").read_bytes())
            facts = {"eventtype": "data"} if name == "data" else {}
            listed.append({"name": name, "files": [str(copy)], **facts, **datasets.get(name, {})})
        flow.write(stages, [])
        content = json.loads(flow.path.read_text())
        content["data"]["datasets"] = listed
        content["analysis"] |= {"regions": regions or REGIONS, "templates": templates}
        flow.path.write_text(json.dumps(content, indent=1))
        return flow

    return write


def planned(flow):
    return flow.compile().templates


def problems(flow):
    with pytest.raises(ConfigError) as caught:
        flow.compile()
    base = "analysis.templates."
    return [(p.code, p.key.removeprefix(base), p.message, str(p.hint), p.where) for p in caught.value.problems]


def test_defaults_are_a_sample_for_each_dataset_or_group(analysis):
    found = planned(analysis({"histograms": "A"}, st_s={"group": "single top"}, st_t={"group": "single top"}))
    samples = {sample.name: sample.datasets for sample in found.samples}
    assert samples == {
        "ttbar": ("ttbar",),
        "wjets": ("wjets",),
        "single_top": ("st_s", "st_t"),
        "ttbar_ME": ("ttbar_ME",),
    }
    assert (found.data, found.pseudodata, found.formats, found.signals) == (("data",), None, (), ())
    assert found.channels == (
        PlanChannel(name="one", stage="A", region="one"),
        PlanChannel(name="two", stage="A", region="two"),
    )


def test_histograms_in_one_region_have_their_name_too(analysis):
    names = [channel.name for channel in planned(analysis({"histograms": ["A", "B", "Plain"]})).channels]
    assert names == ["one", "two_A", "two_B", "Plain"]


def test_the_regions_of_histograms_can_be_chosen(analysis):
    found = planned(analysis({"histograms": {"one": "A", "two": ["B"]}}))
    assert [(channel.name, channel.stage) for channel in found.channels] == [("one", "A"), ("two", "B")]


def test_samples_are_patterns_and_data_what_is_left(analysis):
    flow = analysis({"histograms": "A", "samples": {"top": ["ttbar", "st_*"], "fakes": "data"}})
    found = planned(flow)
    assert {sample.name: sample.datasets for sample in found.samples} == {
        "top": ("ttbar", "st_s", "st_t"),
        "fakes": ("data",),
    }
    assert found.data == ()
    warnings = [text for text in flow.compile().warnings if "templates" in text]
    assert warnings == [f"dataset `{name}` is in no sample of `analysis.templates`" for name in ("wjets", "ttbar_ME")]


@pytest.mark.parametrize("written", [{}, None, {"sum": [{"sample": "ttbar"}]}, [{"sample": "ttbar", "weight": 0.5}]])
def test_pseudodata(analysis, written):
    found = planned(analysis({"histograms": "A", "samples": {"ttbar": ["ttbar"], "w": "wjets"}, "pseudodata": written}))
    if written is None:
        assert found.pseudodata is None or found.observed == "pseudodata"
    elif not written:
        assert found.pseudodata == (PlanTerm(sample="ttbar"), PlanTerm(sample="w"))
    else:
        weight = 0.5 if isinstance(written, list) else 1.0
        assert found.pseudodata == (PlanTerm(sample="ttbar", weight=weight),)


def test_templates_do_not_change_the_hash(analysis):
    one = analysis({"histograms": "A"}).compile()
    other = analysis({"histograms": "B", "signal": "ttbar", "formats": "cabinetry"}).compile()
    assert one.templates != other.templates
    assert one.apart
    assert one.hash == other.hash


FIT = {"histograms": "A", "samples": {"ttbar": ["ttbar"], "w": ["wjets"]}, "signal": ["ttbar"]}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "code", "key", "words"),
    [
        ({"histograms": ["A", "C"]}, "E126", "histograms[1]", "no histogram `C`"),
        ({"histograms": "Sel"}, "E126", "histograms[0]", "`Sel`"),
        ({"histograms": "Two"}, "E126", "histograms[0]", "has 2 axes, but a template has one"),
        ({"histograms": "Open"}, "E126", "histograms[0]", "adds categories"),
        ({"histograms": "Own"}, "E126", "histograms[0]", "systematics"),
        ({"histograms": "Squares"}, "E126", "histograms[0]", "storage: weighted"),
        ({"histograms": []}, "E104", "histograms", "templates need histograms"),
        ({"histograms": {"one": "B"}}, "E126", "histograms.one", "not filled in region `one`"),
        ({"samples": {"ttbar": ["ttbr"]}}, "E126", "samples.ttbar[0]", "ttbar"),
        ({"samples": {"ttbar": []}}, "E126", "samples.ttbar", "no datasets"),
        ({"samples": {"ttbar": ["ttbar"], "b": ["wjets", "ttb*"]}}, "E127", "samples.b", "count twice"),
        ({"samples": {"ttbar": ["ttbar"], "b": ["data"]}, "data": ["data"]}, "E127", "samples.b", "the data"),
        ({"data": ["dta"]}, "E126", "data[0]", "`data`"),
        ({"signal": ["tbar"]}, "E126", "signal[0]", "ttbar"),
        ({"signal": "tt", "formats": ["cabinetry", "combine", "pyhf"]}, "E126", "signal[0]", "no sample `tt`"),
        ({"data": ["dta"], "formats": ["cabinetry", "pyhf"]}, "E126", "data[0]", "`data`"),
        ({"pseudodata": [{"sample": "x"}]}, "E126", "pseudodata.sum[0].sample", "no sample `x`"),
        ({"pseudodata": [{"sample": "w", "variation": "v"}]}, "E126", "pseudodata.sum[0].variation", "no variation `v`"),
        ({"rates": {"lumi": {"size": 0.03, "samples": ["z"]}}}, "E126", "rates.lumi.samples[0]", "no sample `z`"),
        ({"rates": {"lumi": 1.025}}, "E106", "rates.lumi.size", "less than 1, got the factor `1.025`write the relative size: `0.025`"),
        ({"rates": {"lumi": 2}}, "E106", "rates.lumi.size", "less than 1"),
        ({"rates": {"lumi": "2.5%"}}, "E106", "rates.lumi.size", "is a percentagewrite the relative size: `0.025`"),
        ({"rates": {"lumi": {"size": "± 3 %"}}}, "E106", "rates.lumi.size", "`0.03`"),
        ({"rates": {"lumi": "much"}}, "E105", "rates.lumi.size", "expected a number, got text `much`"),
        ({"formats": ["cabinet"]}, "E106", "formats[0]", "cabinetry"),
        ({"formats": ["cabinetry", "combine", "pyhf"], "signal": []}, "E128", "formats[0]", "signal"),
        ({"formats": ["pyhf"], "signal": []}, "E128", "formats[0]", "signal"),
        ({"formats": ["combine"], "data": []}, "E128", "formats[0]", "needs data"),
        ({"formats": ["cabinetry"], "names": "{histogram}_{region}_{sample}_{variation}"}, "E128", "names", "{histogram}"),
        ({"names": "{region}_{sample}"}, "E106", "names", "{variation}"),
        ({"names": "{region}_{sample}_{variant}"}, "E106", "names", "{variant}"),
        ({"names": "{region}/{sample}_{variation}"}, "E106", "names", "letters"),
        ({"names": "{sample}_{variation}"}, "E127", "names", "two templates would be `ttbar`"),
        ({"names": "{region"}, "E106", "names", "not valid"),
        ({"samples": {"data": ["ttbar"], "ttbar": ["wjets"]}}, "E127", "names", "two templates would be `one_data`"),
        ({"sample": {}}, "E102", "sample", "samples"),
    ],
)  # fmt: skip
def test_mistakes_have_a_place(analysis, changes, code, key, words):
    found = problems(analysis({**FIT, **changes}))
    assert [(item[0], item[1]) for item in found] == [(code, key)], found
    assert words in found[0][2] + found[0][3]
    assert found[0][4] is not None


@pytest.mark.parametrize(
    ("changes", "code", "key"),
    [
        ({"regions": ["too"]}, "E125", "analysis.stages[0].params.regions[0]"),
        ({"regions": "alll"}, "E125", "analysis.stages[0].params.regions"),
        ({"region": "two"}, "E102", "analysis.stages[0].params.region"),
    ],
)
def test_a_wrong_region_is_one_mistake(analysis, changes, code, key):
    written = hist("A", None)
    written["params"] |= changes
    assert [item[:2] for item in problems(analysis({**FIT, "histograms": {"two": "A"}}, stages=[written]))] == [
        (code, key)
    ]


def test_an_unknown_dataset_of_a_variation_is_shown_with_the_mistake_that_follows(analysis):
    flow = analysis({**FIT, "formats": ["combine", "pyhf"]})
    content = json.loads(flow.path.read_text())
    up, down = ({"group": "s", "direction": d, "weight": {"multiply": ["2"]}} for d in ("up", "down"))
    content["systematics"] = {"variations": [{**up, "applies_to": {"datasets": ["ttba"]}}, down]}
    flow.path.write_text(json.dumps(content, indent=1))
    (_, at, *_), (code, key, message, hint, where) = sorted(problems(flow), key=lambda item: item[0])
    assert at == "formats[0]"
    assert (code, key) == ("W108", "systematics.variations[0].applies_to.datasets[0]")
    assert message == "variation `s_up`: no dataset `ttba`"
    assert "did you mean `ttbar`" in hint
    assert where is not None
    content["analysis"]["templates"]["formats"] = []
    flow.path.write_text(json.dumps(content, indent=1))
    assert any("no dataset `ttba`" in warning for warning in flow.compile().warnings)


def test_channels_that_would_have_one_name(analysis):
    regions = {"one": "nJet == 1", "two": "nJet == 2", "two_A": "x > 1"}
    stages = [hist("A", ["two"]), hist("B", ["two"]), hist("C", ["two_A"])]
    ((code, key, message, _, _),) = problems(analysis({"histograms": ["A", "B", "C"]}, regions, stages))
    assert (code, key) == ("E127", "histograms[2]")
    assert "would both be `two_A`" in message


VARIATIONS = (
    PlanVariation(name="btag_up", group="btag", direction="up"),
    PlanVariation(name="btag_down", group="btag", direction="down"),
    PlanVariation(name="ME_var", group="ME", replaces={"ttbar": "ttbar_ME"}),
)


def with_variations(flow, variations):
    """Return the templates with these variations, and problems."""
    from fasthep_parsl.compiler import CompileOptions
    from fasthep_parsl.compiler.compile import check_workflow

    loaded = load(flow.path, "local", ())
    checked = check_workflow(loaded, CompileOptions(machine=flow.machine)).value
    found = plan_templates(loaded, checked.stages, checked.inputs.datasets, variations)
    return (
        found.value,
        [(p.code, p.key.removeprefix("analysis.templates."), p.message) for p in found.problems],
        checked,
    )


def test_a_replacement_is_no_sample(analysis):
    found, wrong, checked = with_variations(analysis({"histograms": "A"}), VARIATIONS)
    assert wrong == []
    assert [sample.name for sample in found.samples] == ["ttbar", "wjets", "st_s", "st_t"]
    assert unused_datasets(found, checked.inputs.datasets, VARIATIONS) == []
    found, wrong, _ = with_variations(analysis({"histograms": "A", "samples": {"ttbar": "ttbar*"}}), VARIATIONS)
    assert (wrong, found.samples[0].datasets) == ([], ("ttbar",))
    _, wrong, _ = with_variations(
        analysis({"histograms": "A", "samples": {"ttbar": ["ttbar", "ttbar_ME"]}}), VARIATIONS
    )
    message = "dataset `ttbar_ME` takes the place of `ttbar` in variation `ME_var`"
    assert wrong == [("E126", "samples.ttbar[1]", message)]


@pytest.mark.parametrize("tool", ["combine", "pyhf", "cabinetry"])
def test_up_without_down(analysis, tool):
    flow = analysis({**FIT, "formats": [tool]})
    assert with_variations(flow, VARIATIONS)[1] == []
    _, wrong, _ = with_variations(flow, VARIATIONS[::2])
    message = f"format `{tool}` needs both directions, and `btag` has `btag_up` only"
    assert wrong == ([] if tool == "cabinetry" else [("E128", "formats[0]", message)])
    other = VARIATIONS[1].model_copy(update={"datasets": ("ttbar",)})
    _, wrong, _ = with_variations(flow, (VARIATIONS[0], other))
    assert bool(wrong) == (tool != "cabinetry")


def test_two_variations_of_one_group_and_direction(analysis):
    again = VARIATIONS[0].model_copy(update={"name": "btag_2_up"})
    _, wrong, _ = with_variations(analysis({**FIT, "formats": "cabinetry"}), (*VARIATIONS, again))
    assert wrong == [("E128", "formats", "`btag_up` and `btag_2_up` are both the direction `up` of group `btag`")]
    assert with_variations(analysis(FIT), (*VARIATIONS, again))[1] == []


def test_names_that_variations_make_equal(analysis):
    samples = {"ttbar": ["ttbar"], "ttbar_btag_up": ["wjets"]}
    _, wrong, _ = with_variations(analysis({"histograms": "A", "samples": samples}), VARIATIONS)
    assert [item[:2] for item in wrong] == [("E127", "names")]
    assert "two templates would be `one_ttbar_btag_up`" in wrong[0][2]


def test_a_rate_is_no_group(analysis):
    _, wrong, _ = with_variations(analysis({**FIT, "rates": {"btag": 0.1}}), VARIATIONS)
    assert [item[:2] for item in wrong] == [("E127", "rates.btag")]
