"""A pool at run time: submit its tasks to an executor, watch the executor, and restart it when it fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import parsl
from parsl.executors.errors import BadStateException
from parsl.executors.high_throughput.errors import ManagerLost, WorkerLost
from zmq import ZMQError

from fasthep_parsl.backends.parsl import executors
from fasthep_parsl.backends.parsl.executor_lifecycle import ExecutorLifecycle
from fasthep_parsl.backends.parsl.restarts import Restarts
from fasthep_parsl.backends.parsl.waking import Alarm
from fasthep_parsl.blocks.local_block import LocalBlock
from fasthep_parsl.errors import BlockLostError, PoolError, SiteError, WorkerLostError
from fasthep_parsl.events import PoolChanged, PoolStateName, Record
from fasthep_parsl.plan import PlanPool
from fasthep_parsl.worker.entry import apply

PERIOD = 0.5
"""Seconds between two checks of a pool while it changes."""
LONGEST_PERIOD = 5.0
"""Seconds between two checks while nothing changes. The end of a process of this machine is noticed at once."""
GROWTH = 1.25
"""Each period without a change is longer by this factor: what the system does not report is noticed somewhat later."""
SHORTEST_PERIOD = 0.05
"""Seconds between two checks while the processes of a block end."""


@dataclass
class _PendingTask:
    future: Future[Any]
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    priority: int


class RunningPool:
    """A pool whose workers start with its first task, and start again when they die.

    Parameters
    ----------
    pool : PlanPool
        The pool.
    kernel : DataFlowKernel
        Parsl's kernel, shared by all pools.
    run_dir : Path
        The run directory.
    log_dir : Path
        Folder for the output of its blocks.
    record : callable
        Writes to the run's event log.
    warm : LocalBlock, optional
        A block that was started early.
    software : str
        The software that workers must have, as one line.
    """

    def __init__(
        self,
        pool: PlanPool,
        kernel: Any,
        run_dir: Path,
        log_dir: Path,
        record: Record,
        warm: LocalBlock | None = None,
        software: str = "",
    ) -> None:
        self.pool = pool
        self._kernel = kernel
        self._run_dir = run_dir
        self._log_dir = log_dir
        self._record = record
        self._software = software
        self._lock = threading.Lock()
        self._backlog: list[_PendingTask] = []
        self._open: set[Future[Any]] = set()
        self._broken: PoolError | None = None
        self._restarts = Restarts()
        self._lifecycles = self._finished = 0
        self._known_good = False
        self._closing = threading.Event()
        self._alarm = Alarm()
        self._period = PERIOD
        self._longest_period = min(LONGEST_PERIOD, max(pool.scaling.poll, PERIOD)) if pool.block else LONGEST_PERIOD
        self._changes = 0
        self._app = parsl.python_app(apply, data_flow_kernel=kernel, executors=[pool.name])
        self._lifecycle = self._next_lifecycle(warm)
        self._watcher = threading.Thread(target=self._watch, name=f"watch-{pool.name}", daemon=True)

    def start(self) -> None:
        """Start the executor and the thread that watches over it."""
        self._lifecycle.start()
        self._watcher.start()

    # --- tasks --------------------------------------------------------------------------------------------

    def submit(self, function: Callable[..., Any], *arguments: Any, priority: int = 0) -> Future[Any]:
        """Call `function` on a worker, by a python_app with the pool's label. The call waits until the pool is up."""
        work = _PendingTask(Future(), function, arguments, priority)
        with self._lock:
            if self._broken is not None:
                work.future.set_exception(self._broken)
                return work.future
            self._open.add(work.future)
            if self._period > PERIOD:  # it may need more blocks
                self._period = PERIOD
                self._alarm.ring()
            if not self._lifecycle.usable:
                self._backlog.append(work)
                return work.future
        self._launch(work)
        return work.future

    def _launch(self, work: _PendingTask) -> None:
        try:
            priority = {"priority": work.priority}
            app_future = self._app(work.function, *work.arguments, parsl_resource_specification=priority)
        except Exception as error:  # noqa: BLE001  (any error belongs to the future)
            self._finish(work.future, None, error)
            return
        app_future.add_done_callback(lambda done: self._finish(work.future, done, done.exception()))

    def _finish(self, future: Future[Any], done: Any, error: BaseException | None) -> None:
        with self._lock:
            if future not in self._open:  # it has failed with its pool
                return
            self._open.discard(future)
        name = f"pool `{self.pool.name}`"
        if isinstance(error, WorkerLost):
            why = "killed, out of memory, or a crash in compiled code"
            future.set_exception(WorkerLostError(f"{name}: the worker of this task died ({why})"))
        elif isinstance(error, BadStateException):
            future.set_exception(BlockLostError(f"{name}: {error.reason}"))
        elif isinstance(error, ManagerLost | ZMQError):
            future.set_exception(BlockLostError(f"{name}: the node of this task was lost ({error})"))
        elif error is not None:
            future.set_exception(error)
        else:
            self._known_good = True
            self._finished += 1
            self._restarts.reset()
            future.set_result(done.result())

    # --- its lifecycles -----------------------------------------------------------------------------------

    def _next_lifecycle(self, warm: LocalBlock | None = None) -> ExecutorLifecycle:
        folder = (
            self._log_dir
            if not self._lifecycles
            else self._log_dir.with_name(f"{self._log_dir.name}.{self._lifecycles}")
        )
        self._lifecycles += 1
        blocks = executors.provider(self.pool, self._run_dir, folder, self._closing, warm, self._software)
        self._began = time.monotonic()
        self._period, self._changes = PERIOD, 0
        return ExecutorLifecycle(self.pool, self._kernel, blocks, self._record, self._started, proven=self._known_good)

    def _started(self, lifecycle: ExecutorLifecycle) -> None:
        self._event(
            "starting", workers=self.pool.workers, jobs=tuple(lifecycle.blocks.jobs()), interchange=_pid(lifecycle)
        )
        with self._lock:
            waiting, self._backlog = self._backlog, []
        for work in waiting:
            self._launch(work)

    def _watch(self) -> None:
        while self._wait() and self._broken is None:
            lifecycle = self._lifecycle
            known = lifecycle.monitor.connected
            lifecycle.ask()
            if lifecycle.monitor.connected and not known:
                self._known_good = True
                self._event("up", seconds=round(time.monotonic() - self._began, 3))
            why = lifecycle.trouble()
            if why:
                self._recover(lifecycle, why)
                continue
            try:
                lifecycle.act(len(self._open), self._finished)
            except PoolError as error:
                self.fail(error)
                lifecycle.close()
                return

    def _wait(self) -> bool:
        """Wait until it is time for the next check; return whether there is one."""
        monitor, blocks = self._lifecycle.monitor, self._lifecycle.blocks
        if monitor.changes != self._changes or monitor.unclear:
            self._changes, self._period = monitor.changes, PERIOD
        began = time.monotonic()
        if not self._closing.is_set():
            self._alarm.wait(SHORTEST_PERIOD if blocks.dying else self._period, self._lifecycle.processes())
        if time.monotonic() < began + SHORTEST_PERIOD:
            self._closing.wait(SHORTEST_PERIOD)  # never in a busy loop
        self._period = min(self._period * GROWTH, self._longest_period)
        return not self._closing.is_set()

    def _recover(self, lifecycle: ExecutorLifecycle, why: str) -> None:
        """Restart an executor that has failed. Give the pool up if it never worked, or keeps failing without progress."""
        hopeless = lifecycle.faultless and not self._known_good
        if hopeless or not self._restarts.allowed(known_good=self._known_good):
            lifecycle.close()
            detail = lifecycle.blocks.errors()
            what = "its workers do not come up" if hopeless else "it keeps failing"
            self.fail(PoolError(f"pool `{self.pool.name}`: {what}: {why}" + (f"\n{detail}" if detail else "")))
            return
        self._event("lost", message=why)
        if self._closing.wait(self._restarts.next_wait()):
            return
        lifecycle.end()  # the next one may need its port
        try:
            with self._lock:  # tasks that are submitted now wait for the next lifecycle
                if self._closing.is_set():
                    return
                self._lifecycle = self._next_lifecycle()
        except SiteError as error:  # the port is in use
            lifecycle.close()
            self.fail(PoolError(f"pool `{self.pool.name}`: {why}; it cannot be restarted: {error}"))
            return
        self._lifecycle.start()
        lifecycle.give_up()

    def fail(self, error: PoolError) -> None:
        """Give the pool up. All its tasks fail with `error`."""
        with self._lock:
            if self._broken is not None:
                return
            self._broken = error
            waiting, self._open, self._backlog = list(self._open), set(), []
        if not self._closing.is_set():
            self._event("failed", message=str(error))
        for future in waiting:
            future.set_exception(error)

    def _event(self, state: PoolStateName, **facts: Any) -> None:
        self._record(PoolChanged(pool=self.pool.name, state=state, **facts))

    # --- its end ------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End all processes of its blocks."""
        with self._lock:
            self._closing.set()
        self._alarm.ring()
        self._watcher.join(10)
        self.fail(PoolError(f"pool `{self.pool.name}` was closed"))
        self._lifecycle.close()
        if not self._lifecycle.wait_until_started():  # its thread still uses the executor, so Parsl must not
            self._kernel.executors.pop(self.pool.name, None)

    def end(self) -> None:
        """End processes that Parsl's cleanup has left."""
        self._lifecycle.end()
        self._event("ended")


def _pid(lifecycle: ExecutorLifecycle) -> int:
    return lifecycle.interchange.pid if lifecycle.interchange is not None else -1
