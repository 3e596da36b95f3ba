"""A queue that survives the death of the processes at its other end.

Parsl's workers use `multiprocessing.Queue`, which loses two things when a worker is killed (by the kernel when memory runs
out, by an op, by a person). A worker that waits for a task holds the lock for reading while it waits: killed then, no other
worker of the node gets a task again. A result is written by a thread in the background, so that a worker that takes its next
task and dies of it at once takes the result of the last one with it, and the run waits for that for ever.
"""

from __future__ import annotations

import multiprocessing.queues
import os
import time
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.reduction import ForkingPickler
from queue import Empty
from typing import Any

from fasthep_parsl.backends.parsl.interchange import die_with_parent


class PatientQueue(multiprocessing.queues.Queue):  # type: ignore[type-arg]  # generic from Python 3.12 on
    """A queue whose locks are held only while a message is moved, and whose workers write before they go on."""

    _opid: int
    _poll: Any
    _recv_bytes: Any
    _rlock: Any
    _sem: Any
    _send_bytes: Any
    _wlock: Any

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Return the next message; raise `queue.Empty` after `timeout` seconds."""
        until = float("inf") if timeout is None else time.monotonic() + (timeout if block else 0)
        while True:
            left = max(until - time.monotonic(), 0.0)
            if not self._poll(None if left == float("inf") else left):
                raise Empty
            with self._rlock:
                if self._poll(0.0):  # another reader may have been faster
                    message = self._recv_bytes()
                    self._sem.release()
                    break
        return ForkingPickler.loads(message)

    def put(self, obj: Any, block: bool = True, timeout: float | None = None) -> None:
        """Send a message; a worker returns when it is on its way, the owner (which has other duties) at once."""
        if os.getpid() == self._opid:
            super().put(obj, block, timeout)
            return
        message = ForkingPickler.dumps(obj)
        self._sem.acquire(block, timeout)
        with self._wlock:
            self._send_bytes(message)


class MortalProcess(ForkServerProcess):
    """A process that does not outlive the fork server, which does not outlive the worker pool."""

    def run(self) -> None:
        """Do its work."""
        die_with_parent(os.getppid())
        super().run()


class Context(ForkServerContext):
    """The fork server's context with such queues and processes."""

    Process = MortalProcess

    def Queue(self, maxsize: int = 0) -> PatientQueue:  # noqa: N802  (the name that multiprocessing gave it)
        """Return a queue for messages between processes."""
        return PatientQueue(maxsize, ctx=self.get_context())
