"""The contract of backends: execute the tasks of a plan on the workers of its pools."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fasthep_parsl.events import Record
from fasthep_parsl.tasks import Task, TaskResult

if TYPE_CHECKING:
    from fasthep_parsl.plan import Plan


class Session(Protocol):
    """An open backend. Workers start with the first task of their pool."""

    def submit(self, pool: str, task: Task, priority: int) -> Future[TaskResult]:
        """Run `task` on a worker of `pool`; a lower `priority` runs earlier.

        The first task of a pool starts its workers. The future fails with `WorkerLostError` if the worker died, otherwise
        with the exception of the task.
        """

    def call(self, pool: str, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Call an importable function on a worker of `pool`."""

    def slots(self, pool: str) -> int:
        """Return how many tasks of `pool` can run at once on all its workers."""


class Backend(Protocol):
    """Executes the tasks of a plan: a frozen model."""

    def open(self, plan: Plan, run_dir: Path, record: Record) -> AbstractContextManager[Session]:
        """Return a session for `plan`. Leaving it ends all work, and every process and job that it started.

        Parameters
        ----------
        plan : Plan
            The plan to execute.
        run_dir : Path
            The run directory; logs go to its ``log``.
        record : callable
            ``record(event)`` appends to the run's ``events.jsonl``. Backends record `PoolChanged` and `BlockChanged`;
            it may be called from any thread.
        """
