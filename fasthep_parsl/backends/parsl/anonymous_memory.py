"""Shared memory, locks and counters without names, so that nothing remains when the processes that share them are killed.

The semaphores of multiprocessing have names in ``/dev/shm`` that remain until they are removed, and a semaphore stays locked
if its holder is killed. Here the processes of a block share a few bytes of memory by a file descriptor, and the kernel
releases a lock when its holder dies.
"""

from __future__ import annotations

import fcntl
import os
import struct
import tempfile
import threading
from contextlib import AbstractContextManager, nullcontext
from multiprocessing import reduction
from typing import Any


class AnonymousMemory:
    """Integers that processes share, in a file without a name. They are 0 until they are written."""

    def __init__(self) -> None:
        if hasattr(os, "memfd_create"):
            self.file = os.memfd_create("fasthep-parsl")
        else:
            with tempfile.TemporaryFile() as file:
                self.file = os.dup(file.fileno())

    def __getstate__(self) -> Any:
        return reduction.DupFd(self.file)  # only while a process is started

    def __setstate__(self, state: Any) -> None:
        self.file = state.detach()

    def __del__(self) -> None:
        os.close(self.file)

    def read(self, place: int) -> int:
        """Return the integer at index `place`."""
        found: int = struct.unpack("q", os.pread(self.file, 8, 8 * place).ljust(8, b"\0"))[0]
        return found

    def write(self, place: int, number: int) -> None:
        """Write an integer at index `place`."""
        os.pwrite(self.file, struct.pack("q", number), 8 * place)


class ProcessLock:
    """A lock for the threads of several processes. The kernel releases it when its holder dies.

    Entering it returns whether the last holder died inside. The data that it protects may then be incomplete.
    """

    def __init__(self) -> None:
        self._memory = AnonymousMemory()
        self._threads = threading.Lock()  # the kernel's lock is for whole processes

    def __getstate__(self) -> AnonymousMemory:
        return self._memory

    def __setstate__(self, memory: AnonymousMemory) -> None:
        self._memory = memory
        self._threads = threading.Lock()

    def __enter__(self) -> bool:
        self._threads.acquire()
        fcntl.lockf(self._memory.file, fcntl.LOCK_EX)
        broken = self._memory.read(0) != 0
        self._memory.write(0, 1)
        return broken

    def __exit__(self, *reason: object) -> None:
        self._memory.write(0, 0)
        fcntl.lockf(self._memory.file, fcntl.LOCK_UN)
        self._threads.release()


class TaskTable:
    """The task of each worker. Parsl keeps this in a dictionary of a manager process."""

    def __init__(self) -> None:
        self._memory = AnonymousMemory()

    def __setitem__(self, worker: int, task: dict[str, Any]) -> None:
        self._memory.write(worker, task["task_id"] + 1)

    def pop(self, worker: int) -> dict[str, Any]:
        """Remove and return the task of a worker; raise `KeyError` if it does not have one."""
        number = self._memory.read(worker)
        if not number:
            raise KeyError(worker)
        self._memory.write(worker, 0)
        return {"task_id": number - 1}


class SharedNumber:
    """A number that processes change, without a lock: Parsl only writes it to its log."""

    def __init__(self, value: int = 0) -> None:
        self._memory = AnonymousMemory()
        self.value = value

    @property
    def value(self) -> int:
        """The number."""
        return self._memory.read(0)

    @value.setter
    def value(self, number: int) -> None:
        self._memory.write(0, number)

    def get_lock(self) -> AbstractContextManager[None]:
        """Return a context that takes the place of its lock."""
        return nullcontext()
