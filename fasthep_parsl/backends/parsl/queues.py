"""A queue that survives the death of a process that waits for it.

Parsl's workers wait for tasks in `multiprocessing.Queue.get`, and one of them holds the queue's lock while it waits. If
that one is killed (by the kernel when memory runs out, by a person), the lock is never released, and no other worker of the
node gets a task again.
"""

from __future__ import annotations

import multiprocessing.queues
import time
from multiprocessing.context import ForkServerContext
from queue import Empty
from typing import Any


class PatientQueue(multiprocessing.queues.Queue):  # type: ignore[type-arg]  # generic from Python 3.12 on
    """A queue whose readers wait without the lock, and hold it only while they take a message out."""

    _poll: Any
    _recv_bytes: Any
    _rlock: Any
    _sem: Any

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
        return multiprocessing.queues._ForkingPickler.loads(message)  # type: ignore[attr-defined]


class Context(ForkServerContext):
    """The fork server's context with such queues."""

    def Queue(self, maxsize: int = 0) -> PatientQueue:  # noqa: N802  (the name that multiprocessing gave it)
        """Return a queue for messages between processes."""
        return PatientQueue(maxsize, ctx=self.get_context())
