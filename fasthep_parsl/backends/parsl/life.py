"""One executor with its interchange and its blocks: what is started anew as a whole when a part of it dies."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

from parsl.executors.high_throughput.errors import CommandClientBadError, CommandClientTimeoutError

from fasthep_parsl.backends.parsl import executors
from fasthep_parsl.backends.parsl.provider import LocalBlocks
from fasthep_parsl.plan import PlanPool

START_TIMEOUT = 10.0
"""Seconds that we wait for an interchange that is just starting before we end it."""
ASK_PERIOD = 5.0
"""Seconds between two questions to an interchange whose workers have connected."""
ASK_TIMEOUT = 10.0
"""Seconds in which an interchange must answer."""
SHUTDOWN_TIMEOUT = 5.0
"""Seconds that Parsl may take to close an executor that has died."""


class LifeEndedError(Exception):
    """The executor has ended; its tasks can be run again on the next one."""


class Life:
    """An executor from its start to its end.

    Parameters
    ----------
    pool : PlanPool
        The pool.
    kernel : DataFlowKernel
        Knows the executor by its label from now on.
    blocks : LocalBlocks
        Its provider; not shared.
    started : callable
        Called with the life, in its thread, once tasks can be given to it.
    """

    def __init__(self, pool: PlanPool, kernel: Any, blocks: LocalBlocks, started: Callable[[Life], None]) -> None:
        self.pool = pool
        self.blocks = blocks
        self.error = ""
        self.connected = False
        self._asked = self._contact = 0.0
        self.executor = executors.executor(pool, blocks, _accelerators(pool))
        self._kernel = kernel
        self._started = started
        self._ready = threading.Event()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"pool-{pool.name}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        # The interchange inherits this thread's mask: Ctrl-C on a terminal must not end it before the driver says so.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._kernel.add_executors([self.executor])
            executors.prepare(self.pool, self.executor)
            if not self._end.is_set():
                self.executor.scale_out_facade(self.pool.blocks)
        except Exception as error:  # noqa: BLE001  (a thread has nobody to raise to)
            self.error = str(error) or type(error).__name__
        self._ready.set()
        if not self.error and not self._end.is_set():
            self._started(self)
        self._end.wait()  # the interchange ends with the thread that started it, so this one stays

    # --- what can be seen ---------------------------------------------------------------------------------

    @property
    def interchange(self) -> subprocess.Popen[bytes] | None:
        """The interchange, None if it was not started yet."""
        process: subprocess.Popen[bytes] | None = self.executor.interchange_proc
        return process

    @property
    def usable(self) -> bool:
        """Whether tasks can be given to it."""
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
        if self._ready.is_set() and not self.executor._result_queue_thread.is_alive():
            return "what takes in its results has failed; see log/parsl"
        codes = self.blocks.ended()
        if self._ready.is_set() and None not in codes:
            ends = ", ".join(str(code) for code in codes) or "none could be started"
            return f"all its blocks have ended (exit code {ends})"
        return ""

    @property
    def faultless(self) -> bool:
        """Whether the interchange lives: if there is trouble, it is the blocks'."""
        process = self.interchange
        return process is not None and process.poll() is None

    def replace_blocks(self) -> int:
        """Start a block for each that has ended while others run; return how many."""
        lost = sum(code is not None for code in self.blocks.ended())
        missing = self.pool.blocks - (len(self.blocks.ended()) - lost)
        if lost and missing > 0 and self._ready.is_set():
            self.executor.scale_out_facade(missing)
            return missing
        return 0

    def look_for_workers(self) -> bool:
        """Ask the interchange who is there; return whether workers have ever connected.

        Blocks that run, but have lost contact for long, count as trouble; so does an interchange that does not answer.
        """
        now = time.monotonic()
        if self._ready.is_set() and not self.error and (not self.connected or now > self._asked + ASK_PERIOD):
            self._asked = now
            try:
                managers = self.executor.command_client.run("MANAGERS", timeout_s=ASK_TIMEOUT)
            except (CommandClientBadError, CommandClientTimeoutError):
                self.error = f"its interchange has not answered for {ASK_TIMEOUT:g} s"
                return self.connected
            if managers:
                self.connected, self._contact = True, now
            elif self.connected and now > self._contact + executors.HEARTBEAT_THRESHOLD:
                self.error = f"its workers have had no contact for {now - self._contact:.0f} s"
        return self.connected

    # --- its end ------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End all processes of its blocks, and let nothing start any more."""
        self._end.set()
        self.blocks.close()

    def give_up(self) -> None:
        """End it while the run goes on: its tasks fail with `BadStateException`. Never hangs."""
        self.close()
        _kill(self.interchange)
        if not self._ready.is_set():  # its thread waits for an interchange that is dead, and gives up after a while
            return
        while self.executor.tasks:
            try:
                self.executor.set_bad_state_and_fail_all(LifeEndedError(self.trouble()))
                self.executor.tasks.clear()
            except Exception:  # noqa: BLE001, S112  (a result came in between: look again)
                continue
        shutdown = threading.Thread(target=self.executor.shutdown, kwargs={"timeout": 1}, daemon=True)
        shutdown.start()
        shutdown.join(SHUTDOWN_TIMEOUT)

    def wait_until_started(self) -> bool:
        """Wait until its thread does not use the executor any more; return whether it came so far."""
        return self._ready.wait(START_TIMEOUT)

    def end(self) -> None:
        """End what Parsl has left."""
        self._end.set()
        _kill(self.interchange)


def _kill(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None and process.poll() is None:
        process.kill()
        process.wait(5)


def _accelerators(pool: PlanPool) -> list[str]:
    """Return the devices that workers are pinned to: those that are visible to us, one per worker."""
    if not pool.gpus:
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(number) for number in range(pool.workers * pool.gpus)]
    return names[: pool.workers * pool.gpus : pool.gpus]
