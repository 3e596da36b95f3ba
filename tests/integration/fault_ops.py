"""Analysis code of the fault tests: ops that do to their worker what happens to workers."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from fasthep_parsl import op


@op("fault.sum", reads=["x"], product="sum", merge=lambda a, b: a + b)
def total(events: Any) -> int:
    """Return the sum of x: exact in any order."""
    return int(np.asarray(events["x"]).sum())


@op("fault.devices", product="devices", merge=lambda a, b: sorted({*a, *b}), per_partition=True)
def devices(events: Any) -> list[str]:
    """Return the GPUs that this worker may use."""
    del events
    return [os.environ.get("CUDA_VISIBLE_DEVICES", "none")]


def merge_sights(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return both, each different one once."""
    return [*a, *(row for row in b if row not in a)]


@op("fault.sight", product="sight", merge=merge_sights, per_partition=True)
def sight(events: Any, *, names: list[str]) -> list[dict[str, Any]]:
    """Return what this worker has in its environment."""
    del events
    return [{name: os.environ.get(name) for name in names}]


@op("fault.seats", product="seats", merge=lambda a, b: {**a, **b}, per_partition=True)
def seats(events: Any) -> dict[str, str]:
    """Return process → GPUs that it may use."""
    del events
    return {str(os.getpid()): os.environ.get("CUDA_VISIBLE_DEVICES", "none")}


@op("fault.sleep", per_partition=True)
def sleep(events: Any, *, seconds: float) -> dict[str, Any]:
    """Take time."""
    del events
    time.sleep(seconds)
    return {}


@op("fault.flood")
def flood(events: Any, *, megabytes: int) -> dict[str, Any]:
    """Write much to standard output and error."""
    del events
    for _ in range(megabytes):
        sys.stdout.write("x" * 1_000_000 + "\n")
        sys.stderr.write("y" * 1_000_000 + "\n")
    return {}


class Awkward(Exception):
    """Does not unpickle: it passes fewer arguments up than it takes."""

    def __init__(self, what: str, more: int) -> None:
        super().__init__(what)
        self.more = more

    def __str__(self) -> str:
        return f"awkward {self.more}"


def _kill_crew() -> None:
    """Kill all workers of the node, as the kernel does when memory runs out: it may be anybody."""
    for worker in psutil.Process().parent().children():
        os.kill(worker.pid, signal.SIGKILL)


def _kill_manager() -> None:
    os.kill(os.getpgid(0), signal.SIGKILL)  # the leader of the block
    time.sleep(60)


def _raise(error: BaseException) -> None:
    raise error


_STRIKES: dict[str, Callable[[], object]] = {
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "crash": lambda: ctypes.string_at(0),
    "crew": _kill_crew,
    "exit": lambda: os._exit(7),
    "manager": _kill_manager,
    "block": lambda: os.killpg(os.getpgid(0), signal.SIGKILL),
    "memory": lambda: _raise(MemoryError("no more")),
    "sys.exit": lambda: sys.exit("goodbye"),
    "awkward": lambda: _raise(Awkward("what", 1)),
}


@op("fault.strike", reads=["x"], per_partition=True)
def strike(events: Any, *, at: int, how: str, once: str = "") -> dict[str, Any]:
    """Do something bad when event `at` is among these; only the first time if the file `once` is named."""
    if at not in np.asarray(events["x"]):
        return {}
    if once:
        try:
            Path(once).touch(exist_ok=False)
        except FileExistsError:
            return {}
    _STRIKES[how]()
    return {}
