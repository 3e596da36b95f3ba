"""Run Parsl's worker pool with workers forked from one process that has imported everything.

Parsl spawns: the pool, its helper and every worker import Parsl, uproot, awkward and hist anew, 1.5–2.5 CPU s each. Here
a single-threaded fork server imports them once per node, while the pool itself starts; a worker then costs milliseconds,
and a node with 128 of them reads the software from the shared file system once.

A local pool is started before the interchange is known (``--warm``): it imports, then reads its command line from standard
input.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import shlex
import signal
import sys
import threading
import time
from multiprocessing import forkserver

PRELOAD = ("parsl.executors.high_throughput.process_worker_pool", "fasthep_parsl.worker.preload")
POOL = "parsl.executors.high_throughput.process_worker_pool"


def main(arguments: list[str]) -> None:
    """Start the fork server, then become Parsl's worker pool with `arguments`."""
    context = multiprocessing.get_context("forkserver")
    forkserver.set_forkserver_preload(list(PRELOAD))
    forkserver.ensure_running()  # imports in the background
    import parsl.multiprocessing

    parsl.multiprocessing.SpawnContext = context
    if arguments[:1] == ["--warm"]:
        import parsl.executors.high_throughput.process_worker_pool

        line = sys.stdin.readline()
        if not line:
            return  # the driver went away
        arguments = shlex.split(line)
        del sys.modules[POOL]
    driver = int(os.environ.get("FASTHEP_PARSL_DRIVER", "0"))
    if driver:
        threading.Thread(target=_end_with, args=(driver,), daemon=True).start()
    sys.argv = ["process_worker_pool", *arguments]
    runpy.run_module(POOL, run_name="__main__", alter_sys=True)


def _end_with(driver: int) -> None:
    """End this process group when the driver (on this machine) has died."""
    while True:
        time.sleep(1)
        try:
            os.kill(driver, 0)
        except ProcessLookupError:
            os.killpg(os.getpgid(0), signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
