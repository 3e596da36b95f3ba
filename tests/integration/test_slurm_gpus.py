"""GPUs on a Slurm cluster: each worker sees those that Slurm has given it, alone or shared, and says what they are.

The cluster's GPUs are counted and assigned, they do not compute; an ``nvidia-smi`` of the test's own speaks for them.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter

import pytest

from fasthep_parsl.resources.hidden import NO_GPUS
from integration.cluster_runs import ClusterRun, write_site

pytestmark = pytest.mark.slurm

QUEUES = {"gpu": {"node": {"cpus": 8, "memory": "64GB", "gpus": 2}, "walltime": "1d"}}
UUIDS = [f"GPU-{number}{'0' * 7}-0000-1111-2222-333344445555" for number in range(2)]
SMI = """#!/bin/sh
case "$1" in
-L) echo "GPU 0: Test"; echo "GPU 1: Test" ;;
*)
    echo "<nvidia_smi_log><driver_version>580.1</driver_version><cuda_version>13.0</cuda_version>"
    for number in 0 1; do
        echo "<gpu id=\\"$number\\"><product_name>Test</product_name>"
        echo "<uuid>GPU-${number}0000000-0000-1111-2222-333344445555</uuid>"
        echo "<fb_memory_usage><total>1000 MiB</total></fb_memory_usage></gpu>"
    done
    echo "</nvidia_smi_log>" ;;
esac
"""


@pytest.fixture
def started(slurm, write_flow, tmp_path):
    """Start a run on GPU workers; with the text of ``nvidia-smi`` if there is to be one."""

    def start(workers, sharing, smi=""):
        pool = {"workers": workers, "workers_per_gpu": sharing, "resources": {"cpus": 1, "memory": "1GB", "gpus": 1}}
        stages = (("Sleep", "fault.sleep", {"seconds": 0.3}), ("Seats", "fault.seats", {}))
        flow = write_flow(tmp_path, *stages, default=pool)
        init = []
        if smi:
            (tmp_path / "bin").mkdir()
            (tmp_path / "bin" / "nvidia-smi").write_text(smi)
            (tmp_path / "bin" / "nvidia-smi").chmod(0o755)
            init = [f'export PATH="{tmp_path}/bin:$PATH"']
        site = write_site(tmp_path, "generic_slurm", queues=QUEUES, worker_init=init)
        return ClusterRun(flow, site, "--chunk-size", "10", env=slurm.env)

    return start


def assigned(slurm, run):
    """Return the numbers of the GPUs of the run's only job, from Slurm's records."""
    run.wait_for_block("up", seconds=60)
    (job,) = run.jobs()
    found = re.search(r"GRES=gpu:\d+\(IDX:([\d,-]+)\)", slurm.run("scontrol", "--details", "show", "job", job))[1]
    spans = [part.split("-") for part in found.split(",")]
    return [str(n) for first, *last in spans for n in range(int(first), int(last[0] if last else first) + 1)]


def seats(run):
    code, output, _ = run.end()
    assert code == 0, output
    return run.product("Seats", "seats")


def test_two_workers_see_the_two_gpus_that_slurm_gave(slurm, started):
    run = started(2, 1)
    numbers = assigned(slurm, run)
    assert numbers == ["0", "1"]
    assert sorted(seats(run).values()) == numbers
    (node,) = run.events("node")
    assert [(gpu["device"], gpu["name"], gpu["node"]) for gpu in node["gpus"]] == [
        (n, "unknown", "g1") for n in numbers
    ]


def test_workers_that_share_see_the_one_gpu_that_is_left(slurm, started):
    other = slurm.submit("sleep 300", "--partition=gpu", "--gres=gpu:1", "--mem=1G")
    slurm.wait_for(other, "RUNNING")
    run = started(2, 2)
    numbers = assigned(slurm, run)
    found = seats(run)
    slurm.run("scancel", str(other))
    assert numbers == ["1"]
    assert list(found.values()) == ["1", "1"]


def test_four_workers_on_two_gpus_are_two_on_each(slurm, started):
    """Parsl alone would put all of them on the first, once it finds an ``nvidia-smi``."""
    run = started(4, 2, smi=SMI)
    numbers = assigned(slurm, run)
    assert numbers == ["0", "1"]
    assert Counter(seats(run).values()) == dict.fromkeys(UUIDS, 2)
    (node,) = run.events("node")
    assert [(gpu["device"], gpu["uuid"]) for gpu in node["gpus"]] == list(zip(numbers, UUIDS, strict=True))
    assert {(gpu["name"], gpu["memory"], gpu["driver"], gpu["cuda"]) for gpu in node["gpus"]} == {
        ("Test", 1000 << 20, "580.1", "13.0")
    }


def test_a_pool_without_gpus_sees_none_of_its_node(slurm, write_flow, tmp_path):
    stages = (("Sight", "fault.sight", {"names": sorted(NO_GPUS)}),)
    flow = write_flow(tmp_path, *stages, default={"workers": 1, "resources": {"cpus": 1, "memory": "1GB"}})
    init = ["export CUDA_VISIBLE_DEVICES=0,1 ROCR_VISIBLE_DEVICES=0"]
    site = write_site(tmp_path, "generic_slurm", queues=QUEUES, worker_init=init)
    run = ClusterRun(flow, site, "--chunk-size", "10", env=slurm.env)
    code, output, _ = run.end()
    assert code == 0, output
    assert run.product("Sight", "sight") == [NO_GPUS]


def test_the_check_of_a_site_shows_what_its_gpus_are(slurm, tmp_path):
    (tmp_path / "nvidia-smi").write_text(SMI)
    (tmp_path / "nvidia-smi").chmod(0o755)
    site = write_site(tmp_path, "generic_slurm", queues=QUEUES, worker_init=[f'export PATH="{tmp_path}:$PATH"'])
    command = [sys.executable, "-m", "fasthep_parsl", "sites", "check", str(site), "--live", "--outdir", str(tmp_path)]
    env = {**os.environ, **slurm.env, "COLUMNS": "300"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "GPU 0 (Test of 1.049 GB, driver 580.1, CUDA 13.0, CuPy " in " ".join(done.stdout.split())


def test_a_node_whose_driver_does_not_answer_is_named_with_its_words(slurm, started):
    run = started(1, 1, smi="#!/bin/sh\necho NVIDIA-SMI has failed: no driver\nexit 9\n")
    code, output, _ = run.end()  # three blocks, one after the other
    assert code != 0
    words = " ".join(output.split())
    assert "pool `default`: its blocks fail before any worker connects" in words
    assert "g1: no GPU can be used, `nvidia-smi`: NVIDIA-SMI has failed: no driver" in words
