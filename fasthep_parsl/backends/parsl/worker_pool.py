"""Run Parsl's worker pool with workers forked from one process that has imported everything.

Parsl spawns: the pool, its helper and every worker import Parsl, uproot, awkward and hist anew, 1.5–2.5 CPU s each. Here
one process imports Parsl and forks a single-threaded fork server, which imports the rest while the pool connects; a
worker then costs milliseconds, and a node with 128 of them reads the software from the shared file system once.

A local pool is started before the interchange is known (``--warm``): it imports, then reads its command line from the
lifeline, a pipe that the driver holds; when the pipe ends, the whole process group ends.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.util
import os
import runpy
import shlex
import shutil
import signal
import sys
import tempfile
import threading
import warnings
from multiprocessing import forkserver
from typing import Any

from fasthep_parsl.backends.parsl.arrival import ArrivalError, arrive
from fasthep_parsl.backends.parsl.interchange import die_with_parent
from fasthep_parsl.backends.parsl.processes import LIFELINE, SCRATCH
from fasthep_parsl.backends.parsl.queues import Context

PRELOAD = "fasthep_parsl.worker.preload"
POOL = "parsl.executors.high_throughput.process_worker_pool"
LONGEST_TMPDIR = 107 - len("/pymp-12345678/listener-12345678")
"""Characters; a socket's path has at most 107, and scratch folders of pilot jobs lie deep."""


def main(arguments: list[str]) -> None:
    """Start the fork server, then become Parsl's worker pool with `arguments`."""
    import parsl.executors.high_throughput.process_worker_pool
    import parsl.multiprocessing

    warnings.filterwarnings("ignore", message=".*found in sys.modules", category=RuntimeWarning)  # we know: see below
    scratch = os.environ.get(SCRATCH)
    if scratch:  # sockets of multiprocessing; removed by whoever ends this block
        multiprocessing.current_process()._config["tempdir"] = scratch  # type: ignore[attr-defined]
    elif len(tempfile.gettempdir()) > LONGEST_TMPDIR:
        _use_short_folder()
    _start_fork_server()
    parsl.multiprocessing.SpawnContext = Context()
    del sys.modules[POOL]  # it runs as the main module below
    lifeline = int(os.environ.get(LIFELINE, "-1"))
    if arguments[:1] == ["--warm"]:
        arguments = shlex.split(_first_line(lifeline))
        if not arguments:
            _end(scratch)
    try:
        arguments = arrive(arguments)
    except ArrivalError as error:
        sys.stderr.write(f"fasthep-parsl: {error}\n")
        sys.stderr.flush()
        if scratch:
            shutil.rmtree(scratch, ignore_errors=True)
        os._exit(3)  # the fork server ends with us
    if lifeline >= 0:
        threading.Thread(target=_end_with, args=(lifeline, scratch), daemon=True).start()
    threading.excepthook = lambda failure: _give_up(failure, scratch)
    sys.argv = ["process_worker_pool", *arguments]
    runpy.run_module(POOL, run_name="__main__", alter_sys=True)


def _use_short_folder() -> None:
    """Let multiprocessing put its sockets into an own folder of ``/tmp``; it removes it in the end."""
    usual, tempfile.tempdir = tempfile.tempdir, "/tmp"  # noqa: S108  (only this user can enter the new folder)
    multiprocessing.util.get_temp_dir()  # makes and remembers it
    tempfile.tempdir = usual


def _start_fork_server() -> None:
    """Start multiprocessing's fork server as a fork of this process, which has no threads yet, instead of anew."""
    forkserver.set_forkserver_preload([PRELOAD])
    spawn = multiprocessing.util.spawnv_passfds
    multiprocessing.util.spawnv_passfds = _fork  # type: ignore[assignment]
    try:
        forkserver.ensure_running()
    finally:
        multiprocessing.util.spawnv_passfds = spawn


def _fork(path: Any, arguments: Any, descriptors: Any) -> int:
    """Do in a fork what ``python -c <last argument>`` would do in a new process; return its process id.

    Like a new process it keeps only `descriptors`: these helpers end when pipes to them end, and a fork would hold the
    other end of its own pipe.
    """
    del path
    parent, pid = os.getpid(), os.fork()
    if pid:
        return pid
    try:
        die_with_parent(parent)  # a batch system may kill only the first process of a job
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        for descriptor in map(int, os.listdir("/dev/fd")):  # noqa: PTH208
            if descriptor > 2 and descriptor not in descriptors:
                with contextlib.suppress(OSError):  # the one that listed them
                    os.close(descriptor)
        exec(arguments[-1], {})  # noqa: S102  (multiprocessing's own text: runs the server until all clients are gone)
    finally:
        os._exit(0)


def _first_line(lifeline: int) -> str:
    """Return the line that the driver sends, empty if the driver has died."""
    text = b""
    while not text.endswith(b"\n"):
        more = os.read(lifeline, 4096)
        if not more:
            return ""
        text += more
    return text.decode()


def _end_with(lifeline: int, scratch: str | None) -> None:
    """End this block when the driver (on this machine) has ended, in whatever way."""
    while os.read(lifeline, 4096):
        pass
    _end(scratch)


def _give_up(failure: threading.ExceptHookArgs, scratch: str | None) -> None:
    """End this block when one of Parsl's threads has failed: without it no worker would be started any more.

    That happens when a helper process was killed. The driver starts another block.
    """
    threading.__excepthook__(failure)
    sys.stderr.flush()
    _end(scratch)


def _end(scratch: str | None) -> None:
    if scratch:
        shutil.rmtree(scratch, ignore_errors=True)
    os.killpg(os.getpgid(0), signal.SIGKILL)


if __name__ == "__main__":
    main(["--warm"] if "WARM" in globals() else sys.argv[1:])
