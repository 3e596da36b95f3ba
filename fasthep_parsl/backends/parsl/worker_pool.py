"""Parsl's worker pool with workers that are forked from one process with all imports.

Parsl spawns its processes. The pool, its manager process and every worker import Parsl, uproot, awkward and hist again, for
1.5–2.5 CPU s each. Here one process imports Parsl and forks a single-threaded fork server, which imports the rest while
the pool connects. A worker then starts in milliseconds, and a node with 128 workers reads the software from the shared file
system once.

The first block of a local pool starts before its interchange (``--warm``). It imports, then reads its command line from the
lifeline, a pipe from the driver. When the pipe is closed, the whole process group ends.
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
from fasthep_parsl.blocks.node_checks import NodeCheckError, check_node, check_software, refuse_node
from fasthep_parsl.worker.node_facts import FACTS_VARIABLE

PRELOAD = "fasthep_parsl.worker.preload"
POOL = "parsl.executors.high_throughput.process_worker_pool"


def main(arguments: list[str]) -> None:
    """Start the fork server, then become Parsl's worker pool with `arguments`."""
    early = arguments[:1] in (["--warm"], ["--fork"])
    facts = None
    if not early:  # before Parsl is imported, which may be another version or missing
        try:
            facts = check_software(arguments)
        except NodeCheckError as error:
            refuse_node(arguments, error)
            sys.exit(3)
    import parsl.executors.high_throughput.process_worker_pool
    import parsl.multiprocessing

    warnings.filterwarnings("ignore", message=".*found in sys.modules", category=RuntimeWarning)  # intended, see below
    lifeline = int(os.environ.get(LIFELINE, "-1"))
    folder = BlockFolder()
    _start_helpers(folder, lifeline)
    parsl.multiprocessing.SpawnContext = PoolContext()
    del sys.modules[POOL]  # it runs as the main module below
    fork = arguments[:1] == ["--fork"]
    if early:
        arguments = shlex.split(_first_line(lifeline))
        if not arguments:
            _end()
    try:
        arguments = check_node(arguments, facts or check_software(arguments, compare=not fork))
    except NodeCheckError as error:
        refuse_node(arguments, error)
        folder.remove()
        os._exit(3)  # the fork server ends with this process
    if lifeline >= 0:
        threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    threading.excepthook = _end_block
    signal.signal(signal.SIGTERM, lambda sign, _frame: _leave(folder, sign))
    sys.argv = ["process_worker_pool", *arguments]
    try:
        runpy.run_module(POOL, run_name="__main__", alter_sys=True)
    finally:
        folder.remove()


def _start_helpers(folder: BlockFolder, lifeline: int) -> None:
    """Start multiprocessing's helper processes as forks of this process, which does not have threads yet."""
    forkserver.set_forkserver_preload([PRELOAD])
    spawn = multiprocessing.util.spawnv_passfds
    multiprocessing.util.spawnv_passfds = partial(_fork, lifeline)
    try:
        resource_tracker.ensure_running()
        folder.make()
        os.environ[FACTS_VARIABLE] = str(folder.path / "node.json")
        with folder.for_sockets():
            forkserver.ensure_running()
    finally:
        multiprocessing.util.spawnv_passfds = spawn


def _fork(lifeline: int, _path: Any, arguments: Any, descriptors: Any) -> int:
    """Run ``python -c <last argument>`` in a fork; return its process id.

    Only `descriptors` stay open in it. The helpers end when the pipes to them are closed, and an unchanged fork would keep
    the other end of its own pipe open.
    """
    parent, pid = os.getpid(), os.fork()
    if pid:
        return pid
    try:
        kept = set(descriptors)
        if "resource_tracker" in arguments[-1]:  # it ends last; its end closes the lifeline
            os.setsid()
            kept.add(lifeline)
            warnings.simplefilter("ignore")  # about resources that it had to remove
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
    """Return the line that the driver sends; empty if the driver has died."""
    text = b""
    while not text.endswith(b"\n"):
        more = os.read(lifeline, 4096)
        if not more:
            return ""
        text += more
    return text.decode()


def _end_with(lifeline: int) -> None:
    """End this block when the driver on this machine has ended, for any reason."""
    while os.read(lifeline, 4096):
        pass
    _end()


def _end_block(failure: threading.ExceptHookArgs) -> None:
    """End this block when one of Parsl's threads has failed, because no worker would be started any more.

    This happens when a helper process is killed. The driver starts another block.
    """
    threading.__excepthook__(failure)
    sys.stderr.flush()
    _end()


def _leave(folder: BlockFolder, sign: int) -> None:
    """End this process by the signal `sign`, with its workers. A batch system sends it before it kills the job."""
    with contextlib.suppress(OSError, TypeError):
        os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)  # type: ignore[attr-defined]
    folder.remove()
    signal.signal(sign, signal.SIG_DFL)
    os.kill(os.getpid(), sign)


def _end() -> None:
    os.killpg(os.getpgid(0), signal.SIGKILL)


if __name__ == "__main__":
    main(["--fork"] if "WARM" in globals() else sys.argv[1:])
