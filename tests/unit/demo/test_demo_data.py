"""The demo data look like NanoAOD, hold some physics, and are the same for the same seed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from fasthep_parsl.demo import DATASETS, write_demo_data
from fasthep_parsl.demo.nanoaod import BRANCHES, COLLECTIONS
from fasthep_parsl.error_codes import CODES
from fasthep_parsl.errors import ConfigError

EVENTS = 20_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "new" / "data"
    write_demo_data(folder, EVENTS, seed=5)
    return folder


def read(folder: Path, dataset: str) -> ak.Array:
    return uproot.concatenate([f"{path}:Events" for path in sorted(folder.glob(f"{dataset}_*.root"))])


def dimuon_masses(events: ak.Array, *, opposite: bool = True) -> np.ndarray:
    good = (events.Muon_pt > 20) & events.Muon_tightId & (events.Muon_pfRelIso04_all < 0.15)
    fields = {name: events[f"Muon_{name}"][good] for name in ("pt", "eta", "phi", "charge")}
    first, second = ak.unzip(ak.combinations(ak.zip(fields), 2))
    squared = 2 * first.pt * second.pt * (np.cosh(first.eta - second.eta) - np.cos(first.phi - second.phi))
    wanted = (first.charge * second.charge < 0) == opposite
    return np.sqrt(ak.to_numpy(ak.flatten(squared[wanted])))


def test_every_event_is_written_once(folder):
    keys = [read(folder, name)[["run", "luminosityBlock", "event"]] for name in DATASETS]
    assert sum(map(len, keys)) == EVENTS
    together = np.concatenate([np.stack([ak.to_numpy(key[f]) for f in key.fields], axis=1) for key in keys])
    assert len(np.unique(together, axis=0)) == EVENTS
    for name, share in DATASETS.items():
        assert len(read(folder, name)) == pytest.approx(share * EVENTS, abs=1)


def test_names_and_types_are_those_of_nanoaod(folder):
    data_folder = Path(os.environ.get("FASTHEP_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))
    real_file = data_folder / "NanoAODv5_sample.root"
    if not real_file.exists():
        pytest.skip(f"no real NanoAOD at {real_file}")
    with uproot.open(folder / "dy_000.root") as ours, uproot.open(real_file) as real:
        for name, branch in ours["Events"].items():
            expected = real["Events"][name].typename
            if name.startswith("n"):  # uproot writes counters as int32_t
                assert (branch.typename, expected) == ("int32_t", "uint32_t")
            else:
                assert branch.typename == expected, name


def test_files_have_counters_and_zstd(folder):
    with uproot.open(folder / "dy_000.root") as file:
        tree = file["Events"]
        jagged = {f"{name}_{field}" for name, fields in COLLECTIONS.items() for field in fields}
        assert set(tree.keys()) == set(BRANCHES) | jagged | {f"n{name}" for name in COLLECTIONS}
        assert tree.compressed_bytes < 0.8 * tree.uncompressed_bytes
        events = tree.arrays()
    assert b"ZS\x01" in (folder / "dy_000.root").read_bytes()  # how a zstd basket begins
    for name in COLLECTIONS:
        assert ak.all(events[f"n{name}"] == ak.num(events[f"{name}_pt"]))
        assert ak.all(events[f"{name}_pt"][:, :-1] >= events[f"{name}_pt"][:, 1:])


def test_z_peak_comes_from_opposite_charges(folder):
    z, top = dimuon_masses(read(folder, "dy")), dimuon_masses(read(folder, "ttbar"))
    assert 90 < np.median(z) < 92
    assert np.mean(abs(z - 91.2) < 5) > 0.6
    assert np.mean(abs(top - 91.2) < 5) < 0.15
    assert len(dimuon_masses(read(folder, "dy"), opposite=False)) < 0.01 * len(z)


def test_weights_describe_the_data(folder):
    simulated = {name: read(folder, name).genWeight for name in ("dy", "ttbar", "zz")}
    total = sum(ak.sum(weights) for weights in simulated.values())
    assert total == pytest.approx(len(read(folder, "data")), rel=0.02)
    assert 0.1 < np.mean(simulated["dy"] < 0) < 0.2
    assert ak.all(read(folder, "data").genWeight == 1)


def test_trigger_needs_a_hard_muon(folder):
    events = read(folder, "dy")
    hardest = ak.fill_none(ak.max(events.Muon_pt, axis=1), 0)
    assert np.mean(events.HLT_IsoMu24[hardest < 18]) < 0.01
    assert 0.85 < np.mean(events.HLT_IsoMu24[hardest > 35]) < 1


@pytest.mark.slow
def test_same_seed_same_events(folder, tmp_path):
    again, other = tmp_path / "again", tmp_path / "other"
    write_demo_data(again, EVENTS, seed=5, threads=1)
    write_demo_data(other, EVENTS, seed=6)
    for name in DATASETS:
        assert ak.array_equal(read(again, name), read(folder, name))
    assert not ak.array_equal(read(other, "dy").Muon_pt, read(folder, "dy").Muon_pt)


def test_big_datasets_are_cut_into_files(tmp_path):
    done = []
    files = write_demo_data(tmp_path, 1000, datasets={"dy": 3, "zz": 1}, file_events=300, progress=done.append)
    assert [path.name for path in files] == ["dy_000.root", "dy_001.root", "dy_002.root", "zz_000.root"]
    assert [uproot.open(path)["Events"].num_entries for path in files] == [250, 250, 250, 250]
    assert sum(done) == 1000
    assert not set(read(tmp_path, "dy").event) & set(read(tmp_path, "zz").event)


def test_one_event_and_wide_files(tmp_path):
    (path,) = write_demo_data(tmp_path, 1, triggers=3)
    with uproot.open(path) as file:
        assert file["Events"].num_entries == 1
        assert "HLT_Path002" in file["Events"]


def test_own_files_are_replaced_and_stale_ones_removed(tmp_path):
    write_demo_data(tmp_path, 400, file_events=50)
    (tmp_path / ".demo-data-killed").mkdir()
    files = write_demo_data(tmp_path, 200)
    expected = {path.name for path in files} | {"demo-data.json"}
    assert {path.name for path in tmp_path.iterdir()} == expected
    assert set(json.loads((tmp_path / "demo-data.json").read_text())["files"]) == expected - {"demo-data.json"}


@pytest.mark.slow
def test_relative_folder(tmp_path, monkeypatch):
    """`tempfile.mkdtemp` gives the path as it was named up to Python 3.11, an absolute one since."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    killed = Path("../new/.demo-data-left")
    for folder in ("../new", "../new/.", "deep/er"):
        files = write_demo_data(folder, 400, seed=1)
        assert sum(len(uproot.open(path)["Events"].arrays("run")) for path in files) == 400
        assert all(not path.is_absolute() for path in files)
        assert {path.name for path in Path(folder).iterdir()} == {"demo-data.json", *(path.name for path in files)}
        killed.mkdir(exist_ok=True)  # the next call is the one that clears it away


def test_other_files_are_never_touched(tmp_path):
    thesis = tmp_path / "dy_000.root"
    thesis.write_text("my thesis")
    with pytest.raises(ConfigError, match="dy_000") as caught:
        write_demo_data(tmp_path, 100)
    assert caught.value.problems[0].code == "E172"
    assert thesis.read_text() == "my thesis"
    assert list(tmp_path.iterdir()) == [thesis]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"events": 0}, "`events` must be at least 1, got `0`"),
        ({"events": -5}, "got `-5`"),
        ({"events": 10, "seed": -1}, "`seed` must be at least 0"),
        ({"events": 10, "threads": 0}, "`threads` must be at least 1"),
        ({"events": 10, "file_events": 0}, "file_events"),
        ({"events": 10, "triggers": -1}, "triggers"),
        ({"events": 10, "datasets": {"ttbr": 1}}, "did you mean `ttbar`"),
        ({"events": 10, "datasets": {}}, "no datasets to write"),
        ({"events": 10, "datasets": {"dy": 0, "zz": 0}}, "all shares of the datasets are 0"),
        ({"events": 10, "datasets": {"dy": -1, "zz": 2}}, "share of dataset `dy` must be a number from 0 on, got `-1`"),
        ({"events": 10, "datasets": {"dy": float("nan")}}, "share of dataset `dy` .* got `nan`"),
    ],
)
def test_bad_arguments_write_nothing(tmp_path, arguments, message):
    with pytest.raises(ConfigError, match=message) as caught:
        write_demo_data(tmp_path / "new", **arguments)
    assert not (tmp_path / "new").exists()
    assert {problem.code for problem in caught.value.problems} <= set(CODES)


def test_a_file_or_a_closed_folder_is_refused(tmp_path):
    blocker = tmp_path / "blocker"
    blocker.write_text("")
    for path, code in ((blocker, "E172"), (blocker / "below", "E173")):
        with pytest.raises(ConfigError) as caught:
            write_demo_data(path, 10)
        (problem,) = caught.value.problems
        assert problem.code == code
        assert f"`{blocker}` is a file" in problem.message


def test_a_damaged_manifest_is_named_and_not_the_files_that_it_lists(tmp_path):
    write_demo_data(tmp_path, 100)
    (tmp_path / "demo-data.json").write_text("{")
    with pytest.raises(ConfigError) as caught:
        write_demo_data(tmp_path, 100)
    (problem,) = caught.value.problems
    assert problem.code == "E172"
    assert f"`{tmp_path / 'demo-data.json'}` is damaged" in problem.message
    assert ".root`" not in problem.message


def test_an_error_of_the_progress_callback_is_not_blamed_on_the_directory(tmp_path):
    def broken(_events):
        raise BrokenPipeError("the terminal has gone")

    with pytest.raises(BrokenPipeError, match="the terminal has gone"):
        write_demo_data(tmp_path, 100, progress=broken)
    assert list(tmp_path.iterdir()) == []


def test_a_full_or_readonly_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(*_args, **_keywords):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(uproot, "recreate", full)
    with pytest.raises(ConfigError) as caught:
        write_demo_data(tmp_path, 100)
    (problem,) = caught.value.problems
    assert problem.code == "E173"
    assert f"the disk of {tmp_path} is full" in problem.message
    assert "that you can write to" not in problem.hint
    assert list(tmp_path.iterdir()) == []


def test_importing_it_is_light():
    heavy = ["awkward", "uproot", "numba", "hist", "parsl"]
    code = f"import sys, fasthep_parsl.demo; print(*(name for name in {heavy} if name in sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []
