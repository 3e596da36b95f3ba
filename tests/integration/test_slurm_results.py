"""An analysis with three kinds of worker on a Slurm cluster: each task on a node of its pool, results as anywhere."""

from __future__ import annotations

import shutil

import pytest

from integration.cluster_runs import ClusterRun, Whereabouts, differences, results, write_site
from services.fixtures_slurm import used

pytestmark = pytest.mark.slurm

PLACES = {"default": {"c1", "c2"}, "high_memory": {"m1"}, "gpu": {"g1"}}
"""Pool → its nodes."""
QUEUES = {
    # said to be smaller than they are, so that a worker of `high_memory` does not fit
    "cpu": {"node": {"cpus": 8, "memory": "6GB"}, "walltime": "1d"},
    "highmem": {"node": {"cpus": 8, "memory": "256GB"}, "walltime": "1d"},
    "gpu": {"node": {"cpus": 8, "memory": "64GB", "gpus": 2}, "walltime": "1d"},
}


@pytest.mark.parametrize("accounting", ["none", "dbd"])
def test_every_task_runs_on_a_node_of_its_pool(make_slurm, checkout, tmp_path, expected, accounting):
    folder = tmp_path / "checkout"
    shutil.copytree(checkout, folder, ignore=shutil.ignore_patterns("here"))
    cluster = make_slurm(accounting=accounting)
    site = write_site(folder, "generic_slurm", queues=QUEUES)
    with used(cluster), Whereabouts("SLURM_JOB_ID") as seen:
        run = ClusterRun(folder / "configs" / "heterogeneous.yaml", site, env=cluster.env)
        code, output, _ = run.end()
    assert code == 0, output
    found = results(run.run_dir)
    assert found.keys() == expected.keys()
    assert differences(expected, found) == []
    pools = {event["task"]: event["pool"] for event in run.events("submitted")}
    finished = run.events("finished")
    assert {pools[event["task"]] for event in finished} == PLACES.keys()
    for event in finished:
        (node,) = cluster.job_nodes(int(seen.jobs[event["pid"]]))
        assert node in PLACES[pools[event["task"]]], event
