"""Fault tests on HTCondor: a pool for each scenario."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from integration.cluster_runs import Tools
from integration.yard import POOL, STARTING, TOTAL, Scenario, scenarios
from integration.yard import Yard as BaseYard
from services.condor import CondorPool
from services.condor_config import Node
from services.condor_records import CondorUnavailableError, Job, prefix
from services.fixtures_condor import unavailable

__all__ = ["POOL", "QUEUES", "SLEEP", "TOTAL", "Yard", "now", "on_condor", "require_condor", "scenarios"]

NODES = (Node("cpu1"), Node("cpu2"))
QUEUES = {"cpu": {"node": {"cpus": 8, "memory": "32GB"}, "walltime": "1d"}}
SLEEP = ("Sleep", "fault.sleep", {"seconds": 0.6})
"""40 slices of 5 events: 12 s of work for two workers. The first task is half of it, the first result comes after 6 s."""
RUN = "FASTHEP_CONDOR_SCENARIO"
"""In the environment of drivers and their children: the folder of the scenario."""


@dataclass
class Yard(BaseYard):
    """A pool and a folder for one scenario."""

    system = "htcondor"
    site = "generic_htcondor"
    queues = QUEUES
    work = SLEEP
    options = ("--chunk-size", "5")

    pool: CondorPool = field(kw_only=True)

    def stop(self) -> None:
        self.pool.stop()

    def environment(self) -> Mapping[str, str]:
        return {**self.pool.env, RUN: str(self.folder)}

    def jobs(self) -> list[Job]:
        return self.pool.jobs()

    def processes(self) -> dict[int, str]:
        mark, found = f"{self.folder}".encode(), {}
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended, or is another user's
                if mark in (process / "environ").read_bytes() or mark in (process / "cmdline").read_bytes():
                    found[int(process.name)] = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:200]
        return found

    def running(self, job: str) -> Job:
        """Return a job as soon as it runs."""
        return self.pool.wait(job, "running")


def on_condor(*nodes: Node) -> Callable[[Callable[[Yard], None]], Scenario]:
    """Make a function a scenario on a pool of these nodes."""

    def opened(tools: Tools, name: str) -> Yard:
        pool = CondorPool(tools.folder(f"pool-{name}"), nodes=nodes or NODES)
        with STARTING:
            pool.start()
        return Yard(tools.folder(f"condor-{name}").resolve(), tools, name, pool=pool)

    return lambda story: Scenario(story, opened)


def now() -> float:
    """Return the time, for `Yard.recovered`."""
    return time.time()


def require_condor() -> None:
    """Skip the test where HTCondor is not installed."""
    try:
        prefix()
    except CondorUnavailableError as error:
        unavailable(str(error))
