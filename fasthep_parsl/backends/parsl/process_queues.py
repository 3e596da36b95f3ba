"""Queues and processes of a block that survive the death of any of its processes.

Parsl's workers use `multiprocessing.Queue`, which fails in three ways when a worker is killed (by the kernel when memory runs
out, by an op, by a user):

- A worker that waits for a task holds the lock for reading. If it is killed, no other worker of the node gets a task.
- Results are written by a background thread. If a worker dies at the start of its next task, the previous result is lost,
  and the run waits for it without end.
- If a worker dies between taking a task and recording that it has it, the run waits for this task without end.
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

from fasthep_parsl.backends.parsl.anonymous_memory import ProcessLock, SharedNumber, TaskTable
from fasthep_parsl.backends.parsl.interchange import die_with_parent

RANK = "PARSL_WORKER_RANK"
"""Environment variable with the number of a worker, set by Parsl."""


class KillSafeQueue:
    """A queue that holds its locks only while a message is moved. Workers write their messages synchronously.

    Parameters
    ----------
    table : TaskTable
        A worker that takes a task records it here before the next worker can take one.
    """

    def __init__(self, table: TaskTable) -> None:
        self._reader, self._writer = Pipe(duplex=False)
        self._reading, self._writing = ProcessLock(), ProcessLock()
        self._table = table
        self._owner = os.getpid()
        self._begin()

    def _begin(self) -> None:
        self._outbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._sender: threading.Thread | None = None

    def __getstate__(self) -> Any:
        return self._reader, self._writer, self._reading, self._writing, self._table, self._owner

    def __setstate__(self, state: Any) -> None:
        self._reader, self._writer, self._reading, self._writing, self._table, self._owner = state
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
                        self._table[int(os.environ[RANK])] = message
                    return message

    def put(self, obj: Any) -> None:
        """Send a message. In a worker, return when it is written; in the owner, return at once and write in a thread."""
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
        """End the block if a process was killed while it moved a message: the pipe then has an incomplete one."""
        if broken:
            os.kill(self._owner, signal.SIGKILL)
            os._exit(1)

    def qsize(self) -> int:
        """Raise `NotImplementedError`, which Parsl expects where the size is unknown."""
        raise NotImplementedError


class PoolProcess(ForkServerProcess):
    """A worker process that ends with the fork server, which ends with the worker pool."""

    def run(self) -> None:
        """Run the worker."""
        die_with_parent(os.getppid())
        super().run()


class ThreadQueue(queue.SimpleQueue):  # type: ignore[type-arg]
    """A queue for the threads of the pool. A worker gets an empty queue instead of a copy."""

    def __reduce__(self) -> Any:
        return ThreadQueue, ()


class SharedObjects:
    """Replaces multiprocessing's manager, an extra process with the objects that the pool and its workers share."""

    def __init__(self, table: TaskTable) -> None:
        self._table = table

    def dict(self) -> TaskTable:
        """Return the table in which Parsl records the task of each worker."""
        return self._table

    def Queue(self) -> ThreadQueue:  # noqa: N802  (the name that multiprocessing gave it)
        """Return the queue for Parsl's monitoring, which is not used."""
        return ThreadQueue()


class PoolContext(ForkServerContext):
    """A fork server context with these queues and processes, for one pool."""

    Process = PoolProcess

    def __init__(self) -> None:
        super().__init__()
        self._table = TaskTable()

    def Queue(self, maxsize: int = 0) -> KillSafeQueue:  # type: ignore[override]  # noqa: N802
        """Return a queue for messages between processes."""
        del maxsize
        return KillSafeQueue(self._table)

    def Manager(self) -> SharedObjects:  # type: ignore[override]  # noqa: N802
        """Return the manager of shared objects."""
        return SharedObjects(self._table)

    def Value(self, typecode_or_type: Any, *args: Any, lock: Any = True) -> SharedNumber:  # type: ignore[override]  # noqa: N802
        """Return a number that processes share."""
        del typecode_or_type, lock
        return SharedNumber(*args)
