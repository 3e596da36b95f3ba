"""Identity of a driver process, and whether it still runs: `cleanup` must not remove the jobs of an active run."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

import psutil

TOLERANCE = 2.0
"""Seconds by which two readings of the start time of a process may differ."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/self/ns/pid")


@dataclass(frozen=True, slots=True)
class DriverProcess:
    """Identity of a driver process: machine, process number and start time.

    Attributes
    ----------
    host : str
        Name of the machine.
    pid : int
        Process number.
    since : float
        Start time, seconds since 1970.
    ticks : int
        The same in ticks of the kernel since its boot, 0 if unknown.
    boot : str or None
        Identifies the boot of the kernel.
    container : str or None
        Identifies the process namespace.
    """

    host: str
    pid: int
    since: float
    ticks: int = 0
    boot: str | None = None
    container: str | None = None


def this_driver() -> DriverProcess:
    """Return the identity of this process."""
    pid = os.getpid()
    return DriverProcess(
        socket.gethostname(), pid, psutil.Process().create_time(), _ticks(pid), _read(_BOOT), _link(_NAMESPACE)
    )


def is_alive(driver: DriverProcess) -> bool | None:
    """Return whether a driver still runs, None if this machine cannot check it."""
    if not _is_here(driver):
        return None
    try:
        process = psutil.Process(driver.pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return False
        ticks = _ticks(driver.pid)
        if ticks and driver.ticks:  # a change of the clock does not affect them
            return ticks == driver.ticks
        began = process.create_time()
    except psutil.AccessDenied:
        return None
    except (psutil.NoSuchProcess, ValueError):
        return None if _is_hidden(driver.pid) else False
    return bool(abs(began - driver.since) < TOLERANCE)


def is_stopped(driver: DriverProcess) -> bool:
    """Return whether a driver of this machine is stopped (Ctrl-Z)."""
    try:
        return _is_here(driver) and psutil.Process(driver.pid).status() == psutil.STATUS_STOPPED
    except (psutil.Error, ValueError):
        return False


def _is_here(driver: DriverProcess) -> bool:
    """Return whether a driver has run on this machine, in this process namespace."""
    return (
        driver.host == socket.gethostname()
        and driver.boot in (None, _read(_BOOT))
        and driver.container in (None, _link(_NAMESPACE))
    )


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
