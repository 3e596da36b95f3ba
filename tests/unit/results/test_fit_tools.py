"""Fit tools read what is written: cabinetry with its own and with the challenge's configuration, pyhf, and Combine's card."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
import yaml

from fasthep_parsl.plan import PlanVariation
from fasthep_parsl.results.fit_files import write_fit_files
from fasthep_parsl.results.nuisances import nuisances
from fasthep_parsl.results.templates import collect_templates
from tests.unit.results.datacards import read_datacard
from tests.unit.results.template_parts import PSEUDODATA, make_run

pyhf = pytest.importorskip("pyhf")
cabinetry = pytest.importorskip("cabinetry")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # pyhf uses `jsonschema.RefResolver`


@pytest.fixture(autouse=True)
def _quiet():
    logging.getLogger("cabinetry").setLevel(logging.ERROR)
    yield
    pyhf.set_backend("numpy")


@pytest.fixture
def written(tmp_path, monkeypatch):
    def write(run):
        write_fit_files(run.layout, run.products, tmp_path)
        monkeypatch.chdir(tmp_path)
        return tmp_path

    return write


def build(config):
    cabinetry.templates.collect(config)
    cabinetry.templates.postprocess(config)
    return cabinetry.workspace.build(config)


def expected(model, point):
    return model.expected_data(point, include_auxdata=False)


def by_name(model, values):
    """Return parameters in the order of a model. `values` is name → numbers."""
    return [number for name in model.config.par_order for number in values[name]]


@pytest.mark.parametrize("extra", [{}, {"pseudodata": PSEUDODATA}])
def test_cabinetry_reads_its_configuration_exactly(written, extra):
    run = make_run(**extra)
    folder = written(run)
    config = cabinetry.configuration.load("cabinetry.yml")
    cabinetry.templates.collect(config)
    found = collect_templates(run.layout, run.products)
    checked = 0
    for region in config["Regions"]:
        for sample in config["Samples"]:
            histo = cabinetry.histo.Histogram.from_config("histograms/", region, sample, {}, modified=False)
            wanted = found.content[region["Name"], sample["Name"], ""]
            assert histo.yields.tolist() == wanted.values().tolist()
            assert histo.stdev.tolist() == np.sqrt(wanted.variances()).tolist()
            for systematic in config["Systematics"]:
                affected = systematic["Samples"], systematic.get("Regions", region["Name"])
                if "VariationPath" not in systematic["Up"] or sample["Name"] not in affected[0] or sample.get("Data"):
                    continue
                for direction in ("Up", "Down"):
                    path = systematic[direction].get("VariationPath", "")[1:]
                    if path and region["Name"] in affected[1]:
                        histo = cabinetry.histo.Histogram.from_config(
                            "histograms/", region, sample, systematic, template=direction, modified=False
                        )
                        wanted = found.content[region["Name"], sample["Name"], path]
                        assert histo.yields.tolist() == wanted.values().tolist()
                        checked += 1
    assert checked == 2 * (3 * 2 + 2 + 1)  # btag up and down, pt_up, ME_var
    assert folder.joinpath("cabinetry.yml").read_text().startswith("# Written from")


def test_the_workspaces_of_cabinetry_and_ours_are_one_model(written):
    run = make_run(pseudodata=PSEUDODATA)
    folder = written(run)
    ours = json.loads((folder / "workspace.json").read_text())
    pyhf.schema.validate(ours, "workspace.json")
    theirs = build(cabinetry.configuration.load("cabinetry.yml"))
    models = [pyhf.Workspace(content).model(measurement_name="fit") for content in (ours, theirs)]
    one, other = models
    assert set(one.config.par_order) == set(other.config.par_order)
    assert list(one.config.channels) == list(other.config.channels)
    random = np.random.default_rng(3)
    for _ in range(20):
        values = {name: random.normal(1 if one.config.param_set(name).n_parameters > 1 else 0.5, 0.3,
                                      one.config.param_set(name).n_parameters) for name in one.config.par_order}  # fmt: skip
        yields = [expected(model, by_name(model, values)) for model in models]
        np.testing.assert_allclose(yields[0], yields[1], rtol=1e-12)
    data = [
        pyhf.Workspace(content).data(model, include_auxdata=False)
        for content, model in zip((ours, theirs), models, strict=True)
    ]
    assert data[0] == data[1]


def test_nominal_parameters_give_what_was_written(written):
    run = make_run()
    folder = written(run)
    workspace = pyhf.Workspace(json.loads((folder / "workspace.json").read_text()))
    model = workspace.model()
    found = collect_templates(run.layout, run.products)
    for channel in ("4j1b", "4j2b"):
        total = sum(found.content[channel, name, ""].values() for name in ("ttbar", "wjets", "single_top"))
        part = model.config.channel_slices[channel]
        np.testing.assert_allclose(expected(model, model.config.suggested_init())[part], total, rtol=1e-14)
    point = model.config.suggested_init()
    point[model.config.par_slice("btag").start] = 1.0
    for channel in ("4j1b", "4j2b"):
        total = sum(found.content[channel, name, "btag_up"].values() for name in ("ttbar", "wjets", "single_top"))
        np.testing.assert_allclose(expected(model, point)[model.config.channel_slices[channel]], total, rtol=1e-12)


def test_both_fit(written):
    run = make_run(pseudodata=())
    run.layout.templates = run.layout.templates.model_copy(
        update={"pseudodata": tuple(term.model_copy(update={"variation": ""}) for term in PSEUDODATA[:1])
                + tuple(type(PSEUDODATA[0])(sample=name) for name in ("wjets", "single_top"))}
    )  # fmt: skip
    folder = written(run)
    model, data = cabinetry.model_utils.model_and_data(build(cabinetry.configuration.load("cabinetry.yml")))
    fit = cabinetry.fit.fit(model, data)
    norm = fit.bestfit[fit.labels.index("ttbar_norm")]
    assert norm == pytest.approx(0.5, abs=0.05)  # half of ttbar is in the pseudodata
    pyhf.set_backend("numpy", "minuit")
    workspace = pyhf.Workspace(json.loads((folder / "workspace.json").read_text()))
    ours = workspace.model()
    best = pyhf.infer.mle.fit(workspace.data(ours), ours)
    assert best[ours.config.poi_index] == pytest.approx(norm, rel=1e-3)


CHALLENGE = """\
General: {Measurement: fit, POI: ttbar_norm, HistogramFolder: histograms/,
          InputPath: "templates.root:{RegionPath}_{SamplePath}{VariationPath}", VariationPath: ""}
Regions:
- {Name: control, RegionPath: 4j1b, Variable: observable}
- {Name: signal, RegionPath: 4j2b, Variable: observable}
Samples:
- {Name: Pseudodata, SamplePath: pseudodata, Data: true}
- {Name: ttbar, SamplePath: ttbar}
- {Name: wjets, SamplePath: wjets}
- {Name: st, SamplePath: single_top}
Systematics:
- {Name: ME, Type: NormPlusShape, Samples: ttbar, Up: {VariationPath: _ME_var}, Down: {Symmetrize: true}}
- {Name: pt, Type: NormPlusShape, Samples: [ttbar, st], Up: {VariationPath: _pt_up}, Down: {Symmetrize: true}}
- {Name: btag, Type: NormPlusShape, Up: {VariationPath: _btag_up}, Down: {VariationPath: _btag_down}}
- {Name: Luminosity, Type: Normalization, Up: {Normalization: 0.03}, Down: {Normalization: -0.03}}
NormFactors:
- {Name: ttbar_norm, Samples: ttbar, Nominal: 1, Bounds: [0, 10]}
"""


def test_the_keys_of_the_challenge_work(written):
    run = make_run(pseudodata=PSEUDODATA)
    written(run)
    config = yaml.safe_load(CHALLENGE)
    cabinetry.configuration.validate(config)
    workspace = build(config)
    found = collect_templates(run.layout, run.products)
    samples = {
        (channel["name"], sample["name"]): sample["data"]
        for channel in workspace["channels"]
        for sample in channel["samples"]
    }
    assert samples["signal", "ttbar"] == found.content["4j2b", "ttbar", ""].values().tolist()
    assert workspace["observations"][0]["data"] == found.content["4j1b", "pseudodata", ""].values().tolist()
    model, data = cabinetry.model_utils.model_and_data(workspace)
    assert np.isfinite(cabinetry.fit.fit(model, data).best_twice_nll)


def test_the_datacard_of_combine(written):
    run = make_run()
    folder = written(run)
    card = read_datacard(folder / "combine" / "datacard.txt")
    found = collect_templates(run.layout, run.products)
    assert card.numbers == {"ttbar": 0, "wjets": 1, "single_top": 2}
    assert set(card.effects) == {"lumi", "btag", "pt", "ME"}
    assert card.effects["lumi"] == ("lnN", dict.fromkeys(card.rates, "1.03"))
    assert set(card.effects["ME"][1]) == {("4j1b", "ttbar"), ("4j2b", "ttbar")}
    for (channel, process), rate in card.rates.items():
        assert rate == found.content[channel, process, ""].values().sum()
    shapes = {name: shape.values().tolist() for name, shape in card.shapes.items()}
    for channel in ("4j1b", "4j2b"):
        nominal = found.content[channel, "ttbar", ""].values()
        me = found.content[channel, "ttbar", "ME_var"].values()
        assert shapes[f"{channel}/data_obs"] == found.content[channel, "data", ""].values().tolist()
        assert shapes[f"{channel}/ttbar_btagDown"] == found.content[channel, "ttbar", "btag_down"].values().tolist()
        assert shapes[f"{channel}/ttbar_MEUp"] == me.tolist()
        assert shapes[f"{channel}/ttbar_MEDown"] == np.maximum(2 * nominal - me, 0).tolist()
    assert "# one direction is mirrored, 2 × nominal − the other, not below 0: pt ME" in (
        folder / "combine" / "datacard.txt"
    ).read_text()  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("imax 2", "imax 3"),
        ("kmax 4", "kmax 3"),
        ("jmax 2", "jmax 1"),
        ("\nbtag ", "\nbteg "),
        ("lnN", "lnX"),
        ("$CHANNEL/$PROCESS ", "$PROCESS "),
        ("observation  ", "observation  1"),
        ("shape  1", "shape  -"),
    ],
)
def test_the_reader_of_datacards_is_strict(written, old, new):
    path = written(make_run()) / "combine" / "datacard.txt"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(AssertionError):
        read_datacard(path)


def test_pyhf_and_the_datacard_have_the_same_nuisances(written):
    folder = written(make_run())
    card = read_datacard(folder / "combine" / "datacard.txt")
    model = pyhf.Workspace(json.loads((folder / "workspace.json").read_text())).model()
    free = {name for name in model.config.par_order if not name.startswith("staterror") and name != "ttbar_norm"}
    assert free == set(card.effects)


def test_variations_without_direction_in_one_group_are_nuisances_of_their_own():
    run = make_run()
    run.layout.variations = (
        *run.layout.variations[:2],
        PlanVariation(name="pt_up", group="model", datasets=("ttbar", "st_s")),
        PlanVariation(name="ME_var", group="model", replaces={"ttbar": "ttbar_ME"}),
    )
    found = nuisances(collect_templates(run.layout, run.products))
    assert [item.name for item in found] == ["btag", "pt_up", "ME_var"]


def test_a_mirrored_variation_that_only_goes_down():
    run = make_run()
    run.layout.variations = (run.layout.variations[1],)
    found = collect_templates(run.layout, run.products)
    (nuisance,) = nuisances(found)
    effect = nuisance.effect("4j1b", "ttbar")
    assert effect.mirrored
    assert effect.high.tolist() == (2 * effect.nominal - effect.low).tolist()


def test_files_of_a_limited_run_say_so_and_are_read(tmp_path, monkeypatch):
    extent = "first 1,000 events of each dataset"
    run = make_run(formats=("cabinetry", "combine", "pyhf"))
    notes = write_fit_files(run.layout, run.products, tmp_path, extent=extent)
    assert any(extent in note for note in notes)
    monkeypatch.chdir(tmp_path)
    assert (tmp_path / "combine" / "datacard.txt").read_text().startswith(f"# fit of the {extent}\n")
    read_datacard(tmp_path / "combine" / "datacard.txt")
    assert json.loads((tmp_path / "templates.json").read_text())["extent"] == extent
    content = json.loads((tmp_path / "workspace.json").read_text())
    assert pyhf.Workspace(content).get_measurement()["name"] == f"fit of the {extent}"
    built = build(cabinetry.configuration.load("cabinetry.yml"))
    assert [each["name"] for each in built["measurements"]] == [f"fit of the {extent}"]
