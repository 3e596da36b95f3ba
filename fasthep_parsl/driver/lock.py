"""One driver per run directory, on any machine that sees it: a lock made of files, without help of the file system.

A lock is a file ``driver.lock.<n>`` that says who holds it, and whose time of modification its holder sets again and
again. It is made by a hard link or an exclusive create, which every shared file system does atomically; `flock` and
`fcntl` are local or absent on many. It is never broken by removing it: who finds that the holder of number n is dead
makes number n + 1, and only one can. A holder that finds a higher number, or its own file gone, has lost the lock.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import threading
import time
from collections.abc import Callable
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
    lives,
    lock_path,
    make,
    numbers,
    who,
)
from fasthep_parsl.errors import RunError

CHECK = 1.0
"""Seconds for which a look at the lock is good."""


class LockLostError(RunError):
    """Another driver has taken over the run directory: this one must not write there any more."""


class DriverLock:
    """The lock of a run directory, held.

    Parameters
    ----------
    folder : Path
        The run directory; exists.
    what : str
        What it is held for: ``run`` or ``cleanup``.

    Raises
    ------
    ConfigError
        Another process holds it; says who, since when, and what to do.
    OSError
        The folder cannot be written.
    """

    def __init__(self, folder: Path, what: str = "run") -> None:
        self._folder = folder
        self._pid = os.getpid()
        self.token = os.urandom(8).hex()
        self._content = json.dumps({"token": self.token, "since": _now(), "what": what, "driver": this_driver()})
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
        """Make the next lock; None if another process was faster, or slower."""
        dead = []
        for holder in holders(self._folder):
            if lives(self._folder, holder, draft):
                raise in_use(self._folder, holder)
            dead.append(holder)
        number = max((holder.number for holder in dead), default=0) + 1
        path = lock_path(self._folder, number)
        if not make(path, draft, self._content):
            return None
        known = {(holder.number, holder.token) for holder in dead} | {(number, self.token)}
        if any((holder.number, holder.token) not in known for holder in holders(self._folder)):
            path.unlink(missing_ok=True)  # at least one of two that meet sees the other, and gives way
            return None
        for holder in dead:
            lock_path(self._folder, holder.number).unlink(missing_ok=True)
        return path

    # --- holding it ---------------------------------------------------------------------------------------

    def check(self) -> None:
        """Make sure that the lock is still held.

        Raises
        ------
        LockLostError
            Another driver has taken over. It may do so when this process was stopped, or could not reach the file
            system, for more than `STALE` seconds.
        """
        if not self.held():
            others = ", ".join(who(holder) for holder in holders(self._folder)) or "another driver"
            raise LockLostError(f"{self._folder} was taken over by {others}: this run writes nothing more")

    def held(self) -> bool:
        """Return whether the lock is still held; cheap if that was seen less than `CHECK` seconds ago."""
        now = _clock()
        if not self._lost and now - self._checked >= CHECK:
            self._lost, self._checked = self.lost(), now
        return not self._lost

    def lost(self) -> bool:
        """Return whether the lock is certainly lost; a file system that does not answer is no reason to give up."""
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
        """Give signs of life from now on, in a thread; call `on_loss` there if the lock is lost."""

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
        """Give the lock up; not that of another process that is a fork of this one, nor one that is lost."""
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
    """Return seconds of a clock that goes on while the machine sleeps, where there is one."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
