"""Fault tests on Slurm: a cluster for each scenario."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from integration.cluster_runs import Tools, processes_with
from integration.yard import POOL, STARTING, TOTAL, Scenario, scenarios
from integration.yard import Yard as BaseYard
from services.fixtures_slurm import unavailable
from services.slurm import SlurmCluster, SlurmOptions, missing_programs
from services.slurm_config import Node, Partition
from services.slurm_processes import DAEMONS

__all__ = ["POOL", "QUEUES", "TOTAL", "Yard", "on_slurm", "scenarios"]

SERVICES = (*DAEMONS, "slurmscriptd")
NODES = (Node("c1", 32), Node("c2", 32), Node("m1", 256))
PARTITIONS = (Partition("cpu", ("c1", "c2")), Partition("highmem", ("m1",)))
QUEUES = {
    "cpu": {"node": {"cpus": 8, "memory": "32GB"}, "walltime": "1d"},
    "highmem": {"node": {"cpus": 8, "memory": "256GB"}, "walltime": "1d"},
}
SLEEP = ("Sleep", "fault.sleep", {"seconds": 0.1})
"""10 s of work for two workers, in 200 slices; the first tasks are 25 of them."""


@dataclass
class Yard(BaseYard):
    """A cluster and a folder for one scenario."""

    system = "slurm"
    site = "generic_slurm"
    queues = QUEUES
    work = SLEEP

    cluster: SlurmCluster = field(kw_only=True)

    def stop(self) -> None:
        self.cluster.cancel_all()
        self.cluster.stop()
        shutil.rmtree(self.folder / "scratch", ignore_errors=True)

    def environment(self) -> Mapping[str, str]:
        return self.cluster.env

    def jobs(self) -> list[Any]:
        return self.cluster.jobs()

    def processes(self) -> dict[int, str]:
        found = processes_with(f"SLURM_CONF={self.cluster.conf}")
        return {pid: name for pid, name in found.items() if name not in SERVICES}

    def node_of(self, job: str) -> str:
        """Return the node of a job as soon as it runs."""
        self.cluster.wait_for(int(job), "RUNNING")
        return self.cluster.job_nodes(int(job))[0]

    def occupy(self, partition: str = "cpu", nodes: int = 2) -> int:
        """Fill the nodes of a partition with another user's job; return its id."""
        job = self.cluster.submit("sleep 600", f"--partition={partition}", f"--nodes={nodes}", "--exclusive")
        self.cluster.wait_for(job, "RUNNING")
        return job

    def cancel(self, job: int | str) -> None:
        self.cluster.run("scancel", str(job))


def on_slurm(**options: Any) -> Callable[[Callable[[Yard], None]], Scenario]:
    """Make a function a scenario on a cluster with these options."""
    chosen = SlurmOptions(nodes=NODES, partitions=PARTITIONS, **options)

    def opened(tools: Tools, name: str) -> Yard:
        if missing := missing_programs(chosen):
            unavailable(f"Slurm is not installed ({', '.join(missing)} not found): make services")
        with STARTING:
            cluster = SlurmCluster(chosen).start()
        return Yard(tools.folder(name), tools, name, cluster=cluster)

    return lambda story: Scenario(story, opened)
