"""Where faults are tried out: an HTCondor pool for one scenario, its runs, and a look at what they leave behind."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from integration.cluster_runs import ClusterRun, Tools, note_recovery, write_site
from services.condor import CondorPool, wait_until
from services.condor_config import Node
from services.condor_records import CondorUnavailableError, Job, prefix
from services.fixtures_condor import unavailable

TOTAL = 200 * 199 // 2
"""Sum of x over the events of `counted`."""
NODES = (Node("cpu1"), Node("cpu2"))
QUEUES = {"cpu": {"node": {"cpus": 8, "memory": "32GB"}, "walltime": "1d"}}
SLEEP = ("Sleep", "fault.sleep", {"seconds": 0.6})
"""40 slices of 5 events: 12 s of work for two workers. The first task is half of it, the first result comes after 6 s."""
POOL = {"workers": 2, "resources": {"cpus": 1, "memory": "1GB"}}
"""One block of two workers, unless said otherwise."""
RUN = "FASTHEP_CONDOR_SCENARIO"
"""In the environment of drivers and their children: the folder of the scenario."""
_STARTING = threading.Lock()  # pools look for free ports


@dataclass(frozen=True)
class Scenario:
    """Something that goes wrong, and what must come of it.

    Parameters
    ----------
    story : callable
        Does it, on a `Yard`, and checks.
    nodes : sequence of Node
        Machines of the pool.
    """

    story: Callable[[Yard], None]
    nodes: Sequence[Node]

    @property
    def name(self) -> str:
        return self.story.__name__

    def __call__(self, tools: Tools) -> None:
        with yard(self.nodes, tools, self.name) as place:
            self.story(place)
            place.assert_nothing_left()


def on_condor(*nodes: Node) -> Callable[[Callable[[Yard], None]], Scenario]:
    """Make a function a scenario on a pool of these nodes."""
    return lambda story: Scenario(story, nodes or NODES)


@dataclass
class Yard:
    """A pool and a folder for one scenario."""

    pool: CondorPool
    folder: Path
    tools: Tools
    name: str
    runs: list[ClusterRun] = field(default_factory=list)

    def flow(self, *stages: Any, **pools: Any) -> Path:
        """Write a workflow over `counted`: stages are (id, op, parameters[, pool]), then ``Sum``.

        A stage with a pool stands beside the others, not between them and ``Sum``.
        """
        folder = self.folder / f"flow-{len(self.runs)}"
        chosen = stages or (SLEEP,)
        flow = self.tools.write_flow(folder, *(stage[:3] for stage in chosen), **(pools or {"default": POOL}))
        content = json.loads(flow.read_text())
        listed = content["analysis"]["stages"]
        for written, stage in zip(listed, chosen, strict=False):
            if len(stage) > 3:
                written |= {"needs": [], "execution": {"require": stage[3]}}
                listed[-1]["needs"] = []
        flow.write_text(json.dumps(content))
        return flow

    def run(self, *stages: Any, site: Any = None, arguments: Sequence[str] = (), **pools: Any) -> ClusterRun:
        """Start a run of `flow`.

        The site is the shipped ``generic_htcondor`` with the nodes of the pool; `site` changes or adds keys.
        """
        flow = self.flow(*stages, **pools)
        profile = write_site(flow.parent, "generic_htcondor", **{"queues": QUEUES, **(site or {})})
        return self.start(flow, profile, *arguments)

    def start(self, flow: Path, profile: Path, *arguments: str) -> ClusterRun:
        """Start the command line on a workflow and a site."""
        env = {**self.pool.env, RUN: str(self.folder)}
        self.runs.append(ClusterRun(flow, profile, "--chunk-size", "5", *arguments, env=env))
        return self.runs[-1]

    def again(self, run: ClusterRun, *arguments: str) -> ClusterRun:
        """Start a run once more, with other options."""
        flow = run.run_dir.parent / "flow.yaml"
        return self.start(flow, next(flow.parent.glob("generic_htcondor*.yaml")), *arguments)

    def running(self, job: str) -> Job:
        """Return a job as soon as HTCondor says that it runs."""
        return self.pool.wait(job, "running")

    def recovered(self, run: ClusterRun, fault: float, within: float) -> None:
        """Check that a worker that is new since `fault` has had a result `within` so many seconds, and note when."""
        seconds = run.seconds_to_recover(fault)
        note_recovery("htcondor", self.name, seconds)
        assert seconds < within

    def assert_nothing_left(self, seconds: float = 10.0) -> None:
        """Wait at most `seconds` until no job and no process of a run is left."""
        wait_until(lambda: not self.pool.jobs() or None, seconds, lambda: f"jobs are left: {self.pool.jobs()}")
        wait_until(lambda: not self.processes() or None, seconds, lambda: f"processes are left: {self.processes()}")

    def processes(self) -> dict[int, str]:
        """Return what lives of the runs: drivers, interchanges, workers, commands."""
        mark, found = f"{self.folder}".encode(), {}
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended, or is another user's
                if mark in (process / "environ").read_bytes() or mark in (process / "cmdline").read_bytes():
                    found[int(process.name)] = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:200]
        return found


@contextmanager
def yard(nodes: Sequence[Node], tools: Tools, name: str) -> Iterator[Yard]:
    """Start a pool; afterwards end all runs that still go, and the pool."""
    pool = CondorPool(tools.folder(f"pool-{name}"), nodes=nodes)
    with _STARTING:
        pool.start()
    place = Yard(pool, tools.folder(f"condor-{name}").resolve(), tools, name)
    try:
        yield place
    finally:
        for run in place.runs:
            run.kill()
        pool.stop()


def now() -> float:
    """Return the time, for `Yard.recovered`."""
    return time.time()


def scenarios(names: Mapping[str, Any], *first: Any) -> list[Scenario]:
    """Return the scenarios of a module; those that take longest should be the `first`."""
    return [*first, *(one for one in names.values() if isinstance(one, Scenario) and one not in first)]


def require_condor() -> None:
    """Skip the test where HTCondor is not installed."""
    try:
        prefix()
    except CondorUnavailableError as error:
        unavailable(str(error))
