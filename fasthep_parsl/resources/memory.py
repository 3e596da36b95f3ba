"""Resident memory of this process, and its peak over any part of its life.

Linux keeps one high-water mark per process; it can be set back to what is in use, which costs 6 µs. Then the mark that
`getrusage` gives falls too, so whoever wants the peak since the start asks here.
"""

from __future__ import annotations

import os
import resource

_before = [0]
"""Peak before the mark was set back for the last time, bytes."""


def peak() -> int:
    """Return the peak of this process since its start, bytes."""
    return max(_before[0], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def restart_peak() -> int:
    """Let `resident` give the peak from now on, and return what is in use, bytes.

    Where the system has no such thing, the peak stays that since the start.
    """
    _before[0] = peak()
    try:
        mark = os.open("/proc/self/clear_refs", os.O_WRONLY)
    except OSError:
        return peak()
    try:
        os.write(mark, b"5")
    except OSError:  # some sandboxes
        return peak()
    finally:
        os.close(mark)
    return _in_use()


def _in_use() -> int:
    """Return resident memory, at half the cost of `resident`."""
    pages = os.open("/proc/self/statm", os.O_RDONLY)
    try:
        return int(os.read(pages, 200).split()[1]) * os.sysconf("SC_PAGE_SIZE")
    finally:
        os.close(pages)


def resident() -> tuple[int, int]:
    """Return (now, peak since `restart_peak`), bytes; twice the peak since the start where there is no ``/proc``."""
    try:
        status = os.open("/proc/self/status", os.O_RDONLY)
    except OSError:
        return peak(), peak()
    try:
        text = os.read(status, 4096)
    finally:
        os.close(status)
    return _kilobytes(text, b"VmRSS:"), _kilobytes(text, b"VmHWM:")


def _kilobytes(text: bytes, key: bytes) -> int:
    start = text.find(key)
    if start < 0:
        return peak()
    start += len(key)
    return int(text[start : text.index(b"kB", start)]) * 1024
