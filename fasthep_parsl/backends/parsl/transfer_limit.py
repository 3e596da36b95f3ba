"""Submit tasks together with their files, and limit the bytes in transit. For workers without a shared file system."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from functools import partial
from typing import Any

from fasthep_parsl.tasks import Task, TaskResult
from fasthep_parsl.worker.file_transfer import ResultWithFiles, pack, run_with_files, size_of, unpack

MOST_BYTES = 500_000_000
"""Bytes in transit per pool. The driver and the interchange keep them in memory until a task ends."""

Submit = Callable[..., Future[Any]]


class TransferLimiter:
    """Submits the tasks of one pool. Tasks that exceed the limit wait, in their order.

    Parameters
    ----------
    budget : int
        Bytes in transit at a time. A single task may exceed it.
    secrets : iterable of str
        Names of the secrets that each task carries, see `TaskSecrets`.
    """

    def __init__(self, budget: int = MOST_BYTES, secrets: Iterable[str] = ()) -> None:
        self._budget = budget
        self._secrets = tuple(secrets)
        self._lock = threading.Lock()
        self._load = 0
        self._sending = False
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()

    def send(self, submit: Submit, task: Task) -> Future[TaskResult]:
        """Run `task` by ``submit(function, argument)``. Its output is in the run directory when the future is done."""
        future: Future[TaskResult] = Future()
        try:
            size = size_of(task)
        except (OSError, MemoryError) as error:
            future.set_exception(error)
            return future
        with self._lock:
            self._waiting.append((size, partial(self._send, submit, task, size, future)))
        self._send_waiting()
        return future

    def _send_waiting(self) -> None:
        with self._lock:
            if self._sending:  # another thread does, or a caller: a task may fail in `submit`
                return
            self._sending = True
        while True:
            with self._lock:
                if not self._waiting or (self._load and self._load + self._waiting[0][0] > self._budget):
                    self._sending = False
                    return
                size, send_now = self._waiting.popleft()
                self._load += size
            send_now()

    def _send(self, submit: Submit, task: Task, size: int, future: Future[TaskResult]) -> None:
        try:
            sent = submit(run_with_files, pack(task, self._secrets))
        except (OSError, MemoryError) as error:
            sent = Future()
            sent.set_exception(error)
        sent.add_done_callback(lambda done: self._received(done, task, size, future))

    def _received(self, done: Future[ResultWithFiles], task: Task, size: int, future: Future[TaskResult]) -> None:
        with self._lock:
            self._load -= size
        try:
            result = unpack(done.result(), task.run_dir)
        except BaseException as error:  # noqa: BLE001  (any error belongs to the future)
            future.set_exception(error)
        else:
            future.set_result(result)
        self._send_waiting()
