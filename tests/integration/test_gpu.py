"""What runs on a GPU if there is one: the shipped workflow and the benchmark; and what the benchmark does without."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fasthep_parsl.modifiers.gpu_preload import why_not

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "bench_gpu.py"


@pytest.fixture
def gpu():
    """Skip without a GPU, with the reason."""
    if missing := why_not():
        pytest.skip(f"no GPU: {missing}")


def benchmark(*arguments):
    command = [sys.executable, str(BENCHMARK), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)


def test_the_benchmark_s_ways_without_a_gpu_agree():
    done = benchmark("--events", "20000", "--cpu")
    assert done.returncode == 0, done.stderr
    assert "20,000 events" in done.stdout


def test_the_benchmark_says_what_is_missing():
    if not why_not():
        pytest.skip("there is a GPU")
    done = benchmark("--events", "1000")
    assert done.returncode == 3
    assert done.stderr.startswith("no GPU here: ")
    assert "Traceback" not in done.stderr


def results(run_dir):
    found = {path.parent.name: json.loads(path.read_text()) for path in (run_dir / "results").glob("*/*.json")}
    return found, json.loads((run_dir / "gpu.preload" / "transfers.json").read_text())["total"]


@pytest.mark.gpu
@pytest.mark.parametrize("backend", ["local", "parsl"])
def test_the_shipped_workflow_finds_the_same_on_a_gpu(gpu, checkout, backend):
    """The network is trained in another order of sums, so its weights agree to digits, and counts nearly all."""
    command = [sys.executable, "-m", "fasthep_parsl", "run", "configs/gpu_inference.yaml", "--no-plots"]
    ways = {f"gpu-{backend}": [], f"cpu-{backend}": ["--set", "execution.pools.gpu.resources.gpus=99"]}
    for outdir, more in ways.items():
        where = ["--backend", backend, "--outdir", outdir, *more]
        subprocess.run([*command, *where], cwd=checkout, check=True, capture_output=True, timeout=250)
    (found, moved), (expected, not_moved) = (results(checkout / outdir) for outdir in ways)
    assert moved["bytes_up"] > 0 == moved["without_gpu"]
    assert not_moved["bytes_up"] == 0 < not_moved["without_gpu"]
    assert found["Train"]["device"] == "cupy"
    for name in ("center", "scale"):
        np.testing.assert_allclose(found["Train"][name], expected["Train"][name], rtol=1e-12)
    for name in ("into", "bias", "out", "offset"):
        np.testing.assert_allclose(found["Train"][name], expected["Train"][name], rtol=1e-6, atol=1e-6)
    assert found["Preselection"] == expected["Preselection"]


@pytest.mark.gpu
def test_the_benchmark_agrees_on_a_gpu(gpu):
    done = benchmark("--events", "1000000")
    assert "in other bins than on the CPU" in done.stdout, done.stderr
    assert done.returncode in {0, 2}, done.stderr  # 2: slower than wanted; here it is about results
    print(done.stdout)
