"""What a new process compiles for a GPU, and when: counted on the stand-in for CuPy."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import threading
from contextlib import nullcontext

import pytest

import fake_cupy
import fasthep_parsl as fp
import gpu_compilations
from fasthep_parsl.driver import api
from fasthep_parsl.modifiers import gpu_preload, gpu_start
from fasthep_parsl.ops import device
from fasthep_parsl.ops.gpu import cuda_kernels, precompile
from fasthep_parsl.resources.machine import Machine

REAL = importlib.util.find_spec("cupy") is not None
stand_in = pytest.mark.skipif(REAL, reason="CuPy is installed here: the stand-in would be mixed with it")
PRELOAD = ["execution.pools.default.modifiers=[gpu.preload]", "execution.pools.default.resources.gpus=1"]


@pytest.fixture(autouse=True)
def _forget(monkeypatch):
    monkeypatch.setattr(gpu_start, "_running", {})
    monkeypatch.setattr(gpu_preload, "_found", [])
    monkeypatch.setattr(device, "_streams", {})
    yield
    device.pop_counts()


@stand_in
def test_the_dimuon_analysis_waits_less_than_three_seconds_for_kernels(checkout, monkeypatch):
    """All that it needs is compiled beforehand; together that is little, and it needs nothing of CUB."""
    monkeypatch.setattr(api, "this_machine", lambda: Machine(cpus=4, memory=16_000_000_000, gpus=1))
    with fake_cupy.installed(), gpu_compilations.counted() as found:
        precompile.compile_all(nullcontext)
        before = dict(found.all)
        outcome = fp.run(
            checkout / "configs" / "dimuon.yaml",
            outdir=checkout / "cold",
            overrides=["execution.backend=local", *PRELOAD],
            plots=False,
        )
    assert outcome.exit_code == 0
    total = json.loads((checkout / "cold" / "gpu.preload" / "transfers.json").read_text())["total"]
    assert total["without_gpu"] == total["fallbacks"] == 0 < total["copies_up"]
    assert len([key for key in before if found.all[key] > before[key]]) > 40  # it did use them
    assert found.number("cub") == 0
    assert found.number("module") == 1
    assert (
        found.seconds < 7
    )  # of one core, half of that with headers parsed once: three on two cores, while files are read
    missing = [key for key in found.all if key not in before]
    assert len(missing) <= 8, missing  # 0.8 s


@stand_in
def test_what_ends_early_compiles_no_more(monkeypatch):
    with fake_cupy.installed(), gpu_compilations.counted() as found:
        left = iter([True, True])
        assert precompile.compile_all(nullcontext, wanted=lambda: next(left, False)) == 2
        assert 0 < len(found.all) < 9
        monkeypatch.setattr(cuda_kernels, "compile_all", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            precompile.compile_all(nullcontext)


def test_ops_wait_until_it_is_ready(monkeypatch):
    go, order = threading.Event(), []
    monkeypatch.setattr(gpu_start, "_installed", lambda: True)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def why_not():
        go.wait(30)
        order.append("looked")
        return "no GPU"

    gpu_start.begin(why_not)
    gpu_start.begin(why_not)  # once
    waiting = threading.Thread(target=lambda: (gpu_start.ready(), order.append("ready")))
    waiting.start()
    go.set()
    waiting.join(30)
    assert order == ["looked", "ready"]


def test_nothing_begins_without_a_gpu(monkeypatch):
    asked = []
    monkeypatch.setattr(gpu_start, "_installed", lambda: True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    gpu_start.begin(lambda: asked.append(1) or "")
    gpu_start.ready()
    monkeypatch.setattr(gpu_start, "_installed", lambda: False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    gpu_start.begin(lambda: asked.append(1) or "")
    gpu_start.ready()
    assert asked == []


def test_a_failure_is_left_to_the_op_that_meets_it(monkeypatch):
    monkeypatch.setattr(gpu_start, "_installed", lambda: True)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    gpu_start.begin(lambda: 1 / 0)
    gpu_start.ready()


WORKER = """
import sys, time
from pathlib import Path
from fasthep_parsl.driver import api
from fasthep_parsl.modifiers import gpu_start
folder = Path(sys.argv[1])
with gpu_start.compiling(folder, "x"):
    with open(folder / "log", "a") as log:
        log.write(f"in {sys.argv[2]}\\n"); log.flush()
        if sys.argv[2] == "first":
            sys.stdin.read()
        log.write(f"out {sys.argv[2]}\\n")
"""


@pytest.mark.integration
@pytest.mark.parametrize("killed", [False, True])
def test_one_worker_of_a_node_compiles(tmp_path, killed):
    """The others wait for it; if it is killed, the next one compiles."""
    log = tmp_path / "log"
    log.touch()

    def start(name):
        return subprocess.Popen([sys.executable, "-c", WORKER, tmp_path, name], stdin=subprocess.PIPE)

    first = start("first")
    while "in first" not in log.read_text():
        assert first.poll() is None
    second = start("second")
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(1.5)
    if killed:
        first.kill()
    first.stdin.close()
    first.wait(60)
    assert second.wait(60) == 0
    second.stdin.close()
    expected = (
        ["in first", "in second", "out second"] if killed else ["in first", "out first", "in second", "out second"]
    )
    assert [line for line in log.read_text().splitlines() if line] == expected
    assert (tmp_path / "fasthep-x.ready").exists()
    third = start("third")  # nothing to wait for
    assert third.wait(60) == 0
    third.stdin.close()


def test_a_folder_without_locks_hinders_nobody(tmp_path):
    with gpu_start.compiling(tmp_path / "missing", "x"):
        pass
    assert list(tmp_path.iterdir()) == []
