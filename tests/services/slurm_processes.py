"""Processes of one Slurm cluster. All have the cluster's SLURM_CONF in their environment."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
DAEMONS = ("slurmctld", "slurmd", "slurmdbd", "slurmstepd", "munged", "mariadbd")


@dataclass(frozen=True)
class Process:
    """A live process of a cluster.

    Parameters
    ----------
    pid : int
        Its id.
    name : str
        The program.
    node : str
        The virtual node that it runs on; empty for what belongs to none.
    """

    pid: int
    name: str
    node: str


def of_cluster(conf: Path) -> list[Process]:
    """Return the daemons, step daemons and job processes of the cluster with this slurm.conf."""
    marker = f"SLURM_CONF={conf}".encode()
    found = []
    for folder in PROC.iterdir():
        if not folder.name.isdigit():
            continue
        with suppress(OSError):  # it ended meanwhile, or is another user's
            environ = (folder / "environ").read_bytes().split(b"\0")
            name = (folder / "comm").read_text().strip()
            in_job = any(entry.startswith(b"SLURM_JOB_ID=") for entry in environ)
            if marker in environ and (in_job or name in DAEMONS):
                found.append(Process(int(folder.name), name, _node(folder, environ)))
    return found


def _node(folder: Path, environ: list[bytes]) -> str:
    for entry in environ:
        if entry.startswith(b"SLURMD_NODENAME="):
            return entry.partition(b"=")[2].decode()
    for fd in (folder / "fd").iterdir():  # daemons of nodes hold their node's log open
        with suppress(OSError):
            log = fd.readlink().name
            if log.startswith("slurmd.") and log.endswith(".log"):
                return log.removeprefix("slurmd.").removesuffix(".log")
    return ""


def read_pid(file: Path, conf: Path) -> int | None:
    """Return the pid of a daemon from its file, if the process is alive and belongs to this cluster."""
    with suppress(OSError, ValueError):
        pid = int(file.read_text())
        if f"SLURM_CONF={conf}".encode() in (PROC / str(pid) / "environ").read_bytes().split(b"\0"):
            return pid
    return None


def end(pid: int, *, patience: float = 5.0) -> None:
    """Terminate processes; kill them after `patience` seconds."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + patience
        while _lives(pid):
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
                deadline = float("inf")
            time.sleep(0.02)


def kill(processes: list[Process]) -> None:
    """Kill all processes, and wait until they have ended."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while any(_lives(process.pid) for process in processes) and time.monotonic() < deadline:
        time.sleep(0.02)


def _lives(pid: int) -> bool:
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
