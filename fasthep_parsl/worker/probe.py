"""The task of ``sites check --live``: describe the worker that runs it."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from fasthep_parsl.resources.hidden import NO_GPUS
from fasthep_parsl.tasks import NodeFacts
from fasthep_parsl.version import __version__
from fasthep_parsl.worker.gpus import own_gpus
from fasthep_parsl.worker.node_facts import node_name, own_facts


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """A worker and its machine.

    Attributes
    ----------
    host, node : str
        Name of the machine, and its name in the batch system.
    python, executable : str
        Version of Python, and its path.
    parsl, package : str
        Versions of Parsl and of this package.
    devices : str
        GPUs of the worker, named as in the batch system; empty if unknown.
    folder : str
        Working directory.
    free : int
        Free bytes there.
    writable : bool
        Whether it is writable.
    cpus : int
        Cores that it may use.
    gpus : tuple of str
        Recorded GPUs, a line each.
    facts : NodeFacts or None
        What the checks of its node have found.
    """

    host: str
    node: str
    python: str
    executable: str
    parsl: str
    package: str
    devices: str
    folder: str
    free: int
    writable: bool
    cpus: int
    gpus: tuple[str, ...] = ()
    facts: NodeFacts | None = None


def describe_worker(gpu_variables: Sequence[str]) -> WorkerFacts:
    """Return the description of this process and its machine.

    Parameters
    ----------
    gpu_variables : sequence of str
        Environment variables that may contain the worker's GPUs. The first that is set is used.
    """
    folder = Path.cwd()
    host = socket.gethostname()
    return WorkerFacts(
        host=host,
        node=node_name(),
        python=platform.python_version(),
        executable=sys.executable,
        parsl=version("parsl"),
        package=__version__,
        devices=_devices(gpu_variables),
        folder=str(folder),
        free=shutil.disk_usage(folder).free,
        writable=os.access(folder, os.W_OK),
        cpus=len(os.sched_getaffinity(0)),
        gpus=tuple(str(gpu) for gpu in own_gpus()),
        facts=own_facts(),
    )


def _devices(variables: Sequence[str]) -> str:
    """Return the value of the first variable that is set and does not hide all GPUs."""
    found = {name: os.environ.get(name, "") for name in variables}
    return next((value for name, value in found.items() if value and value != NO_GPUS.get(name)), "")
