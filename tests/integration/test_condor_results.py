"""An analysis with three kinds of worker in an HTCondor pool: each task on a node of its pool, results as anywhere."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from integration.cluster_runs import ClusterRun, Whereabouts, differences, results, write_site

pytestmark = pytest.mark.condor

PLACES = {"default": {"cpu1", "cpu2"}, "high_memory": {"himem1"}, "gpu": {"gpu1"}}
"""Pool → nodes that take its jobs."""
QUEUES = {
    "cpu": {"node": {"cpus": 8, "memory": "32GB"}, "walltime": "1d"},
    "highmem": {"node": {"cpus": 16, "memory": "256GB"}, "walltime": "1d"},
    "gpu": {"node": {"cpus": 8, "memory": "64GB", "gpus": 2}, "walltime": "1d"},
}


def started(pool, run_dir):
    """Return scratch folder → (job, node) of everything that the pool has started for a run, from HTCondor's records."""
    found = {}
    for job in pool.history():
        path = Path(job.ad["UserLog"])
        if not path.is_relative_to(run_dir):
            continue  # of another test
        log = path.read_text()
        for node, scratch in re.findall(r'SlotName: \S+@(\w+)\..*?CondorScratchDir = "(.*?)"', log, re.DOTALL):
            found[scratch] = (job, node)
        assert job.node == node  # of the last start
    return found


def test_every_task_runs_on_a_node_of_its_pool(condor, checkout, tmp_path, expected):
    folder = tmp_path / "checkout"
    shutil.copytree(checkout, folder, ignore=shutil.ignore_patterns("here"))
    site = write_site(folder, "generic_htcondor", queues=QUEUES)
    memory = ("--set", "execution.pools.high_memory.resources.memory=64GB")  # more than the other nodes have
    with Whereabouts("_CONDOR_SCRATCH_DIR") as seen:
        run = ClusterRun(folder / "configs" / "heterogeneous.yaml", site, *memory, env=condor.env)
        code, output, _ = run.end()
    assert code == 0, output
    assert condor.jobs() == []
    found = results(run.run_dir)
    assert found.keys() == expected.keys()
    assert differences(expected, found) == []
    pools = {event["task"]: event["pool"] for event in run.events("submitted")}
    finished = run.events("finished")
    assert {pools[event["task"]] for event in finished} == PLACES.keys()
    places = started(condor, run.run_dir)
    for event in finished:
        job, node = places[seen.jobs[event["pid"]]]
        assert node in PLACES[pools[event["task"]]], event
        assert job.ad["JobBatchName"] == f"fasthep-{pools[event['task']]}"


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_see_the_gpus_that_were_assigned(condor, write_flow, tmp_path, workers):
    """Two jobs share a node; none of them has GPUs 0..n-1, whatever they are called."""
    pool = {"workers": workers, "resources": {"cpus": 1, "memory": "1GB", "gpus": 1}}
    stages = (("Sleep", "fault.sleep", {"seconds": 0.2}), ("Devices", "fault.devices", {}))
    flow = write_flow(tmp_path, *stages, default=pool)
    run = ClusterRun(
        flow, write_site(tmp_path, "generic_htcondor", queues=QUEUES), "--chunk-size", "10", env=condor.env
    )
    code, output, _ = run.end()
    assert code == 0, output
    (job,) = (job for job in condor.history() if job.ad["Iwd"].startswith(str(run.run_dir)))
    assigned = job.ad["AssignedGPUs"].split(",")
    assert len(assigned) == workers
    assert run.product("Devices", "devices") == sorted(name.strip() for name in assigned)


def test_workers_that_share_see_the_same_gpu(condor, write_flow, tmp_path):
    pool = {"workers": 2, "workers_per_gpu": 2, "resources": {"cpus": 1, "memory": "1GB", "gpus": 1}}
    stages = (("Sleep", "fault.sleep", {"seconds": 0.2}), ("Seats", "fault.seats", {}))
    flow = write_flow(tmp_path, *stages, default=pool)
    run = ClusterRun(
        flow, write_site(tmp_path, "generic_htcondor", queues=QUEUES), "--chunk-size", "10", env=condor.env
    )
    code, output, _ = run.end()
    assert code == 0, output
    (job,) = (job for job in condor.history() if job.ad["Iwd"].startswith(str(run.run_dir)))
    (assigned,) = job.ad["AssignedGPUs"].split(",")
    seats = run.product("Seats", "seats")
    assert len(seats) == 2
    assert set(seats.values()) == {assigned}


# --- bad input ------------------------------------------------------------------------------------------------


def test_no_condor_on_this_machine(write_flow, tmp_path):
    flow = write_flow(tmp_path)
    path = os.pathsep.join(f for f in os.environ["PATH"].split(os.pathsep) if not (Path(f) / "condor_submit").exists())
    run = ClusterRun(flow, write_site(tmp_path, "generic_htcondor", queues=QUEUES), env={"PATH": path})
    code, output, _ = run.end()
    assert code == 4, output
    assert "condor_submit" in output
    assert "Traceback" not in output
    assert run.events("pool") == []
