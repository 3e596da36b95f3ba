"""The base of fault tests on a batch system: scenarios, a yard for each of them, and a check that nothing is left."""

from __future__ import annotations

import json
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

from integration.cluster_runs import ClusterRun, Tools, note_recovery, write_site

TOTAL = 200 * 199 // 2
"""Sum of x over the events of `counted`."""
POOL = {"workers": 2, "resources": {"cpus": 1, "memory": "1GB"}}
"""One block of two workers, the pool of most scenarios."""
STARTING = threading.Lock()
"""Batch systems look for free ports when they start: one at a time."""


@dataclass(frozen=True)
class Scenario:
    """A fault, and the outcome that is required.

    Parameters
    ----------
    story : callable
        Causes the fault on a yard, and checks the outcome.
    opened : callable
        ``opened(tools, name)`` is a context manager that starts a batch system and returns a yard.
    """

    story: Callable[[Any], None]
    opened: Callable[[Tools, str], AbstractContextManager[Yard]]

    @property
    def name(self) -> str:
        return self.story.__name__

    def __call__(self, tools: Tools) -> None:
        with self.opened(tools, self.name) as yard:
            self.story(yard)
            yard.assert_nothing_left()


def scenarios(module: Mapping[str, Any], *first: Scenario) -> list[Scenario]:
    """Return the scenarios of a module in its order. Those that take longest should be the `first`."""
    return [*first, *(value for value in module.values() if isinstance(value, Scenario) and value not in first)]


@dataclass
class Yard(ABC):
    """A batch system and a folder for one scenario. On leaving it, all its runs and the batch system are ended."""

    system: ClassVar[str]
    """Name in the list of recovery times."""
    site: ClassVar[str]
    """Shipped profile that the runs extend."""
    queues: ClassVar[Mapping[str, Any]]
    """Queues of the site."""
    work: ClassVar[tuple[Any, ...]]
    """Stage of runs that name none."""
    options: ClassVar[Sequence[str]] = ()
    """Further options of all runs."""

    folder: Path
    tools: Tools
    name: str
    runs: list[ClusterRun] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for run in self.runs:
            run.kill()
        self.stop()

    @abstractmethod
    def stop(self) -> None:
        """Stop the batch system."""

    @abstractmethod
    def environment(self) -> Mapping[str, str]:
        """Return the variables that a run needs."""

    @abstractmethod
    def jobs(self) -> Sequence[Any]:
        """Return the jobs that the batch system has."""

    @abstractmethod
    def processes(self) -> dict[int, str]:
        """Return the live processes of the runs: drivers, interchanges, workers, commands."""

    def flow(self, *stages: Any, **pools: Any) -> Path:
        """Write a workflow over `counted`: stages are (id, op, parameters[, pool]), then ``Sum``.

        A stage with a pool, and ``Sum`` then, depend on no other stage.
        """
        folder = self.folder / f"flow-{len(self.runs)}"
        chosen = stages or (self.work,)
        flow = self.tools.write_flow(folder, *(stage[:3] for stage in chosen), **(pools or {"default": POOL}))
        content = json.loads(flow.read_text())
        listed = content["analysis"]["stages"]
        for written, stage in zip(listed, chosen, strict=False):
            if len(stage) > 3:
                written |= {"needs": [], "execution": {"require": stage[3]}}
                listed[-1]["needs"] = []
        flow.write_text(json.dumps(content))
        return flow

    def run(
        self, *stages: Any, site: Any = None, env: Any = None, arguments: Sequence[str] = (), **pools: Any
    ) -> ClusterRun:
        """Start a run of `flow`.

        The site is a shipped profile with the queues of the batch system; `site` changes or adds keys, `env` variables.
        """
        flow = self.flow(*stages, **pools)
        profile = write_site(flow.parent, self.site, **{"queues": self.queues, **(site or {})})
        return self.start(flow, profile, *arguments, env=env)

    def start(self, flow: Path, profile: Path, *arguments: str, env: Any = None) -> ClusterRun:
        """Start the command line on a workflow and a site."""
        variables = {**self.environment(), **(env or {})}
        self.runs.append(ClusterRun(flow, profile, *self.options, *arguments, env=variables))
        return self.runs[-1]

    def again(self, run: ClusterRun, *arguments: str) -> ClusterRun:
        """Start a run once more, with other options."""
        folder = run.run_dir.parent
        return self.start(folder / "flow.yaml", next(folder.glob(f"{self.site}*.yaml")), *arguments)

    def recovered(self, run: ClusterRun, fault: float, within: float) -> None:
        """Check that a worker that is new since `fault` had a result after at most `within` seconds; note the time."""
        seconds = run.seconds_to_recover(fault)
        note_recovery(self.system, self.name, seconds)
        assert seconds < within

    def assert_nothing_left(self, seconds: float = 10.0) -> None:
        """Wait at most `seconds` until the runs have no job and no process."""
        until = time.monotonic() + seconds
        while left := list(self.jobs()) or self.processes():
            assert time.monotonic() < until, left
            time.sleep(0.1)
