"""Lifecycle of an executor: start it with its interchange and its blocks, notice that it has failed, end it."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

from parsl.executors.high_throughput.errors import CommandClientBadError, CommandClientTimeoutError

from fasthep_parsl.backends.parsl import executors
from fasthep_parsl.backends.parsl.block_monitor import BlockMonitor, Manager
from fasthep_parsl.backends.parsl.provider_base import BlockProvider
from fasthep_parsl.backends.parsl.waking import WakingResults
from fasthep_parsl.events import Record
from fasthep_parsl.plan import PlanPool
from fasthep_parsl.room import full_message, is_full

START_TIMEOUT = 10.0
"""Seconds to wait for an interchange that is starting before it is ended."""
ASK_PERIOD = 5.0
"""Seconds between two queries of an interchange when no workers are expected."""
ASK_TIMEOUT = 10.0
"""Seconds in which an interchange must answer."""
SHUTDOWN_TIMEOUT = 5.0
"""Seconds that Parsl may take to close an executor that has died."""


class ExecutorEndedError(Exception):
    """The executor has ended; its tasks can be run again on the next one."""


class ExecutorLifecycle:
    """An executor from its start to its end.

    Parameters
    ----------
    pool : PlanPool
        The pool.
    kernel : DataFlowKernel
        Parsl's kernel; the executor is added to it.
    blocks : BlockProvider
        Its provider; not shared.
    record : callable
        Writes to the run's event log.
    started : callable
        Called with the lifecycle, in its thread, once it takes tasks.
    proven : bool
        Whether workers of this pool have connected before.
    """

    def __init__(
        self,
        pool: PlanPool,
        kernel: Any,
        blocks: BlockProvider,
        record: Record,
        started: Callable[[ExecutorLifecycle], None],
        *,
        proven: bool = False,
    ) -> None:
        self.pool = pool
        self.blocks = blocks
        self.error = ""
        self.silent = False
        self._asked = 0.0
        self.executor = executors.executor(pool, blocks)
        self.monitor = BlockMonitor(self.executor, blocks, record)
        self._kernel = kernel
        self._started = started
        self._proven = proven
        self._results: threading.Thread | None = None
        self._ready = threading.Event()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"pool-{pool.name}", daemon=True)

    def start(self) -> None:
        """Start the executor, in a thread."""
        self._thread.start()

    def _run(self) -> None:
        # The interchange inherits this thread's mask: Ctrl-C on a terminal must not end it before the driver does.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._kernel.add_executors([self.executor])
            executors.prepare(self.pool, self.executor, self.blocks)
            if not self._end.is_set():
                self.monitor.start(proven=self._proven)
        except Exception as error:  # noqa: BLE001  (a thread has no caller to raise to)
            message = full_message(error, self.blocks.log_dir) if is_full(error) else str(error)
            self.error = message or type(error).__name__
            self.silent = isinstance(error.__context__, CommandClientTimeoutError)
            if self.executor not in self._kernel.executors.values():
                self._close_pipes()
        self._ready.set()
        if not self.error and not self._end.is_set():
            self._started(self)
        self._end.wait()  # the interchange ends with the thread that started it, so this one stays

    # --- its state -------------------------------------------------------------------------------------------

    @property
    def interchange(self) -> subprocess.Popen[bytes] | None:
        """The interchange, None if it was not started yet."""
        process: subprocess.Popen[bytes] | None = self.executor.interchange_proc
        return process

    @property
    def usable(self) -> bool:
        """Whether it takes tasks."""
        return self._ready.is_set() and not self.trouble()

    def trouble(self) -> str:
        """Return why it cannot go on, empty if it can."""
        process = self.interchange
        if process is not None and process.poll() is not None:
            return f"its interchange died (exit code {process.returncode})"
        if self.error:
            return self.error
        if self.executor.bad_state_is_set:
            return str(self.executor.executor_exception)
        results = self.executor._result_queue_thread
        if self._ready.is_set() and results is not None and not results.is_alive():
            return "the thread that receives its results has failed; see log/parsl"
        return ""

    def processes(self) -> list[int]:
        """Return the children of this process whose end must be noticed at once: the interchange and local blocks."""
        process = self.interchange
        mine = [process.pid] if process is not None and process.returncode is None else []
        return mine + self.blocks.processes()

    @property
    def faultless(self) -> bool:
        """Whether the interchange is alive and answers. If there is trouble then, it has another cause.

        An interchange may not have answered because it, or this process, was stopped (Ctrl-Z).
        """
        process = self.interchange
        return process is not None and process.poll() is None and not self.silent

    def ask(self) -> None:
        """Query the managers from the interchange, if it is time to."""
        managers = self._managers()
        if managers is not None:
            self.monitor.update(managers)

    def act(self, open_tasks: int, finished: int) -> None:
        """Query, submit and remove its blocks as needed, once it has started.

        Parameters
        ----------
        open_tasks, finished : int
            Tasks of the pool that have not ended, and that have finished so far.

        Raises
        ------
        PoolError
            The pool cannot work.
        """
        if self._ready.is_set():
            self.monitor.act(open_tasks, finished)

    def _managers(self) -> list[Manager] | None:
        """Return the managers; None if it is too early for another query, or the interchange does not answer."""
        now = time.monotonic()
        if (
            not self._ready.is_set()
            or self.error
            or (not self.monitor.expects_workers and now < self._asked + ASK_PERIOD)
        ):
            return None
        self._asked = now
        try:
            found: list[Manager] = self.executor.command_client.run("MANAGERS", timeout_s=ASK_TIMEOUT)
        except (CommandClientBadError, CommandClientTimeoutError):
            self.error, self.silent = f"its interchange has not answered for {ASK_TIMEOUT:g} s", True
            return None
        return found

    # --- its end ------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End all its blocks. Nothing starts after that."""
        self._end.set()
        self.monitor.close()
        self.executor._result_queue_thread_exit.set()
        self._results = self.executor._result_queue_thread or self._results
        self.executor._result_queue_thread = None  # Parsl would wait for it
        results = getattr(self.executor, "incoming_q", None)
        if isinstance(results, WakingResults):
            results.wake()

    def _close_pipes(self) -> None:
        """Close the connections of an executor that has not started: Parsl does not know it and would leave them open."""
        self.executor._result_queue_thread_exit.set()
        results = self.executor._result_queue_thread or self._results
        if results is not None:
            results.join(SHUTDOWN_TIMEOUT)
            if results.is_alive():  # it uses one of them
                return
        for name, socket in (
            ("command_client", "zmq_socket"),
            ("outgoing_q", "zmq_socket"),
            ("incoming_q", "results_receiver"),
        ):
            pipe = getattr(self.executor, name, None)
            if pipe is not None:
                getattr(pipe, socket).close(linger=0)
                pipe.close()

    def give_up(self) -> None:
        """End it while the run continues. Its tasks fail with `BadStateException`. Does not hang."""
        self.close()
        _kill(self.interchange)
        if not self._ready.is_set():  # its thread still waits for the dead interchange, until a timeout
            return
        while self.executor.tasks:
            try:
                self.executor.set_bad_state_and_fail_all(ExecutorEndedError(self.trouble()))
                self.executor.tasks.clear()
            except Exception:  # noqa: BLE001, S112  (a result has arrived meanwhile: try again)
                continue
        shutdown = threading.Thread(target=self.executor.shutdown, kwargs={"timeout": 1}, daemon=True)
        shutdown.start()
        shutdown.join(SHUTDOWN_TIMEOUT)

    def wait_until_started(self) -> bool:
        """Wait until its thread does not use the executor any more; return False after a timeout."""
        return self._ready.wait(START_TIMEOUT)

    def end(self) -> None:
        """End the interchange if Parsl has left it."""
        self._end.set()
        _kill(self.interchange)


def _kill(process: subprocess.Popen[bytes] | None) -> None:
    if process is None:
        return
    if process.poll() is None:
        process.kill()
        process.wait(5)
    if process.stdin is not None:  # Parsl leaves it open if the interchange died before it read its configuration
        with contextlib.suppress(OSError):
            process.stdin.close()
