"""Lock files of a run directory: who holds it, whether that process still works, and how to say so."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fasthep_parsl.driver.driver_process import is_alive, is_stopped
from fasthep_parsl.errors import ConfigError, Problem

NAME = "driver.lock"
BEAT = 10.0
"""Seconds between two signs of life."""
STALE = 90.0
"""Seconds without a sign of life after which a driver on another machine may be dead: network file systems may show an
old time for a minute."""
_FILE = re.compile(re.escape(NAME) + r"\.(\d+)")
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV, errno.EINVAL)


@dataclass(frozen=True, slots=True)
class LockHolder:
    """Who holds a lock, as its file says.

    Attributes
    ----------
    number : int
        Of the file.
    driver : dict
        As `this_driver` has returned it there; empty if the file is not readable.
    token : str
        Unique to the lock.
    since : str
        When it was taken, UTC.
    what : str
        What it is held for.
    """

    number: int
    driver: dict[str, Any] = field(default_factory=dict)
    token: str = ""
    since: str = ""
    what: str = ""


def is_lock(path: Path) -> bool:
    """Return whether a file in a run directory is one of a lock."""
    return path.name.removeprefix(".").startswith(f"{NAME}.")


def holders(folder: Path) -> list[LockHolder]:
    """Return what the locks in a folder say, those of dead processes included."""
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
        return LockHolder(number, dict(found["driver"]), found["token"], found["since"], found["what"])
    except (OSError, ValueError, KeyError, TypeError):
        return LockHolder(number)


def make(path: Path, draft: Path, content: str) -> bool:
    """Make a lock file; return False if there is one."""
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    except OSError as error:
        if draft.stat().st_nlink == 2:  # the answer of a file server was lost on its way
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


def lives(folder: Path, holder: LockHolder, mine: Path) -> bool:
    """Return whether the holder of a lock still works; waits where that can be seen only by waiting."""
    alive = is_alive(holder.driver) if holder.driver else None
    if alive is not None:
        return alive
    if abs(_age(folder, holder, mine)) < STALE:
        return True
    # clocks of machines may differ, and some file systems show the time of who writes: look whether it moves
    before = _beat(folder, holder)
    until = time.monotonic() + 2 * BEAT
    while time.monotonic() < until:
        time.sleep(min(1.0, BEAT / 10))
        if _beat(folder, holder) != before:
            return True
    return False


def _age(folder: Path, holder: LockHolder, mine: Path) -> float:
    """Return the seconds since the last sign of life, by the clock of the file server."""
    with contextlib.suppress(OSError):
        os.utime(mine)
    try:
        return mine.stat().st_mtime - _beat(folder, holder)
    except OSError:
        return 0.0


def _beat(folder: Path, holder: LockHolder) -> float:
    """Return the time of the last sign of life; opening the file asks the server and not a cache."""
    try:
        with lock_path(folder, holder.number).open("rb") as file:
            return os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        return -1.0


def in_use(folder: Path, holder: LockHolder) -> ConfigError:
    """Return the error that says who holds the lock, since when, and what to do."""
    return ConfigError(Problem("E166", f"{folder} is in use by {who(holder)}", hint=_what_to_do(holder)))


def who(holder: LockHolder) -> str:
    """Return who holds a lock, in words."""
    if not holder.driver:
        return "another process, which does not say who it is"
    name = f"`fasthep-parsl {holder.what}`, process {holder.driver['pid']} on {holder.driver['host']}"
    return f"{name}, since {holder.since}"


def _what_to_do(holder: LockHolder) -> str:
    host, pid = holder.driver.get("host", ""), holder.driver.get("pid", 0)
    if pid == os.getpid() and is_alive(holder.driver):
        return "another thread of this program runs there: wait for it, or give another --outdir"
    if is_stopped(holder.driver):
        return f"it is stopped: `kill -CONT {pid}` lets it go on, `kill -KILL {pid}` ends it"
    if is_alive(holder.driver):
        return f"wait for it, end it with Ctrl-C or `kill {pid}`, or give another --outdir"
    where = f" on {host}" if host else ""
    return (
        f"wait for it, or end it{where}; if that machine is down, try again in {STALE:.0f} s; or give another --outdir"
    )
