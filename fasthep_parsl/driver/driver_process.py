"""Identity of a driver process, and whether it still runs: `cleanup` must not remove the jobs of an active run."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

TOLERANCE = 2.0
"""Seconds by which two readings of the start time of a process may differ."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/self/ns/pid")


def this_driver() -> dict[str, Any]:
    """Return the identity of this process: machine, process number and start time.

    The machine is identified by its name, the boot of its kernel, and the process namespace (container).
    """
    return {
        "host": socket.gethostname(),
        "boot": _read(_BOOT),
        "container": _link(_NAMESPACE),
        "pid": os.getpid(),
        "since": psutil.Process().create_time(),
        "ticks": _ticks(os.getpid()),
    }


def is_alive(driver: Mapping[str, Any]) -> bool | None:
    """Return whether a driver still runs, None if this machine cannot check it.

    Parameters
    ----------
    driver : mapping
        `this_driver()` of that process.
    """
    if not _is_here(driver):
        return None
    pid = driver.get("pid", 0)
    try:
        process = psutil.Process(pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return False
        ticks = _ticks(pid)
        if ticks and driver.get("ticks"):  # a change of the clock does not affect them
            return bool(ticks == driver["ticks"])
        began = process.create_time()
    except psutil.AccessDenied:
        return None
    except (psutil.NoSuchProcess, ValueError):
        return None if _is_hidden(pid) else False
    return bool(abs(began - driver.get("since", began)) < TOLERANCE)


def is_stopped(driver: Mapping[str, Any]) -> bool:
    """Return whether a driver of this machine is stopped (Ctrl-Z)."""
    try:
        return _is_here(driver) and psutil.Process(driver["pid"]).status() == psutil.STATUS_STOPPED
    except (psutil.Error, KeyError, ValueError):
        return False


def _is_here(driver: Mapping[str, Any]) -> bool:
    """Return whether a driver has run on this machine, in this process namespace."""
    here = {"host": socket.gethostname(), "boot": _read(_BOOT), "container": _link(_NAMESPACE)}
    return all(driver.get(key, here[key]) == here[key] for key in here)


def _is_hidden(pid: int) -> bool:
    """Return whether another user has a process with this number, which the kernel hides."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def _ticks(pid: int) -> int:
    """Return the start time of a process in ticks since the boot, 0 if unknown."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""
