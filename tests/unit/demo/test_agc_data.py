"""The demo data of the Analysis Grand Challenge: its samples and branches, both regions filled, top quarks in them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from typer.testing import CliRunner

from fasthep_parsl.cli.app import app
from fasthep_parsl.demo import write_demo_data
from fasthep_parsl.demo.agc import AGC_BRANCHES, AGC_COLLECTIONS, AGC_SHARES
from fasthep_parsl.demo.recipes import RECIPES
from fasthep_parsl.errors import ConfigError

REAL = Path(os.environ.get("FASTHEP_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))
REAL_FILE = REAL / "nanoAOD_2015_CMS_Open_Data_ttbar.root"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("agc")
    write_demo_data(folder, 12_000, like="agc", seed=2)
    return folder


def read(folder: Path, sample: str) -> ak.Array:
    return uproot.concatenate([f"{path}:Events" for path in sorted(folder.glob(f"{sample}_[0-9]*.root"))])


def good_jets(events: ak.Array) -> ak.Array:
    jets = ak.zip({name: events[f"Jet_{name}"] for name in AGC_COLLECTIONS["Jet"]})
    return jets[(jets.pt > 30) & (abs(jets.eta) < 2.4) & (jets.jetId >= 4)]


def leptons(events: ak.Array) -> np.ndarray:
    electrons = (events.Electron_pt > 30) & (events.Electron_cutBased == 4) & (events.Electron_sip3d < 4)
    muons = (events.Muon_pt > 30) & events.Muon_tightId & (events.Muon_pfRelIso04_all < 0.15)
    return ak.to_numpy(ak.sum(electrons, axis=1) + ak.sum(muons, axis=1))


def test_every_sample_fills_both_regions(folder):
    total = 0
    for sample, share in AGC_SHARES.items():
        events = read(folder, sample)
        total += len(events)
        assert len(events) == pytest.approx(share * 12_000, abs=1)
        jets = good_jets(events)
        selected = (leptons(events) == 1) & ak.to_numpy(ak.num(jets) >= 4)
        tags = ak.to_numpy(ak.sum(jets.btagCSVV2 > 0.5, axis=1))[selected]
        assert np.sum(tags == 1) >= 3, sample
        assert np.sum(tags >= 2) >= 3, sample
    assert total == 12_000


def test_top_pairs_look_like_top_pairs(folder):
    events = read(folder, "ttbar_nominal")
    number = leptons(events)
    assert 0.1 < np.mean(number == 1) < 0.35
    jets = good_jets(events)
    assert 3.5 < ak.mean(ak.num(jets)) < 5
    light = jets[jets.btagCSVV2 < 0.5]
    first, second = ak.unzip(ak.combinations(light, 2))
    squared = 2 * first.pt * second.pt * (np.cosh(first.eta - second.eta) - np.cos(first.phi - second.phi))
    found, edges = np.histogram(np.sqrt(ak.to_numpy(ak.flatten(squared))), bins=20, range=(20, 220))
    assert 70 <= edges[np.argmax(found)] <= 90  # the W boson


def test_names_and_types_are_those_of_the_open_data(folder):
    if not REAL_FILE.exists():
        pytest.skip(f"no real NanoAOD at {REAL_FILE}")
    with uproot.open(folder / "ttbar_nominal_000.root") as ours, uproot.open(REAL_FILE) as real:
        jagged = {f"{name}_{field}" for name, fields in AGC_COLLECTIONS.items() for field in fields}
        counters = {f"n{name}" for name in AGC_COLLECTIONS}
        assert set(ours["Events"].keys()) == set(AGC_BRANCHES) | jagged | counters
        for name, branch in ours["Events"].items():
            if name not in counters:  # uproot writes int32_t, NanoAOD has uint32_t
                assert branch.typename == real["Events"][name].typename, name
        values = set(ak.flatten(ours["Events"]["Jet_jetId"].array()))
        assert values == set(ak.flatten(real["Events"]["Jet_jetId"].array()))


@pytest.mark.slow
def test_same_seed_same_events_and_one_number_per_event(folder, tmp_path):
    write_demo_data(tmp_path / "again", 12_000, like="agc", seed=2, threads=1)
    write_demo_data(tmp_path / "other", 12_000, like="agc", seed=3)
    numbers = []
    for sample in AGC_SHARES:
        events = read(folder, sample)
        assert ak.array_equal(read(tmp_path / "again", sample), events)
        numbers.append(ak.to_numpy(events.event))
    assert len(np.unique(np.concatenate(numbers))) == 12_000
    assert not ak.array_equal(read(tmp_path / "other", "wjets").Jet_pt, read(folder, "wjets").Jet_pt)


def test_corrections_are_written_with_the_data(folder):
    (correction,) = json.loads((folder / "corrections.json").read_text())["corrections"]
    assert correction["name"] == "event_systematics"
    assert [(each["name"], each["type"]) for each in correction["inputs"]] == [
        ("syst_name", "string"),
        ("direction", "string"),
        ("pt", "real"),
    ]
    assert "corrections.json" in json.loads((folder / "demo-data.json").read_text())["files"]


def test_corrections_are_what_correctionlib_computes(folder):
    correctionlib = pytest.importorskip("correctionlib")
    evaluate = correctionlib.CorrectionSet.from_file(str(folder / "corrections.json"))["event_systematics"].evaluate
    pt = np.array([30.0, 50.0, 200.0])
    np.testing.assert_allclose(evaluate("btag_var", "up", pt), 1 + 0.075 * pt / 50, rtol=1e-15)
    np.testing.assert_allclose(evaluate("btag_var", "down", pt), 1 - 0.075 * pt / 50, rtol=1e-15)
    assert (evaluate("scale_var", "up", 0.0), evaluate("scale_var", "down", 0.0)) == (1.025, 0.975)


def test_the_command_writes_them(tmp_path):
    result = CliRunner().invoke(app, ["demo-data", "--like", "agc", str(tmp_path / "new"), "--events", "500"])
    assert result.exit_code == 0, result.output
    assert {path.name for path in (tmp_path / "new").glob("*.json")} == {
        "demo-data.json",
        "corrections.json",
        "bdt_trained_on_even.json",
        "bdt_trained_on_odd.json",
    }
    wrong = CliRunner().invoke(app, ["demo-data", "--like", "adl", str(tmp_path / "new")])
    assert wrong.exit_code == 2
    for like in RECIPES:
        assert like in wrong.output


def test_an_unknown_analysis_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no demo data are like `agcc`") as caught:
        write_demo_data(tmp_path / "new", 10, like="agcc")
    assert "agc" in str(caught.value.problems[0].hint)
    with pytest.raises(ConfigError, match="unknown demo dataset `dy`"):
        write_demo_data(tmp_path / "new", 10, like="agc", datasets={"dy": 1})
    assert not (tmp_path / "new").exists()
