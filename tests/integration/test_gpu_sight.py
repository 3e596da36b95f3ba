"""Workers see the GPUs of their pool and no others. The machine's are an ``nvidia-smi`` of the test's own."""

from __future__ import annotations

import os

import pytest

import fasthep_parsl
from fasthep_parsl.driver import api
from fasthep_parsl.resources.hidden import NO_GPUS

SMI = """#!/bin/sh
case "$1" in
-L) echo "GPU 0: Test"; echo "GPU 1: Test" ;;
*) echo "<log><driver_version>580</driver_version><gpu id=0><uuid>GPU-a</uuid></gpu><gpu id=1><uuid>GPU-b</uuid></gpu></log>"
esac
"""


@pytest.fixture(autouse=True)
def _machine(tmp_path, monkeypatch):
    """A machine with two GPUs, all of which the driver sees."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "nvidia-smi").write_text(SMI)
    (tmp_path / "bin" / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    api.this_machine.cache_clear()
    yield
    api.this_machine.cache_clear()


def seen(write_flow, tmp_path, pool, init=()):
    """Return what workers of `pool` have in their environment, on a machine with two GPUs."""
    flow = write_flow(tmp_path / "flow", ("Sight", "fault.sight", {"names": sorted(NO_GPUS)}), default=pool)
    plan = fasthep_parsl.compile_plan(flow, chunk_size=25)
    pools = tuple(pool.model_copy(update={"worker_init": tuple(init)}) for pool in plan.pools)
    outcome = fasthep_parsl.run(plan.model_copy(update={"pools": pools}), outdir=tmp_path / "run", plots=False)
    assert outcome.status == "complete", outcome.summary
    return outcome.products["Sight", "sight"]


def test_a_pool_without_gpus_sees_none(write_flow, tmp_path):
    assert seen(write_flow, tmp_path, {"workers": 1}) == [NO_GPUS]


def test_whatever_worker_init_says(write_flow, tmp_path):
    init = ["export CUDA_VISIBLE_DEVICES=0 HIP_VISIBLE_DEVICES=0"]
    assert seen(write_flow, tmp_path, {"workers": 1}, init=init) == [NO_GPUS]


def test_a_pool_with_gpus_sees_its_own(write_flow, tmp_path):
    found = seen(write_flow, tmp_path, {"workers": 2, "resources": {"gpus": 1}})
    assert {row["CUDA_VISIBLE_DEVICES"] for row in found} <= {"GPU-a", "GPU-b"}
    assert all(row["HIP_VISIBLE_DEVICES"] is None for row in found)
