"""Run Parsl's interchange so that it ends with the process that started it.

The kernel sends the signal when the *thread* that started the process ends, so that thread must live on. Bare, it outlives a killed driver and keeps its workers (and their nodes) for hours; Parsl/parsl#3663. Started with
``python -m``, not through PATH, so that an environment that is not activated works.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys

PR_SET_PDEATHSIG = 1
"""From linux/prctl.h: deliver a signal to this process when its parent dies."""


def die_with_parent(sign: int = signal.SIGTERM) -> None:
    """Ask the kernel to send `sign` when the parent process dies; does nothing where prctl is missing."""
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, sign, 0, 0, 0)
    except (AttributeError, OSError):  # not Linux
        return
    if os.getppid() == 1:  # it died before we asked
        sys.exit(1)


if __name__ == "__main__":
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides what Ctrl-C ends, and in which order
    runpy.run_module("parsl.executors.high_throughput.interchange", run_name="__main__", alter_sys=True)
