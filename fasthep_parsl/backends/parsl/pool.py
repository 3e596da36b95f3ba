"""One pool at run time: its executor, its blocks, the tasks that wait until it is up, and what watches over them."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import parsl
from parsl.executors.errors import BadStateException
from parsl.executors.high_throughput.errors import ManagerLost, WorkerLost
from parsl.jobs.states import JobState

from fasthep_parsl.backends.parsl import executors
from fasthep_parsl.errors import PoolError, WorkerLostError
from fasthep_parsl.plan import PlanPool
from fasthep_parsl.worker.entry import apply

MAX_BLOCK_RESTARTS = 3


@dataclass(frozen=True, slots=True)
class _Work:
    future: Future[Any]
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    priority: int


class RunningPool:
    """A pool whose workers come up with its first task.

    Parameters
    ----------
    pool : PlanPool
        The pool.
    kernel : DataFlowKernel
        Parsl's kernel, shared by all pools.
    log_dir : Path
        For the output of its blocks.
    record : callable
        Writes to the run's event log.
    warm : Popen, optional
        A block that was started early.
    """

    def __init__(
        self,
        pool: PlanPool,
        kernel: Any,
        log_dir: Path,
        record: Callable[..., None],
        warm: subprocess.Popen[bytes] | None = None,
    ) -> None:
        self.pool = pool
        self._kernel = kernel
        self._record = record
        self._lock = threading.Lock()
        self._backlog: list[_Work] | None = []
        self._open: set[Future[Any]] = set()
        self._broken: PoolError | None = None
        self._restarts = 0
        self._connected = False
        self._closed = threading.Event()
        self.blocks = executors.provider(pool, log_dir, warm)
        self.executor = executors.executor(pool, self.blocks, self._on_status, _accelerators(pool))
        self._app = parsl.python_app(apply, data_flow_kernel=kernel, executors=[pool.name])
        threading.Thread(target=self._start, name=f"start-{pool.name}", daemon=True).start()

    def _start(self) -> None:
        try:
            self._kernel.add_executors([self.executor])
            self.executor.scale_out_facade(self.pool.blocks)
        except Exception as error:  # noqa: BLE001  (a thread has nobody to raise to)
            self.fail(PoolError(f"pool `{self.pool.name}` could not be started: {error}"))
            return
        pids = [int(str(job)) for job in self.executor.job_ids_to_block]
        self._record(
            "pool",
            pool=self.pool.name,
            state="starting",
            workers=self.pool.workers,
            jobs=pids,
            interchange=self.executor.interchange_proc.pid,
        )
        with self._lock:
            waiting, self._backlog = self._backlog or [], None
        for work in waiting:
            self._launch(work)
        self._closed.wait()  # the interchange ends with the thread that started it, so this one stays

    def submit(self, function: Callable[..., Any], *arguments: Any, priority: int = 0) -> Future[Any]:
        """Call `function` on a worker: a python_app routed by the pool's label, run as soon as the pool is up."""
        future: Future[Any] = Future()
        work = _Work(future, function, arguments, priority)
        with self._lock:
            if self._broken is not None:
                future.set_exception(self._broken)
                return future
            self._open.add(future)
            if self._backlog is not None:
                self._backlog.append(work)
                return future
        self._launch(work)
        return future

    def _launch(self, work: _Work) -> None:
        try:
            priority = {"priority": work.priority}
            app_future = self._app(work.function, *work.arguments, parsl_resource_specification=priority)
        except Exception as error:  # noqa: BLE001  (whatever it is belongs to the future)
            self._finish(work.future, None, error)
            return
        app_future.add_done_callback(lambda done: self._finish(work.future, done, done.exception()))

    def _finish(self, future: Future[Any], done: Any, error: BaseException | None) -> None:
        with self._lock:
            if future not in self._open:  # already failed by the watchdog
                return
            self._open.discard(future)
        if error is None:
            self._connected = True
            future.set_result(done.result())
        elif isinstance(error, WorkerLost | ManagerLost):
            future.set_exception(WorkerLostError(str(error)))
        elif isinstance(error, BadStateException):
            future.set_exception(self._broken or PoolError(f"pool `{self.pool.name}`: {error}"))
        else:
            future.set_exception(error)

    def fail(self, error: PoolError) -> None:
        """Give the pool up: all its tasks fail with `error`."""
        with self._lock:
            if self._broken is not None:
                return
            self._broken = error
            waiting, self._open, self._backlog = list(self._open), set(), None
        self._record("pool", pool=self.pool.name, state="failed", message=str(error))
        for future in waiting:
            future.set_exception(error)

    def look(self) -> None:
        """Notice a dead interchange: Parsl itself would wait for it for ever."""
        process = self.executor.interchange_proc
        if process is not None and process.poll() is not None:
            self.fail(PoolError(f"pool `{self.pool.name}`: its interchange died (exit code {process.returncode})"))

    def _on_status(self, executor: Any, status: dict[str, Any]) -> None:
        """Replace lost blocks; give up if none ever came up, with what it wrote."""
        ended = (JobState.FAILED, JobState.COMPLETED, JobState.MISSING)
        lost = [block for block, state in status.items() if state.state in ended]
        if len(lost) <= self._restarts or self._broken is not None:
            return
        if not self._connected or self._restarts >= MAX_BLOCK_RESTARTS:
            why = "its workers do not come up" if not self._connected else "its workers keep dying"
            detail = self.blocks.errors()
            self.fail(PoolError(f"pool `{self.pool.name}`: {why}" + (f":\n{detail}" if detail else "")))
            return
        self._restarts += 1
        self._record("pool", pool=self.pool.name, state="restarting", lost=len(lost))
        executor.scale_out_facade(1)

    def close(self) -> None:
        """End all processes of the pool's blocks."""
        self.fail(PoolError(f"pool `{self.pool.name}` was closed"))
        self.blocks.close()

    def end(self) -> None:
        """Let the thread go that keeps the interchange alive."""
        self._closed.set()


def _accelerators(pool: PlanPool) -> list[str]:
    """Return the devices that workers are pinned to: those that are visible to us, one per worker."""
    if not pool.gpus:
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(number) for number in range(pool.workers * pool.gpus)]
    return names[: pool.workers * pool.gpus : pool.gpus]
