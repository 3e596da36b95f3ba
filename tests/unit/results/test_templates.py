"""Templates hold what the histograms of the run hold, summed by sample, with every variation where it applies."""

from __future__ import annotations

import json

import hist
import numpy as np
import pytest
import uproot

from fasthep_parsl.ops.products import DatasetHistograms, Histogram
from fasthep_parsl.plan import PlanChannel, PlanSample, PlanTemplates
from fasthep_parsl.plan.templates import nominal_names, variation_path
from fasthep_parsl.results.fit_files import write_fit_files
from fasthep_parsl.results.templates import collect_templates
from tests.unit.results.template_parts import PSEUDODATA, make_run


def read(path):
    with uproot.open(path) as file:
        return {
            key.split(";")[0]: (file[key].values(flow=True), file[key].variances(flow=True)) for key in file.iterkeys()
        }


def test_templates_are_the_sums_of_their_datasets(tmp_path):
    run = make_run()
    factors = {"ttbar": 2.0, "st_s": 0.125, "ttbar_ME": 3.0}
    known = dict.fromkeys(("data", "ttbar", "wjets", "st_s", "st_t", "ttbar_ME"), 1.0) | factors
    by_stage = {stage.id: known for stage in run.layout.stages}
    write_fit_files(run.layout, run.products, tmp_path, by_stage)
    found = read(tmp_path / "templates.root")
    names = {f"{region}_{rest}" for region in ("4j1b", "4j2b") for rest in (
        "ttbar", "wjets", "single_top", "data", "ttbar_btag_up", "ttbar_btag_down", "wjets_btag_up", "wjets_btag_down",
        "single_top_btag_up", "single_top_btag_down", "ttbar_pt_up", "single_top_pt_up", "ttbar_ME_var")}  # fmt: skip
    assert set(found) == names
    for region in ("4j1b", "4j2b"):

        def expected(*terms, region=region):
            value = variance = 0.0
            for copy, dataset, weight in terms:
                factor = factors.get(dataset, 1.0)
                content = run.values(f"HT@{region}{copy}", dataset, weight)
                value, variance = value + content[0] * factor, variance + content[1] * factor**2
            return value, variance

        for name, terms in {
            "ttbar": [("", "ttbar", "nominal")],
            "ttbar_btag_down": [("", "ttbar", "btag_down")],
            "ttbar_ME_var": [("", "ttbar_ME", "nominal")],
            "single_top_btag_up": [("", "st_s", "btag_up"), ("", "st_t", "btag_up")],
            "single_top_pt_up": [("@pt_up", "st_s", "nominal"), ("", "st_t", "nominal")],  # st_t does not vary
            "data": [("", "data", "nominal")],
        }.items():
            value, variance = expected(*terms)
            assert found[f"{region}_{name}"][0].tolist() == value.tolist(), name
            assert found[f"{region}_{name}"][1].tolist() == variance.tolist(), name


def test_a_sample_that_is_not_normalised_is_no_template(tmp_path):
    run = make_run()
    known = dict.fromkeys(("data", "ttbar", "wjets", "st_s", "ttbar_ME"), 2.0)
    write_fit_files(run.layout, run.products, tmp_path, {stage.id: known for stage in run.layout.stages})
    assert not any("single_top" in name for name in read(tmp_path / "templates.root"))
    notes = json.loads((tmp_path / "templates.json").read_text())["notes"]
    assert notes[0] == "templates: sample `single_top` is left out of `4j1b`: dataset `st_t` is not normalised"


def test_pseudodata_is_the_sum_that_is_written(tmp_path):
    run = make_run(pseudodata=PSEUDODATA)
    write_fit_files(run.layout, run.products, tmp_path)
    found = read(tmp_path / "templates.root")
    for region in ("4j1b", "4j2b"):
        me, wjets = run.values(f"HT@{region}", "ttbar_ME"), run.values(f"HT@{region}", "wjets")
        assert found[f"{region}_pseudodata"][0].tolist() == (0.5 * me[0] + wjets[0]).tolist()
        assert found[f"{region}_pseudodata"][1].tolist() == (0.25 * me[1] + wjets[1]).tolist()
        assert f"{region}_data" in found


def test_the_index_says_what_templates_are(tmp_path):
    run = make_run()
    write_fit_files(run.layout, run.products, tmp_path)
    index = json.loads((tmp_path / "templates.json").read_text())
    entry = index["templates"]["4j2b_ttbar_btag_down"]
    value, variance = run.values("HT@4j2b", "ttbar", "btag_down")
    assert entry == {
        "channel": "4j2b", "region": "4j2b", "histogram": "HT", "sample": "ttbar", "variation": "btag_down",
        "group": "btag", "direction": "down", "sum": value[1:-1].sum(), "error": np.sqrt(variance[1:-1].sum()),
    }  # fmt: skip
    assert index["notes"] == []


def test_samples_without_entries_are_left_out_and_noted(tmp_path):
    run = make_run()
    part = run.products["HT@4j2b", "hist"].parts["wjets"].hist
    part.view(flow=True)["value"][...] = 0
    part.view(flow=True)["variance"][...] = 0
    write_fit_files(run.layout, run.products, tmp_path)
    names = set(read(tmp_path / "templates.root"))
    assert "4j1b_wjets" in names
    assert not any(name.startswith("4j2b_wjets") for name in names)
    notes = json.loads((tmp_path / "templates.json").read_text())["notes"]
    assert notes == ["templates: sample `wjets` has no entries in `4j2b`"]
    channels = json.loads((tmp_path / "workspace.json").read_text())["channels"]
    samples = {channel["name"]: [sample["name"] for sample in channel["samples"]] for channel in channels}
    assert samples == {"4j1b": ["ttbar", "wjets", "single_top"], "4j2b": ["ttbar", "single_top"]}


def test_an_empty_variation_of_a_sample_with_entries_is_written(tmp_path):
    run = make_run()
    part = run.products["HT@4j1b@pt_up", "hist"].parts["ttbar"].hist
    part.view(flow=True)["value"][...] = 0
    part.view(flow=True)["variance"][...] = 0
    write_fit_files(run.layout, run.products, tmp_path)
    assert not read(tmp_path / "templates.root")["4j1b_ttbar_pt_up"][0].any()


def test_a_replacement_that_was_not_read_is_no_template(tmp_path):
    run = make_run()
    for copy in ("HT@4j1b", "HT@4j2b"):
        del run.products[copy, "hist"].parts["ttbar_ME"]
    write_fit_files(run.layout, run.products, tmp_path)
    assert not any("ME_var" in name for name in read(tmp_path / "templates.root"))
    notes = json.loads((tmp_path / "templates.json").read_text())["notes"]
    assert notes[0] == "template `4j1b_ttbar_ME_var` is left out: no events of dataset `ttbar_ME` were processed"


def test_pseudodata_without_one_of_its_parts_is_not_written(tmp_path):
    run = make_run(pseudodata=PSEUDODATA)
    del run.products["HT@4j1b", "hist"].parts["ttbar_ME"]
    found = collect_templates(run.layout, run.products)
    assert ("4j1b", "pseudodata", "") not in found.content
    assert ("4j2b", "pseudodata", "") in found.content
    known = dict.fromkeys(("data", "ttbar", "ttbar_ME", "st_s", "st_t"), 2.0)
    found = collect_templates(run.layout, run.products, {stage.id: known for stage in run.layout.stages})
    assert not any(sample == "pseudodata" for _, sample, _ in found.content)
    assert "template `4j2b_pseudodata` lacks a part: `wjets` has no nominal template there" in found.notes
    found = collect_templates(run.layout, run.products)
    assert "template `4j1b_pseudodata` lacks a part: `ttbar` has no variation `ME_var` there" in found.notes


def test_counts_and_categories_become_sums_on_numbers(tmp_path):
    run = make_run(regions=("4j1b",), formats=(), data=(), samples=(PlanSample(name="a", datasets=("ttbar",)),))
    for axis, content in ((hist.axis.StrCategory(["e", "mu"], name="x"), ["e", "mu", "mu"]),
                          (hist.axis.IntCategory([0, 1], name="x"), [0, 1, 1]),
                          (hist.axis.Integer(0, 2, name="x"), [0, 1, 1])):  # fmt: skip
        counts = hist.Hist(axis, storage=hist.storage.Int64())
        counts.fill(content)
        run.products["HT@4j1b", "hist"] = DatasetHistograms({"ttbar": Histogram(counts)})
        run.products.pop(("HT@4j1b@pt_up", "hist"), None)
        found = collect_templates(run.layout, run.products)
        made = found.content["4j1b", "a", ""]
        assert made.values().tolist() == made.variances().tolist() == [1, 2]
        assert np.allclose(made.axes[0].edges, [0, 1, 2])
        write_fit_files(run.layout, run.products, tmp_path)
        assert read(tmp_path / "templates.root")["4j1b_a"][0][1:3].tolist() == [1, 2]


def test_nothing_is_fitted_without_a_signal(tmp_path):
    run = make_run()
    for copy in ("HT@4j1b", "HT@4j2b"):
        del run.products[copy, "hist"].parts["ttbar"]
    notes = write_fit_files(run.layout, run.products, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["templates.json", "templates.root"]
    assert notes == json.loads((tmp_path / "templates.json").read_text())["notes"]
    assert notes[-1] == "no files for cabinetry, combine, pyhf are written: no signal has entries"


def test_negative_bins_are_noted(tmp_path):
    run = make_run()
    run.products["HT@4j1b", "hist"].parts["wjets"].hist.view()["value"][1] *= -1
    found = collect_templates(run.layout, run.products)
    from fasthep_parsl.results.nuisances import fit_notes

    assert fit_notes(found) == ["template `4j1b_wjets` has negative bins: fits may fail; use wider bins"]


@pytest.mark.parametrize(
    ("names", "nominal", "path"),
    [
        ("{region}_{sample}_{variation}", "{region}_{sample}", "_v"),
        ("{variation}-{region}.{sample}", "{region}.{sample}", "v-"),
        ("h_{region}_{variation}_{sample}", "h_{region}_{sample}", "_v"),
    ],
)
def test_names_of_templates(names, nominal, path):
    assert nominal_names(names) == nominal
    assert variation_path(names, "v") == path
    planned = PlanTemplates(channels=(), samples=(), names=names)
    channel = PlanChannel(name="R", stage="H")
    assert planned.name(channel, "s", "v") == names.format(region="R", sample="s", variation="v")
    assert planned.name(channel, "s") == nominal.format(region="R", sample="s")
