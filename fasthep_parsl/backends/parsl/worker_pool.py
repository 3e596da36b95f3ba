"""Run Parsl's worker pool with workers forked from one process that has imported everything.

Parsl spawns: the pool, its helper and every worker import Parsl, uproot, awkward and hist anew, 1.5–2.5 CPU s each. Here
one process imports Parsl and forks a single-threaded fork server, which imports the rest while the pool connects; a
worker then costs milliseconds, and a node with 128 of them reads the software from the shared file system once.

A local pool is started before the interchange is known (``--warm``): it imports, then reads its command line from the
lifeline, a pipe that the driver holds; when the pipe ends, the whole process group ends.
"""

from __future__ import annotations

import contextlib
import multiprocessing.util
import os
import runpy
import shlex
import signal
import sys
import threading
import warnings
from functools import partial
from multiprocessing import forkserver, resource_tracker
from typing import Any

from fasthep_parsl.backends.parsl.interchange import die_with_parent
from fasthep_parsl.backends.parsl.process_queues import PoolContext
from fasthep_parsl.blocks.block_folder import BlockFolder
from fasthep_parsl.blocks.local_block import LIFELINE
from fasthep_parsl.blocks.node_checks import NodeCheckError, check_node

PRELOAD = "fasthep_parsl.worker.preload"
POOL = "parsl.executors.high_throughput.process_worker_pool"


def main(arguments: list[str]) -> None:
    """Start the fork server, then become Parsl's worker pool with `arguments`."""
    import parsl.executors.high_throughput.process_worker_pool
    import parsl.multiprocessing

    warnings.filterwarnings("ignore", message=".*found in sys.modules", category=RuntimeWarning)  # we know: see below
    lifeline = int(os.environ.get(LIFELINE, "-1"))
    folder = BlockFolder()
    _start_helpers(folder, lifeline)
    parsl.multiprocessing.SpawnContext = PoolContext()
    del sys.modules[POOL]  # it runs as the main module below
    if arguments[:1] == ["--warm"]:
        arguments = shlex.split(_first_line(lifeline))
        if not arguments:
            _end()
    try:
        arguments = check_node(arguments)
    except NodeCheckError as error:
        sys.stderr.write(f"fasthep-parsl: {error}\n")
        sys.stderr.flush()
        folder.remove()
        os._exit(3)  # the fork server ends with us
    if lifeline >= 0:
        threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    threading.excepthook = _give_up
    signal.signal(signal.SIGTERM, lambda sign, _frame: _leave(folder, sign))
    sys.argv = ["process_worker_pool", *arguments]
    try:
        runpy.run_module(POOL, run_name="__main__", alter_sys=True)
    finally:
        folder.remove()


def _start_helpers(folder: BlockFolder, lifeline: int) -> None:
    """Start multiprocessing's helpers as forks of this process, which has no threads yet, instead of anew."""
    forkserver.set_forkserver_preload([PRELOAD])
    spawn = multiprocessing.util.spawnv_passfds
    multiprocessing.util.spawnv_passfds = partial(_fork, lifeline)
    try:
        resource_tracker.ensure_running()
        folder.make()
        with folder.for_sockets():
            forkserver.ensure_running()
    finally:
        multiprocessing.util.spawnv_passfds = spawn


def _fork(lifeline: int, _path: Any, arguments: Any, descriptors: Any) -> int:
    """Do in a fork what ``python -c <last argument>`` would do in a new process; return its process id.

    Like a new process it keeps only `descriptors`: these helpers end when pipes to them end, and a fork would hold the
    other end of its own pipe.
    """
    parent, pid = os.getpid(), os.fork()
    if pid:
        return pid
    try:
        kept = set(descriptors)
        if "resource_tracker" in arguments[-1]:  # it outlives the others; the driver sees its end by the lifeline
            os.setsid()
            kept.add(lifeline)
            warnings.simplefilter("ignore")  # that it had to remove something
        else:
            die_with_parent(parent)  # a batch system may kill only the first process of a job
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        for descriptor in map(int, os.listdir("/dev/fd")):  # noqa: PTH208
            if descriptor > 2 and descriptor not in kept:
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


def _end_with(lifeline: int) -> None:
    """End this block when the driver (on this machine) has ended, in whatever way."""
    while os.read(lifeline, 4096):
        pass
    _end()


def _give_up(failure: threading.ExceptHookArgs) -> None:
    """End this block when one of Parsl's threads has failed: without it no worker would be started any more.

    That happens when a helper process was killed. The driver starts another block.
    """
    threading.__excepthook__(failure)
    sys.stderr.flush()
    _end()


def _leave(folder: BlockFolder, sign: int) -> None:
    """End as `sign` would end us, with our workers; a batch system sends it first, and soon ends what is left."""
    with contextlib.suppress(OSError, TypeError):
        os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)  # type: ignore[attr-defined]
    folder.remove()
    signal.signal(sign, signal.SIG_DFL)
    os.kill(os.getpid(), sign)


def _end() -> None:
    os.killpg(os.getpgid(0), signal.SIGKILL)


if __name__ == "__main__":
    main(["--warm"] if "WARM" in globals() else sys.argv[1:])
