"""Lock files of a run directory: read and make them, check whether their holder still runs, and describe it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from fasthep_parsl.driver.driver_process import DriverProcess, is_alive, is_stopped
from fasthep_parsl.errors import Advice, ConfigError, Hint, Problem

NAME = "driver.lock"
BEAT = 10.0
"""Seconds between two updates of the lock file by its holder."""
STALE = 90.0
"""Seconds without an update after which a driver on another machine may be dead. Network file systems may show a time
that is a minute old."""
_FILE = re.compile(re.escape(NAME) + r"\.(\d+)")
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV, errno.EINVAL)


@dataclass(frozen=True, slots=True)
class LockHolder:
    """Holder of a lock, as described by its file.

    Attributes
    ----------
    number : int
        Number of the file.
    driver : DriverProcess or None
        The process that holds it; None if the file is not readable.
    token : str
        Unique to the lock.
    since : str
        Time of acquisition, UTC.
    what : str
        Purpose: ``run`` or ``cleanup``.
    """

    number: int
    driver: DriverProcess | None = None
    token: str = ""
    since: str = ""
    what: str = ""


def is_lock(path: Path) -> bool:
    """Return whether a file in a run directory is a lock file."""
    return path.name.removeprefix(".").startswith(f"{NAME}.")


def holders(folder: Path) -> list[LockHolder]:
    """Return the holders of all locks in a folder, including dead processes."""
    return [_read(folder, number) for number in sorted(numbers(folder))]


def numbers(folder: Path) -> list[int]:
    """Return the numbers of the lock files in a folder."""
    return [int(match[1]) for name in os.listdir(folder) if (match := _FILE.fullmatch(name))]  # noqa: PTH208


def lock_path(folder: Path, number: int) -> Path:
    """Return the lock file with a number."""
    return folder / f"{NAME}.{number}"


def _read(folder: Path, number: int) -> LockHolder:
    try:
        found = json.loads(lock_path(folder, number).read_bytes())
        return LockHolder(number, DriverProcess(**found["driver"]), found["token"], found["since"], found["what"])
    except (OSError, ValueError, KeyError, TypeError):
        return LockHolder(number)


def make(path: Path, draft: Path, content: str) -> bool:
    """Make a lock file; return False if it exists."""
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    except OSError as error:
        if draft.stat().st_nlink == 2:  # the link was made, but the answer of the file server was lost
            return True
        if error.errno not in _NO_LINKS:
            raise
    else:
        return True
    try:
        with path.open("x") as file:
            file.write(content)
    except FileExistsError:
        return False
    return True


def is_running(folder: Path, holder: LockHolder, mine: Path) -> bool:
    """Return whether the holder of a lock still runs. If necessary, wait for its next update."""
    alive = is_alive(holder.driver) if holder.driver else None
    if alive is not None:
        return alive
    if abs(_age(folder, holder, mine)) < STALE:
        return True
    # clocks may differ, and some file systems use the clock of the writer: wait for the time to change
    before = _beat(folder, holder)
    until = time.monotonic() + 2 * BEAT
    while time.monotonic() < until:
        time.sleep(min(1.0, BEAT / 10))
        if _beat(folder, holder) != before:
            return True
    return False


def _age(folder: Path, holder: LockHolder, mine: Path) -> float:
    """Return the seconds since the last update, by the clock of the file server."""
    with contextlib.suppress(OSError):
        os.utime(mine)
    try:
        return mine.stat().st_mtime - _beat(folder, holder)
    except OSError:
        return 0.0


def _beat(folder: Path, holder: LockHolder) -> float:
    """Return the time of the last update. The file is opened to bypass caches."""
    try:
        with lock_path(folder, holder.number).open("rb") as file:
            return os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        return -1.0


def in_use(folder: Path, holder: LockHolder) -> ConfigError:
    """Return the error for a lock that another process holds, with the process and what to do."""
    return ConfigError(Problem("E166", f"{folder} is in use by {who(holder)}", hint=_what_to_do(holder)))


def who(holder: LockHolder) -> str:
    """Return a description of the holder of a lock."""
    if holder.driver is None:
        return "another process (its lock file is not readable)"
    name = f"`fasthep-parsl {holder.what}`, process {holder.driver.pid} on {holder.driver.host}"
    return f"{name}, since {holder.since}"


def _what_to_do(holder: LockHolder) -> Hint:
    if holder.driver is None:
        return _wait_or_end("")
    pid = holder.driver.pid
    if pid == os.getpid() and is_alive(holder.driver):
        return Advice("another thread of this program uses it: wait for it, or give another {outdir}")
    if is_stopped(holder.driver):
        return f"it is stopped: `kill -CONT {pid}` continues it, `kill -KILL {pid}` ends it"
    if is_alive(holder.driver):
        return Advice("wait for it, end it with Ctrl-C or `kill {0}`, or give another {outdir}", values=(str(pid),))
    return _wait_or_end(f" on {holder.driver.host}")


def _wait_or_end(where: str) -> Advice:
    text = "wait for it, or end it{0}; if the machine is down, try again in %.0f s; or give another {outdir}"
    return Advice(text % STALE, values=(where,))
