"""Resident memory of this process: its peak since any moment, and how much freed memory the process keeps.

Linux has one high-water mark per process. Resetting it to the memory in use takes 1 µs. This also resets the mark of
`getrusage`, so use `peak` of this module for the peak since the start.
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
    """State of this process; a fork starts with a new one.

    Attributes
    ----------
    before : int
        Peak before the last reset of the mark, bytes.
    opened : bool
        Whether opening the files below was tried.
    reset, usage, status : int
        File descriptors of ``clear_refs``, ``statm`` and ``status`` in ``/proc``; -1 if they do not exist.
    inherited : bool
        Whether `getrusage` returns the peak of the parent program, which was larger.
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
    """Release freed memory, start a new peak for `peak_since`, and return the memory in use, bytes.

    On other systems than Linux, both are the peak since the start.
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
    """Return resident memory in bytes; the peak on other systems than Linux."""
    if not _process.opened:
        _begin()
    if _process.usage < 0:
        return peak()
    return int(os.pread(_process.usage, 200, 0).split()[1]) * resource.getpagesize()


def keep_freed() -> bool:
    """Let this process and its forks keep freed memory for the next arrays. Return whether that is possible.

    A task frees and allocates the same tens of MB in every pass. If they are released in between, the kernel must find
    and clear these pages each time, which takes 6 to 9 % of the CPU time of the dimuon analysis. The peak, which memory
    limits are about, does not change. Nothing happens if the C library is not glibc, or if ``MALLOC_TRIM_THRESHOLD_`` or
    ``MALLOC_MMAP_THRESHOLD_`` is set by the user.
    """
    if "MALLOC_TRIM_THRESHOLD_" in os.environ or "MALLOC_MMAP_THRESHOLD_" in os.environ:
        return False
    mallopt = getattr(_LIBC, "mallopt", None)
    if mallopt is None:
        return False
    # glibc allows at most 32 MiB as the size below which memory comes from the heap instead of a mapping
    return bool(mallopt(_M_MMAP_THRESHOLD, 32 * 2**20) and mallopt(_M_TRIM_THRESHOLD, 2**30))


def give_back() -> None:
    """Return freed memory to the system, if the C library can."""
    trim = getattr(_LIBC, "malloc_trim", None)
    if trim is not None:
        trim(0)


def _mark() -> int:
    if _process.inherited:
        text = os.pread(_process.status, 4096, 0)  # takes seven times as long
        start = text.index(b"VmHWM:") + 6
        return int(text[start : text.index(b"kB", start)]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _forget() -> None:
    """Start a new state in a fork: the open files belong to its parent."""
    global _process  # noqa: PLW0603
    for number in (_process.reset, _process.usage, _process.status):
        if number >= 0:
            os.close(number)
    _process = _Process()


os.register_at_fork(after_in_child=_forget)


def _begin() -> None:
    """Open the files of this process in ``/proc``."""
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
    _process.inherited = _mark() > in_use() + 2**21  # the kernel counts pages in batches per core


def _open(name: str, flags: int) -> int:
    try:
        return os.open(f"/proc/self/{name}", flags | os.O_CLOEXEC)
    except OSError:
        return -1
