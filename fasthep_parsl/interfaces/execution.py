"""The contract of backends."""

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
    """An opened backend: workers exist or will exist on demand."""

    def submit(self, pool: str, task: Task, priority: int) -> Future[TaskResult]:
        """Run `task` on a worker of `pool`; a lower `priority` runs earlier.

        The first task for a pool makes its workers come up. The future fails with
        `WorkerLostError` if the worker died, else with what was raised.
        """

    def call(self, pool: str, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Run an importable function on a worker of `pool` (to finish a run where everything is imported)."""

    def slots(self, pool: str) -> int:
        """Return how many tasks of `pool` can run at once when all its workers are up."""


class Backend(Protocol):
    """Who executes tasks."""

    def open(self, plan: Plan, run_dir: Path, record: Record) -> AbstractContextManager[Session]:
        """Return a session for `plan`; leaving it ends every process and job it started.

        Parameters
        ----------
        plan : Plan
            What will be executed.
        run_dir : Path
            The run directory; logs go to its ``log``.
        record : callable
            ``record(event)`` appends to the run's ``events.jsonl``. Backends record `PoolChanged` and `BlockChanged`;
            it may be called from any thread.
        """
