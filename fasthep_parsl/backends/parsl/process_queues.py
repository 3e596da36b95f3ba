"""Queues and processes of a block, made so that any of its processes may be killed at any time.

Parsl's workers use `multiprocessing.Queue`, which loses two things when a worker is killed (by the kernel when memory runs
out, by an op, by a person). A worker that waits for a task holds the lock for reading while it waits: killed then, no other
worker of the node gets a task again. A result is written by a thread in the background, so that a worker that takes its next
task and dies of it at once takes the result of the last one with it, and the run waits for that for ever. A task, too, would
be waited for in vain if its worker died between taking it and noting that it has it.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
from multiprocessing.connection import Pipe
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any

from fasthep_parsl.backends.parsl.anonymous_memory import Count, Ledger, Lock
from fasthep_parsl.backends.parsl.interchange import die_with_parent

RANK = "PARSL_WORKER_RANK"
"""Environment variable in which Parsl writes the number of a worker."""


class InterruptibleQueue:
    """A queue whose locks are held only while a message is moved, and whose workers write before they go on.

    Parameters
    ----------
    ledger : Ledger
        Where a worker that takes a task from it notes that, before anybody else can take one.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._reader, self._writer = Pipe(duplex=False)
        self._reading, self._writing = Lock(), Lock()
        self._ledger = ledger
        self._owner = os.getpid()
        self._begin()

    def _begin(self) -> None:
        self._outbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._sender: threading.Thread | None = None

    def __getstate__(self) -> Any:
        return self._reader, self._writer, self._reading, self._writing, self._ledger, self._owner

    def __setstate__(self, state: Any) -> None:
        self._reader, self._writer, self._reading, self._writing, self._ledger, self._owner = state
        self._begin()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Return the next message; raise `queue.Empty` after `timeout` seconds."""
        until = float("inf") if timeout is None else time.monotonic() + timeout
        while True:
            left = max(until - time.monotonic(), 0.0) if block else 0.0
            if not self._reader.poll(None if left == float("inf") else left):
                raise queue.Empty
            with self._reading as broken:
                self._check(broken)
                if self._reader.poll(0.0):  # another reader may have been faster
                    message = ForkingPickler.loads(self._reader.recv_bytes())
                    if os.getpid() != self._owner:
                        self._ledger[int(os.environ[RANK])] = message
                    return message

    def put(self, obj: Any) -> None:
        """Send a message; a worker returns when it is on its way, the owner (which has other duties) at once."""
        message = bytes(ForkingPickler.dumps(obj))
        if os.getpid() != self._owner:
            self._send(message)
            return
        self._outbox.put(message)
        with self._starting:
            if self._sender is None:
                self._sender = threading.Thread(target=self._send_all, name="queue", daemon=True)
                self._sender.start()

    def _send_all(self) -> None:
        while True:
            self._send(self._outbox.get())

    def _send(self, message: bytes) -> None:
        with self._writing as broken:
            self._check(broken)
            self._writer.send_bytes(message)

    def _check(self, broken: bool) -> None:
        """End the block if a process was killed in the middle of a message: what comes next in the pipe is the rest of it."""
        if broken:
            os.kill(self._owner, signal.SIGKILL)
            os._exit(1)

    def qsize(self) -> int:
        """Say that it is not known; Parsl is prepared for that."""
        raise NotImplementedError


class MortalProcess(ForkServerProcess):
    """A process that does not outlive the fork server, which does not outlive the worker pool."""

    def run(self) -> None:
        """Do its work."""
        die_with_parent(os.getppid())
        super().run()


class Inside(queue.SimpleQueue):  # type: ignore[type-arg]
    """A queue of the pool's own threads; workers get one of their own, into which nobody puts anything."""

    def __reduce__(self) -> Any:
        return Inside, ()


class Helper:
    """Stands for multiprocessing's manager, a process that would keep what the pool and its workers share."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def dict(self) -> Ledger:
        """Return where Parsl notes which worker has which task."""
        return self._ledger

    def Queue(self) -> Inside:  # noqa: N802  (the name that multiprocessing gave it)
        """Return the queue for Parsl's own monitoring, which is not used."""
        return Inside()


class PoolContext(ForkServerContext):
    """The fork server's context with such queues and processes; for one pool."""

    Process = MortalProcess

    def __init__(self) -> None:
        super().__init__()
        self._ledger = Ledger()

    def Queue(self, maxsize: int = 0) -> InterruptibleQueue:  # type: ignore[override]  # noqa: N802
        """Return a queue for messages between processes."""
        del maxsize
        return InterruptibleQueue(self._ledger)

    def Manager(self) -> Helper:  # type: ignore[override]  # noqa: N802
        """Return what keeps shared things."""
        return Helper(self._ledger)

    def Value(self, typecode_or_type: Any, *args: Any, lock: Any = True) -> Count:  # type: ignore[override]  # noqa: N802
        """Return a number that processes share."""
        del typecode_or_type, lock
        return Count(*args)
