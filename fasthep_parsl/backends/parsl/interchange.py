"""Run Parsl's interchange so that it ends with the process that started it.

Bare, it outlives a killed driver and keeps its workers (and their nodes) for hours; Parsl/parsl#3663. The kernel sends the
signal when the *thread* that started the process ends, so that thread must live on. Started by its module, not through
PATH, so that an environment that is not activated works. Arguments: process id of the driver, file for the output.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys

PR_SET_PDEATHSIG = 1
"""From linux/prctl.h: deliver a signal to this process when its parent dies."""


def die_with_parent(parent: int, sign: int = signal.SIGKILL) -> None:
    """Ask the kernel to send `sign` when the process `parent` dies; does nothing where prctl is missing."""
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, sign, 0, 0, 0)
    except (AttributeError, OSError):  # not Linux
        return
    if os.getppid() != parent:  # it died before we asked
        sys.exit(1)


def _write_to(path: str) -> None:
    """Send what this process prints to a file, not to the user's terminal."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides what Ctrl-C ends, and in which order
    die_with_parent(int(sys.argv[1]))
    _write_to(sys.argv[2])
    runpy.run_module("parsl.executors.high_throughput.interchange", run_name="__main__", alter_sys=True)
