"""Where faults are tried out: a Slurm cluster for one scenario, its runs, and a look at what they leave behind."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from integration.cluster_runs import ClusterRun, Tools, note_recovery, processes_with, write_site
from services.fixtures_slurm import unavailable
from services.slurm import SlurmCluster, SlurmOptions, missing_programs
from services.slurm_config import Node, Partition
from services.slurm_processes import DAEMONS

SERVICES = (*DAEMONS, "slurmscriptd")

TOTAL = 200 * 199 // 2
"""Sum of x over the events of `counted`."""
NODES = (Node("c1", 32), Node("c2", 32), Node("m1", 256))
PARTITIONS = (Partition("cpu", ("c1", "c2")), Partition("highmem", ("m1",)))
QUEUES = {
    "cpu": {"node": {"cpus": 8, "memory": "32GB"}, "walltime": "1d"},
    "highmem": {"node": {"cpus": 8, "memory": "256GB"}, "walltime": "1d"},
}
SLEEP = ("Sleep", "fault.sleep", {"seconds": 0.1})
"""10 s of work for two workers, in 200 slices; the first tasks are 25 of them."""
POOL = {"workers": 2, "resources": {"cpus": 1, "memory": "1GB"}}
"""One block of two workers, unless said otherwise."""
_STARTING = threading.Lock()  # clusters look for free ports


@dataclass(frozen=True)
class Scenario:
    """Something that goes wrong, and what must come of it.

    Parameters
    ----------
    story : callable
        Does it, on a `Yard`, and checks.
    options : SlurmOptions
        The cluster.
    """

    story: Callable[[Yard], None]
    options: SlurmOptions

    @property
    def name(self) -> str:
        return self.story.__name__

    def __call__(self, tools: Tools) -> None:
        if missing := missing_programs(self.options):
            unavailable(f"Slurm is not installed ({', '.join(missing)} not found): make services")
        with yard(self.options, tools, self.name) as place:
            self.story(place)
            place.assert_nothing_left()


def on_slurm(**options: Any) -> Callable[[Callable[[Yard], None]], Scenario]:
    """Make a function a scenario on a cluster with these options."""
    return lambda story: Scenario(story, SlurmOptions(nodes=NODES, partitions=PARTITIONS, **options))


def scenarios(module: dict[str, Any]) -> list[Scenario]:
    """Return the scenarios of a module, in its order."""
    return [value for value in module.values() if isinstance(value, Scenario)]


@dataclass
class Yard:
    """A cluster and a folder for one scenario."""

    cluster: SlurmCluster
    folder: Path
    tools: Tools
    name: str
    runs: list[ClusterRun] = field(default_factory=list)

    def run(self, *stages: Any, site: Any = None, env: Any = None, **pools: Any) -> ClusterRun:
        """Start a run over `counted`: stages are (id, op, parameters[, pool]), then ``Sum``.

        The site is the shipped ``generic_slurm`` with the queues of the cluster; `site` changes or adds keys, `env`
        variables.
        """
        folder = self.folder / f"flow-{len(self.runs)}"
        flow = self.tools.write_flow(
            folder, *(stage[:3] for stage in stages or (SLEEP,)), **(pools or {"default": POOL})
        )
        content = json.loads(flow.read_text())
        for written, stage in zip(content["analysis"]["stages"], stages, strict=False):
            if len(stage) > 3:
                written |= {"needs": [], "execution": {"require": stage[3]}}
                content["analysis"]["stages"][-1]["needs"] = []
        flow.write_text(json.dumps(content))
        profile = write_site(folder, "generic_slurm", **{"queues": QUEUES, **(site or {})})
        self.runs.append(ClusterRun(flow, profile, env={**self.cluster.env, **(env or {})}))
        return self.runs[-1]

    def recovered(self, run: ClusterRun, fault: float, within: float) -> None:
        """Check that a worker that is new since `fault` has had a result `within` so many seconds, and note when."""
        seconds = run.seconds_to_recover(fault)
        note_recovery("slurm", self.name, seconds)
        assert seconds < within

    def node_of(self, job: str) -> str:
        """Return the node of a running job, as Slurm says."""
        self.cluster.wait_for(int(job), "RUNNING")
        return self.cluster.job_nodes(int(job))[0]

    def occupy(self, partition: str = "cpu", nodes: int = 2) -> int:
        """Fill the nodes of a partition with somebody else's job; return its id."""
        job = self.cluster.submit("sleep 600", f"--partition={partition}", f"--nodes={nodes}", "--exclusive")
        self.cluster.wait_for(job, "RUNNING")
        return job

    def cancel(self, job: int | str) -> None:
        self.cluster.run("scancel", str(job))

    def assert_nothing_left(self, seconds: float = 10.0) -> None:
        """Wait at most `seconds` until no job and no process of a run is left."""
        until = time.monotonic() + seconds
        left = self.cluster.wait_until_empty(seconds)
        assert not left, left
        while strangers := self.processes():
            assert time.monotonic() < until, strangers
            time.sleep(0.1)

    def processes(self) -> dict[int, str]:
        """Return what lives of the runs: drivers, interchanges, workers, commands."""
        found = processes_with(f"SLURM_CONF={self.cluster.conf}")
        return {pid: name for pid, name in found.items() if name not in SERVICES}


@contextmanager
def yard(options: SlurmOptions, tools: Tools, name: str) -> Iterator[Yard]:
    """Start a cluster; afterwards end all runs that still go, and the cluster."""
    with _STARTING:
        cluster = SlurmCluster(options).start()
    place = Yard(cluster, tools.folder(name), tools, name)
    try:
        yield place
    finally:
        for run in place.runs:
            run.kill()
        cluster.cancel_all()
        cluster.stop()
        shutil.rmtree(place.folder / "scratch", ignore_errors=True)
