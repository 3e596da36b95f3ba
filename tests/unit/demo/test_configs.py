"""The shipped workflows do what they say: on demo data, and on real NanoAOD with only the data section changed."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import uhi.io.json
from hist import Hist

import fake_cupy
import fasthep_parsl as fp
from fasthep_parsl.demo import write_demo_data
from fasthep_parsl.ops import device
from fasthep_parsl.ops.stream import Events

ROOT = Path(__file__).parents[3]
REAL = Path(os.environ.get("FASTHEP_TEST_DATA", ROOT.parent / "shared" / "data"))
REAL_FILES = {
    "NanoAODv5_sample.root": 1000,
    "nano_dy.root": 40,
    "nano_tt_v12.root": 200,
    "nanoAOD_2015_CMS_Open_Data_ttbar.root": 200,
}
HISTOGRAMS = ("DimuonMass", "DimuonPt", "LeadingMuonPt", "SubleadingMuonPt", "MuonEta", "MissingPt")
LOCAL = ["execution.backend=local"]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A folder like the repository after ``make demo``."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "configs", folder / "configs")
    write_demo_data(folder / "demo" / "data", 4000)
    return folder


def load_module(path: Path):
    spec = importlib.util.spec_from_file_location(f"tested_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def read_hist(outdir: Path, stage: str) -> Hist:
    text = (outdir / "results" / stage / "hist.json").read_text()
    return Hist(json.loads(text, object_hook=uhi.io.json.object_hook))


@pytest.fixture(scope="module")
def dimuon(checkout):
    outdir = checkout / "run-dimuon"
    outcome = fp.run(checkout / "configs" / "dimuon.yaml", outdir=outdir, overrides=LOCAL, chunk_size=500, plots=False)
    assert outcome.exit_code == 0
    return outdir


@pytest.mark.slow
def test_dimuon_equals_the_handwritten_loop(checkout, dimuon):
    handwritten = load_module(ROOT / "benchmarks" / "handwritten.py")
    expected = handwritten.run(checkout / "demo" / "data", 700)
    for stage in HISTOGRAMS:
        found = read_hist(dimuon, stage)
        for number, dataset in enumerate(handwritten.DATASETS):
            values = found[{"dataset": dataset}].values(flow=True)
            np.testing.assert_allclose(values, expected["values"][stage][number], rtol=1e-12, atol=1e-9)
    rows = {}
    for stage in ("Preselection", "Selection"):
        for line in (dimuon / "results" / stage / "cutflow.csv").read_text().splitlines():
            for dataset in handwritten.DATASETS:
                if f"{dataset}," in line:
                    rows.setdefault(dataset, []).append(line)
    for dataset, cuts in expected["cutflow"].items():
        text = "\n".join(rows[dataset])
        assert all(f",{int(passed)}," in text for passed, _ in cuts)


def test_dimuon_has_a_z_peak_in_every_z_dataset(dimuon):
    mass = read_hist(dimuon, "DimuonMass")
    for dataset in ("data", "dy", "zz"):
        values = mass[{"dataset": dataset}].values()
        assert 88 < np.average(mass.axes["mass"].centers, weights=values) < 93
        assert values[26:36].sum() > 0.6 * values.sum()  # 86 to 96 GeV


@pytest.mark.parametrize("name", REAL_FILES)
def test_dimuon_reads_real_nanoaod(tmp_path, name):
    if not (REAL / name).exists():
        pytest.skip(f"no real NanoAOD at {REAL / name}")
    text = (ROOT / "configs" / "dimuon.yaml").read_text()
    start, end = text.index("  datasets:\n"), text.index("sources:")
    changed = f"{text[:start]}  datasets: [{{name: real, files: [{REAL / name}]}}]\n\n{text[end:]}"
    workflow = tmp_path / "dimuon.yaml"
    workflow.write_text(changed)
    outcome = fp.run(workflow, outdir=tmp_path / "run", overrides=LOCAL, plots=False)
    assert outcome.exit_code == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "complete"
    cutflow = (tmp_path / "run" / "results" / "Preselection" / "cutflow.csv").read_text()
    assert f",{REAL_FILES[name]}," in cutflow


def test_heterogeneous_trains_and_indexes(checkout):
    outdir = checkout / "run-heterogeneous"
    workflow = checkout / "configs" / "heterogeneous.yaml"
    plan = fp.compile_plan(workflow, overrides=LOCAL)
    assert plan.stage("EventIndex").pool == "high_memory"
    assert plan.stage("Train").pool == "default"
    outcome = fp.run(workflow, outdir=outdir, overrides=LOCAL, plots=False)
    assert outcome.exit_code == 0
    index = json.loads((outdir / "results" / "EventIndex" / "index.json").read_text())
    assert (index["events"], index["repeated"]) == (plan.entries, 0)
    score = read_hist(outdir, "TopScore")
    means = {
        name: np.average(score.axes["score"].centers, weights=score[{"dataset": name}].values())
        for name in ("dy", "ttbar")
    }
    assert means["dy"] < 0.25
    assert means["ttbar"] > 0.75


@pytest.mark.slow
def test_gpu_inference_finds_top_pairs_anywhere(checkout):
    device.pop_counts()  # of other tests in this process
    outdir = checkout / "run-gpu-inference"
    workflow = checkout / "configs" / "gpu_inference.yaml"
    plan = fp.compile_plan(workflow, overrides=LOCAL)
    assert plan.stage("Train").pool == plan.stage("Score").pool == "default"
    outcome = fp.run(workflow, outdir=outdir, overrides=LOCAL, chunk_size=300, plots=False)
    assert outcome.exit_code == 0
    score = read_hist(outdir, "TopScore")
    means = {
        name: np.average(score.axes["score"].centers, weights=score[{"dataset": name}].values())
        for name in ("data", "dy", "ttbar", "zz")
    }
    assert means["ttbar"] > 0.8
    assert max(means["data"], means["dy"], means["zz"]) < 0.25  # data are Z bosons nearly all
    moved = json.loads((outdir / "gpu.preload" / "transfers.json").read_text())
    assert moved["stages"].keys() == {"Train", "Score"}
    assert moved["total"]["without_gpu"] == moved["total"]["calls"] > 0


@pytest.mark.parametrize("pieces", [[100, 250], [1, 499]])
def test_the_network_does_not_depend_on_chunks(pieces):
    ops = load_module(ROOT / "configs" / "gpu_inference_ops.py")
    rng = np.random.default_rng(3)
    truth = np.repeat([0.0, 1.0, ops.UNKNOWN], [250, 200, 50])
    columns = {"a": rng.exponential(1 + (truth == 1), 500), "b": rng.exponential(size=500), "truth": truth}
    whole = Events(columns, 500)
    cuts = [whole[part] for part in np.split(np.arange(500), pieces)]
    one, many = (ops.train(chunks, features=["a", "b"], target="truth", steps=50) for chunks in ([whole], cuts))
    assert one == many
    assert one["events"] == 450
    assert one["loss"] < 0.69  # that of a guess is log 2
    asked = {"output": "s", "features": ["a", "b"], "model": one}
    score = ops.infer(whole, **asked)["s"]
    assert np.array_equal(score, np.concatenate([ops.infer(cut, **asked)["s"] for cut in cuts]))
    assert score[truth == 1].mean() > score[truth == 0].mean() + 0.05


def test_training_stays_on_the_gpu_and_finds_the_same():
    """On arrays that NumPy cannot look into: one column each goes up, nothing comes back before the model."""
    ops = load_module(ROOT / "configs" / "gpu_inference_ops.py")
    rng = np.random.default_rng(3)
    truth = np.repeat([0.0, 1.0, ops.UNKNOWN], [250, 200, 50])
    events = Events({"a": rng.exponential(1 + (truth == 1), 500), "b": rng.exponential(size=500), "truth": truth}, 500)
    asked = {"features": ["a", "b"], "target": "truth", "steps": 20}
    expected = ops.train([events], **asked)
    with fake_cupy.installed():
        found = ops.train([events.on_gpu(["a", "b", "truth"])], **asked)
        assert fake_cupy.stats["copies_up"] == 3 + 4  # the columns, and the layers before training
    assert found.pop("device") == "cupy"
    assert expected.pop("device") == "numpy"
    assert found == expected


@pytest.mark.parametrize("truth", [0.0, 1.0, -1.0])
def test_the_network_needs_both_classes(truth):
    ops = load_module(ROOT / "configs" / "gpu_inference_ops.py")
    events = Events({"a": np.ones(4), "truth": np.full(4, truth)}, 4)
    with pytest.raises(ValueError, match="truth = 0 and = 1"):
        ops.train([events], features=["a"], target="truth")
    with pytest.raises(ValueError, match="needs events"):
        ops.train([], features=["a"], target="truth")


def test_training_does_not_depend_on_chunks():
    ops = load_module(ROOT / "configs" / "heterogeneous_ops.py")
    rng = np.random.default_rng(3)
    truth = (rng.random(500) < 0.4).astype(float)
    columns = {"a": rng.normal(truth, 1), "b": rng.normal(size=500), "truth": truth}
    whole = Events(columns, 500)
    pieces = [whole[np.arange(250, 500)], whole[np.arange(0, 100)], whole[np.arange(100, 250)]]
    one = ops.train([whole], features=["a", "b"], target="truth")
    many = ops.train(pieces, features=["a", "b"], target="truth")
    assert one == many
    score = ops.score(whole, output="s", features=["a", "b"], model=one)["s"]
    assert np.mean(score[truth == 1]) > np.mean(score[truth == 0]) + 0.1
    with pytest.raises(ValueError, match="truth = 0 and = 1"):
        ops.train([], features=["a", "b"], target="truth")


def test_index_counts_repeated_events():
    ops = load_module(ROOT / "configs" / "heterogeneous_ops.py")
    columns = {"run": np.array([2, 1, 2]), "luminosityBlock": np.array([1, 1, 1]), "event": np.array([7, 7, 7])}
    found = ops.event_index([Events(columns, 3)])
    assert found == {"events": 3, "repeated": 1, "events_per_run": {"1": 1, "2": 2}}
    assert ops.event_index([])["events"] == 0
