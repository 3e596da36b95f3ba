"""Lock of a run directory: one driver at a time, on all machines that share the directory.

A lock is a file ``driver.lock.<n>`` that describes its holder, who updates its modification time regularly. It is made
by a hard link or an exclusive create, which are atomic on every shared file system; `flock` and `fcntl` are local or
missing on many. A lock is never broken by removing its file: a process that finds the holder of number n dead makes
number n + 1, and only one process can. A holder that finds a higher number, or no file of its own, has lost the lock.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from fasthep_parsl.driver.driver_process import this_driver
from fasthep_parsl.driver.lock_files import (
    BEAT,
    NAME,
    LockHolder,
    holders,
    in_use,
    is_running,
    lock_path,
    make,
    numbers,
    who,
)
from fasthep_parsl.errors import RunError

CHECK = 1.0
"""Seconds for which the result of a check is used again."""


class LockLostError(RunError):
    """Another driver has taken over the run directory. This one must not write to it any more."""


class DriverLock:
    """Lock of a run directory, held by this process.

    Parameters
    ----------
    folder : Path
        The run directory; it must exist.
    what : str
        Purpose: ``run`` or ``cleanup``.

    Raises
    ------
    ConfigError
        Another process holds it.
    OSError
        The folder cannot be written.
    """

    def __init__(self, folder: Path, what: str = "run") -> None:
        self._folder = folder
        self._pid = os.getpid()
        self.token = os.urandom(8).hex()
        self._content = json.dumps(
            {"token": self.token, "since": _now(), "what": what, "driver": asdict(this_driver())}
        )
        self._checked, self._lost = _clock(), False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._path = self._acquire()

    # --- taking it ----------------------------------------------------------------------------------------

    def _acquire(self) -> Path:
        draft = self._folder / f".{NAME}.{self.token}"
        try:
            with draft.open("x") as file:
                file.write(self._content)
                file.flush()
                os.fsync(file.fileno())
            for _ in range(50):
                path = self._try(draft)
                if path is not None:
                    return path
                time.sleep(random.uniform(0.01, 0.1))  # noqa: S311
        finally:
            draft.unlink(missing_ok=True)
        raise in_use(self._folder, LockHolder(0))

    def _try(self, draft: Path) -> Path | None:
        """Make the next lock; None if another process makes one at the same time."""
        dead = []
        for holder in holders(self._folder):
            if is_running(self._folder, holder, draft):
                raise in_use(self._folder, holder)
            dead.append(holder)
        number = max((holder.number for holder in dead), default=0) + 1
        path = lock_path(self._folder, number)
        if not make(path, draft, self._content):
            return None
        known = {(holder.number, holder.token) for holder in dead} | {(number, self.token)}
        if any((holder.number, holder.token) not in known for holder in holders(self._folder)):
            path.unlink(missing_ok=True)  # of two processes at least one sees the other, and gives way
            return None
        for holder in dead:
            lock_path(self._folder, holder.number).unlink(missing_ok=True)
        return path

    # --- holding it ---------------------------------------------------------------------------------------

    def check(self) -> None:
        """Check that the lock is still held.

        Raises
        ------
        LockLostError
            Another driver has taken over, because this process was stopped or could not reach the file system for more
            than `STALE` seconds.
        """
        if not self.held():
            others = ", ".join(who(holder) for holder in holders(self._folder)) or "another driver"
            raise LockLostError(f"{self._folder} was taken over by {others}; this run stops writing")

    def held(self) -> bool:
        """Return whether the lock is still held. The file is checked at most every `CHECK` seconds."""
        now = _clock()
        if not self._lost and now - self._checked >= CHECK:
            self._lost, self._checked = self.lost(), now
        return not self._lost

    def lost(self) -> bool:
        """Return whether the lock is lost for certain. A file system that does not answer does not count."""
        try:
            mine = int(self._path.name.rpartition(".")[2])
            if any(number > mine for number in numbers(self._folder)):
                return True
            return bool(json.loads(self._path.read_bytes())["token"] != self.token)
        except FileNotFoundError:
            return True
        except (OSError, ValueError, KeyError):
            return False

    def keep(self, on_loss: Callable[[], None]) -> None:
        """Start a thread that updates the lock file; it calls `on_loss` if the lock is lost."""

        def beat() -> None:
            while not self._stop.wait(BEAT):
                self._lost = self._lost or self.lost()
                if self._lost:
                    on_loss()
                    return
                with contextlib.suppress(OSError):
                    os.utime(self._path)

        if self._thread is None:
            self._thread = threading.Thread(target=beat, name="driver-lock", daemon=True)
            self._thread.start()

    def release(self) -> None:
        """Release the lock, unless it is lost. A forked process does not release the lock of its parent."""
        self._stop.set()
        if os.getpid() == self._pid and not self.lost():
            with contextlib.suppress(OSError):
                self._path.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _clock() -> float:
    """Return the seconds of a clock that continues during sleep, if the system has one."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
