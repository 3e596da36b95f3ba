"""Cost of a command and everything that it starts: CPU seconds of the whole process tree.

``getrusage(RUSAGE_CHILDREN)`` includes only descendants that were waited for. Often no process waits for workers and the
interchange: their parent ends first, and process 1 adopts them. A small wrapper process therefore becomes the parent of
orphans (``PR_SET_CHILD_SUBREAPER``, Linux), waits until no descendant is left, and writes the report.

    python benchmarks/measure.py REPORT.json LIMIT_S -- command …
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Usage:
    """Resources that a command used.

    Attributes
    ----------
    returncode : int
        Exit code of the command itself; if negative, the signal that ended it.
    wall : float
        Seconds until the command itself ended.
    gone : float
        Seconds until its last descendant ended.
    cpu : float
        User and system CPU seconds of the command and all its descendants.
    peak_memory : int
        Peak resident memory of the command itself, without its descendants, in bytes.
    processes : int
        Descendants that outlived their parent; the command itself counts as one.
    output : str
        Output of all processes to stdout and stderr.
    """

    returncode: int
    wall: float
    gone: float
    cpu: float
    peak_memory: int
    processes: int
    output: str = ""


def measure(
    command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None, limit: float = 900
) -> Usage:
    """Run `command` and return the resources that it and all its descendants used.

    Raises
    ------
    TimeoutError
        The command or a descendant still ran after `limit` s and was ended.
    """
    with tempfile.TemporaryDirectory() as folder:
        report, log = Path(folder, "report.json"), Path(folder, "log")
        wrapper = [sys.executable, __file__, str(report), str(limit), "--", *map(str, command)]
        with log.open("w") as output:
            subprocess.run(
                wrapper, cwd=cwd, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, check=False,
            )  # fmt: skip
        text = log.read_text(errors="replace")
        if not report.exists():
            raise TimeoutError(
                f"{' '.join(map(str, command))} still ran after {limit} s; its last lines:\n{text[-2000:]}"
            )
        return Usage(**json.loads(report.read_text()), output=text)


def descendants(root: int) -> list[int]:
    """Return all processes below `root`."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue
            parents.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [root]
    while todo:
        children = parents.get(todo.pop(), [])
        found += children
        todo += children
    return found


def _wrap(report: Path, limit: float, command: Sequence[str]) -> int:
    """Run `command`, wait for all its descendants, write `report`."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "cannot adopt orphans: this needs Linux")
    signal.signal(signal.SIGALRM, _end_everything)
    signal.setitimer(signal.ITIMER_REAL, limit)
    start = time.perf_counter()
    main = os.posix_spawnp(command[0], list(command), os.environ)
    facts: dict[str, float] = {}
    processes = 0
    while True:
        try:
            pid, status, usage = os.wait4(-1, 0)
        except ChildProcessError:
            break
        processes += 1
        if pid == main:
            facts |= {
                "returncode": os.waitstatus_to_exitcode(status),
                "wall": time.perf_counter() - start,
                "peak_memory": usage.ru_maxrss * 1024,
            }
    total = resource.getrusage(resource.RUSAGE_CHILDREN)
    facts |= {"gone": time.perf_counter() - start, "cpu": total.ru_utime + total.ru_stime, "processes": processes}
    report.write_text(json.dumps(facts))
    return 0


def _end_everything(*_: object) -> None:
    """End and wait for all descendants, including those that start in the meantime."""
    while True:
        for pid in descendants(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            os._exit(124)


if __name__ == "__main__":
    split = sys.argv.index("--")
    sys.exit(_wrap(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[split + 1 :]))
