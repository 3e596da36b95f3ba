"""Backend ``parsl``: a session with a lifetime around Parsl's DataFlowKernel."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from fasthep_parsl.backends.parsl import processes
from fasthep_parsl.interfaces import Session, Task, TaskResult
from fasthep_parsl.plan import Plan
from fasthep_parsl.worker.entry import run_task

if TYPE_CHECKING:
    from fasthep_parsl.backends.parsl.pool import RunningPool

CLEANUP_DEADLINE = 10.0
"""Seconds that Parsl's own clean-up may take before we end its processes ourselves."""
WATCH_PERIOD = 1.0
"""Seconds between two looks at the interchanges."""


class ParslBackend(BaseModel):
    """Run on Parsl: pools are executors, tasks are python_apps routed by label."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @contextmanager
    def open(self, plan: Plan, run_dir: Path, record: Callable[..., None]) -> Iterator[Session]:
        """Yield a session; on leaving, every process that it started has ended."""
        session = ParslSession(plan, run_dir, record)
        try:
            yield session
        finally:
            session.close()


class ParslSession:
    """Pools of one run; each comes up with its first task."""

    def __init__(self, plan: Plan, run_dir: Path, record: Callable[..., None]) -> None:
        self._plan = plan
        self._log_dir = run_dir / "log"
        self._warm = {
            segment.pool: processes.start_warm(plan.pool(segment.pool), self._log_dir / "blocks" / segment.pool)
            for segment in plan.segments[:1]
        }
        from parsl.dataflow.dflow import DataFlowKernel  # imports take a second; the first block has begun its own

        from fasthep_parsl.backends.parsl import executors

        self._record = record
        self._pools: dict[str, RunningPool] = {}
        self._closing = threading.Event()
        self._kernel = DataFlowKernel(executors.config(run_dir))
        threading.Thread(target=self._watch, name="watch-interchanges", daemon=True).start()

    def _watch(self) -> None:
        while not self._closing.wait(WATCH_PERIOD):
            for pool in list(self._pools.values()):
                pool.look()

    def submit(self, pool: str, task: Task, priority: int) -> Future[TaskResult]:
        """Run `task` on a worker of `pool`; a lower `priority` runs earlier."""
        return self._pool(pool).submit(run_task, task, priority=priority)

    def call(self, pool: str, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Run an importable function on a worker of `pool`."""
        return self._pool(pool).submit(function, *arguments)

    def _pool(self, pool: str) -> RunningPool:
        if pool not in self._pools:
            from fasthep_parsl.backends.parsl.pool import RunningPool

            blocks = self._log_dir / "blocks" / pool
            self._pools[pool] = RunningPool(
                self._plan.pool(pool), self._kernel, blocks, self._record, self._warm.pop(pool, None)
            )
        return self._pools[pool]

    def slots(self, pool: str) -> int:
        """Return the number of workers of `pool`."""
        return self._plan.pool(pool).workers

    def cancel(self) -> None:
        """End all workers now."""
        for pool in self._pools.values():
            pool.close()
        while self._warm:  # started, but never asked for
            process = self._warm.popitem()[1]
            if process is not None:
                processes.end_group(process)

    def close(self) -> None:
        """End all workers, then Parsl, under a deadline."""
        self._closing.set()
        self.cancel()
        cleanup = threading.Thread(target=self._kernel.cleanup, name="parsl-cleanup", daemon=True)
        cleanup.start()
        cleanup.join(CLEANUP_DEADLINE)
        for pool in self._pools.values():
            process = pool.executor.interchange_proc
            if process is not None and process.poll() is None:
                process.kill()
                process.wait(5)
            pool.end()
        for name in self._pools:
            self._record("pool", pool=name, state="ended")
