"""What the processes of a block share: memory and locks without names, so that nothing of them outlives the processes.

The semaphores of multiprocessing have names in ``/dev/shm`` until somebody removes them, and stay shut when their holder
is killed. Here a few bytes of memory, passed on as file descriptors, hold what is shared, and the kernel opens a lock
when its holder dies.
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


class Memory:
    """Bytes that processes share: a file that has no name. It reads as zeros where nothing was written."""

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
        """Return the whole number at `place`."""
        found: int = struct.unpack("q", os.pread(self.file, 8, 8 * place).ljust(8, b"\0"))[0]
        return found

    def write(self, place: int, number: int) -> None:
        """Put a whole number at `place`."""
        os.pwrite(self.file, struct.pack("q", number), 8 * place)


class Lock:
    """A lock for threads of several processes, which the kernel opens when its holder dies.

    Entering it returns whether the last holder has died inside: what it guards may be half done.
    """

    def __init__(self) -> None:
        self._memory = Memory()
        self._threads = threading.Lock()  # the kernel's is one per process

    def __getstate__(self) -> Memory:
        return self._memory

    def __setstate__(self, memory: Memory) -> None:
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


class Ledger:
    """Which worker has which task: what Parsl keeps in a dictionary of a process of its own."""

    def __init__(self) -> None:
        self._memory = Memory()

    def __setitem__(self, worker: int, task: dict[str, Any]) -> None:
        self._memory.write(worker, task["task_id"] + 1)

    def pop(self, worker: int) -> dict[str, Any]:
        """Return the task of a worker, which it has no longer; raise `KeyError` if it has none."""
        number = self._memory.read(worker)
        if not number:
            raise KeyError(worker)
        self._memory.write(worker, 0)
        return {"task_id": number - 1}


class Count:
    """A number that processes change; without a lock, for Parsl only mentions it in its log."""

    def __init__(self, value: int = 0) -> None:
        self._memory = Memory()
        self.value = value

    @property
    def value(self) -> int:
        """The number."""
        return self._memory.read(0)

    @value.setter
    def value(self, number: int) -> None:
        self._memory.write(0, number)

    def get_lock(self) -> AbstractContextManager[None]:
        """Return what stands for its lock."""
        return nullcontext()
