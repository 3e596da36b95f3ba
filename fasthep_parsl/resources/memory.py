"""Resident memory of this process, and its peak over any part of its life.

Linux keeps one high-water mark per process; it can be set back to what is in use, which costs 1 µs. Then the mark that
`getrusage` gives falls too, so whoever wants the peak since the start asks here.
"""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass


@dataclass
class _Process:
    """What is known of one process; a fork begins with nothing.

    Attributes
    ----------
    pid : int
        The process.
    before : int
        Peak before the mark was set back for the last time, bytes.
    reset, usage, status : int
        ``clear_refs``, ``statm`` and ``status`` of ``/proc``, kept open; -1 if there is no such thing.
    inherited : bool
        Whether `getrusage` tells of the program that this one was started from, where that was larger.
    """

    pid: int = -1
    before: int = 0
    reset: int = -1
    usage: int = -1
    status: int = -1
    inherited: bool = False


_process = _Process()


def peak() -> int:
    """Return the peak of this process since its start, bytes."""
    before = _process.before if _process.pid == os.getpid() else 0
    return max(before, _mark())


def restart_peak() -> int:
    """Let `peak_since` give the peak from now on, and return what is in use, bytes.

    Where the system has no such thing, both stay the peak since the start.
    """
    if _process.pid != os.getpid():
        _begin()
    _process.before = peak()
    if min(_process.reset, _process.usage, _process.status) < 0:
        return _process.before
    os.write(_process.reset, b"5")
    return _mark()


def peak_since() -> int:
    """Return the peak since `restart_peak`, bytes."""
    return _mark()


def in_use() -> int:
    """Return resident memory, bytes; the peak where the system does not tell."""
    if _process.pid != os.getpid():
        _begin()
    if _process.usage < 0:
        return peak()
    return int(os.pread(_process.usage, 200, 0).split()[1]) * resource.getpagesize()


def _mark() -> int:
    if _process.inherited and _process.pid == os.getpid():
        text = os.pread(_process.status, 4096, 0)  # seven times as dear
        start = text.index(b"VmHWM:") + 6
        return int(text[start : text.index(b"kB", start)]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _begin() -> None:
    """Open what tells of this process; descriptors that a fork has brought tell of its parent."""
    for number in (_process.reset, _process.usage, _process.status):
        if number >= 0:
            os.close(number)
    _process.pid, _process.inherited = os.getpid(), False
    _process.before = _mark()
    _process.reset = _open("clear_refs", os.O_WRONLY)
    _process.usage, _process.status = _open("statm", os.O_RDONLY), _open("status", os.O_RDONLY)
    if min(_process.reset, _process.usage, _process.status) < 0:
        return
    try:
        os.write(_process.reset, b"5")
    except OSError:  # some sandboxes
        os.close(_process.reset)
        _process.reset = -1
        return
    _process.inherited = _mark() > in_use() + 2**21  # the kernel counts pages in lots per core


def _open(name: str, flags: int) -> int:
    try:
        return os.open(f"/proc/self/{name}", flags | os.O_CLOEXEC)
    except OSError:
        return -1
