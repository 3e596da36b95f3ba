"""Backend ``parsl``: a session with a lifetime around Parsl's DataFlowKernel."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from fasthep_parsl.analysis_code.handshake import expected_software
from fasthep_parsl.backends.parsl.transfer_limit import TransferLimiter
from fasthep_parsl.blocks import local_block
from fasthep_parsl.blocks.acceptance import missing_programs
from fasthep_parsl.errors import SiteError
from fasthep_parsl.events import PoolChanged, Record
from fasthep_parsl.interfaces import Session
from fasthep_parsl.plan import Plan
from fasthep_parsl.signals import undisturbed
from fasthep_parsl.tasks import Task, TaskResult
from fasthep_parsl.worker.entry import run_task

if TYPE_CHECKING:
    from fasthep_parsl.backends.parsl.pool import RunningPool

CLEANUP_DEADLINE = 10.0
"""Seconds that Parsl's cleanup may take before its processes are ended."""


class ParslBackend(BaseModel):
    """Run on Parsl. Pools are executors, tasks are python_apps with the label of their pool."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @contextmanager
    def open(self, plan: Plan, run_dir: Path, record: Record) -> Iterator[Session]:
        """Yield a session. When the context is left, every process that it started has ended."""
        session = ParslSession(plan, run_dir, record)
        try:
            session.start()
            yield session
        finally:
            with undisturbed():
                session.close()


class ParslSession:
    """The pools of a run. Each starts with its first task.

    Parameters
    ----------
    plan : Plan
        The plan.
    run_dir : Path
        The run directory. Logs are in its folder ``log``.
    record : callable
        Writes to the run's event log.
    """

    def __init__(self, plan: Plan, run_dir: Path, record: Record) -> None:
        self._plan = plan
        self._run_dir = run_dir
        self._record = record
        self._warm: dict[str, local_block.LocalBlock] = {}
        self._pools: dict[str, RunningPool] = {}
        self._limiters: dict[str, TransferLimiter] = {}
        self._software = expected_software(plan).text()
        self._kernel: Any = None
        self._log_files: list[logging.FileHandler] = []

    def start(self) -> None:
        """Start the first block of the first pool, then import Parsl meanwhile: both take long.

        Raises
        ------
        SiteError
            This machine has no commands of the batch system.
        """
        _check_commands(self._plan)
        for segment in self._plan.segments[:1]:
            pool = self._plan.pool(segment.pool)
            block = local_block.start_warm(self._plan, pool, self._run_dir, self._blocks_dir(pool.name))
            if block is not None:
                self._warm[segment.pool] = block
                self._record(PoolChanged(pool=segment.pool, state="warming", jobs=(block.pid,)))
        from parsl.dataflow.dflow import DataFlowKernel

        from fasthep_parsl.backends.parsl import executors

        self._kernel = DataFlowKernel(executors.config(self._run_dir))
        handlers = [h for h in logging.getLogger("parsl").handlers if isinstance(h, logging.FileHandler)]
        self._log_files = [h for h in handlers if Path(h.baseFilename).is_relative_to(self._run_dir / "log")]
        for handler in self._log_files:  # a full disk is reported once, not for each line of a log
            handler.handleError = lambda record: None  # type: ignore[method-assign]  # noqa: ARG005

    def _blocks_dir(self, pool: str) -> Path:
        return self._run_dir / "log" / "blocks" / pool

    def submit(self, pool: str, task: Task, priority: int) -> Future[TaskResult]:
        """Run `task` on a worker of `pool`. A lower `priority` runs earlier."""
        running = self._pool(pool)
        if self._plan.pool(pool).shared:
            return running.submit(run_task, task, priority=priority)
        limiter = self._limiters.setdefault(pool, TransferLimiter(secrets=running.pool.secrets))
        return limiter.send(partial(running.submit, priority=priority), task)

    def call(self, pool: str, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Run an importable function on a worker of `pool`."""
        return self._pool(pool).submit(function, *arguments)

    def _pool(self, pool: str) -> RunningPool:
        if pool not in self._pools:
            from fasthep_parsl.backends.parsl.pool import RunningPool

            running = RunningPool(
                self._plan.pool(pool),
                self._kernel,
                self._run_dir,
                self._blocks_dir(pool),
                self._record,
                self._warm.pop(pool, None),
                self._software,
            )
            running.start()
            self._pools[pool] = running
        return self._pools[pool]

    def slots(self, pool: str) -> int:
        """Return the number of workers of `pool`."""
        return self._plan.pool(pool).workers

    def _close_pools(self) -> None:
        # at the same time: each may have to wait for a batch system that does not answer
        closing = [threading.Thread(target=pool.close, daemon=True) for pool in self._pools.values()]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join()
        while self._warm:  # started early, but not used
            self._warm.popitem()[1].end()

    def close(self) -> None:
        """End all workers, then Parsl, under a deadline."""
        self._close_pools()
        if self._kernel is not None:
            cleanup = threading.Thread(target=self._kernel.cleanup, name="parsl-cleanup", daemon=True)
            cleanup.start()
            cleanup.join(CLEANUP_DEADLINE)
        for pool in self._pools.values():
            pool.end()
        for handler in self._log_files:  # Parsl removes them from its logger, but does not close the files
            handler.close()


def _check_commands(plan: Plan) -> None:
    for pool in plan.pools:
        missing = missing_programs(pool) if pool.used and pool.block is not None else []
        if missing:
            raise SiteError(
                f"pool `{pool.name}`: strategy `{pool.provider}` needs {', '.join(missing)}, not found on PATH; "
                "start the run on a machine that can submit jobs"
            )
