"""Resident memory of this process: its peak over any part of its life, and what is kept of what was freed.

Linux keeps one high-water mark per process; it can be set back to what is in use, which costs 1 µs. Then the mark that
`getrusage` gives falls too, so whoever wants the peak since the start asks here.
"""

from __future__ import annotations

import ctypes
import os
import resource
from dataclasses import dataclass

_LIBC = ctypes.CDLL(None)
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Numbers of options in glibc's ``malloc.h``."""


@dataclass
class _Process:
    """What is known of this process; a fork begins with nothing.

    Attributes
    ----------
    before : int
        Peak before the mark was set back for the last time, bytes.
    opened : bool
        Whether the files below were looked for.
    reset, usage, status : int
        ``clear_refs``, ``statm`` and ``status`` of ``/proc``, kept open; -1 if there is no such thing.
    inherited : bool
        Whether `getrusage` tells of the program that this one was started from, where that was larger.
    """

    before: int = 0
    opened: bool = False
    reset: int = -1
    usage: int = -1
    status: int = -1
    inherited: bool = False


_process = _Process()


def peak() -> int:
    """Return the peak of this process since its start, bytes."""
    return max(_process.before, _mark())


def restart_peak() -> int:
    """Give back what is free, let `peak_since` give the peak from now on, and return what is in use, bytes.

    Where the system has no such thing, both stay the peak since the start.
    """
    if not _process.opened:
        _begin()
    _process.before = peak()
    if min(_process.reset, _process.usage, _process.status) < 0:
        return _process.before
    give_back()
    os.write(_process.reset, b"5")
    return _mark()


def peak_since() -> int:
    """Return the peak since `restart_peak`, bytes."""
    return _mark()


def in_use() -> int:
    """Return resident memory, bytes; the peak where the system does not tell."""
    if not _process.opened:
        _begin()
    if _process.usage < 0:
        return peak()
    return int(os.pread(_process.usage, 200, 0).split()[1]) * resource.getpagesize()


def keep_freed() -> bool:
    """Let this process and its forks keep freed memory for the next arrays, and return whether they do.

    A task frees and asks for the same tens of MB with every pass. Given back in between, the kernel has to find and clear
    these pages again each time: 6 to 9 % of the CPU time of the dimuon analysis. The peak, which memory limits are about,
    stays what it is. Nothing is changed where the C library is not glibc, or where ``MALLOC_TRIM_THRESHOLD_`` or
    ``MALLOC_MMAP_THRESHOLD_`` are set: whoever runs this process has decided.
    """
    if "MALLOC_TRIM_THRESHOLD_" in os.environ or "MALLOC_MMAP_THRESHOLD_" in os.environ:
        return False
    mallopt = getattr(_LIBC, "mallopt", None)
    if mallopt is None:
        return False
    # 32 MiB is the most that glibc allows below which memory comes from the heap, not from a mapping of its own.
    return bool(mallopt(_M_MMAP_THRESHOLD, 32 * 2**20) and mallopt(_M_TRIM_THRESHOLD, 2**30))


def give_back() -> None:
    """Give freed memory back to the system, as far as the C library can."""
    trim = getattr(_LIBC, "malloc_trim", None)
    if trim is not None:
        trim(0)


def _mark() -> int:
    if _process.inherited:
        text = os.pread(_process.status, 4096, 0)  # seven times as dear
        start = text.index(b"VmHWM:") + 6
        return int(text[start : text.index(b"kB", start)]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _forget() -> None:
    """Begin with nothing in a fork: what is open tells of its parent."""
    global _process  # noqa: PLW0603
    for number in (_process.reset, _process.usage, _process.status):
        if number >= 0:
            os.close(number)
    _process = _Process()


os.register_at_fork(after_in_child=_forget)


def _begin() -> None:
    """Open what tells of this process."""
    _process.before, _process.opened = _mark(), True
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
