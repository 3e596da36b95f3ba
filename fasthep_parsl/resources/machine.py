"""Resources of this machine: cores, memory and GPUs."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Machine:
    """Quantities of one machine.

    Attributes
    ----------
    cpus : int
        Cores that this process may use.
    memory : int
        Physical memory, or the limit of the cgroup if that is less, bytes.
    gpus : int
        GPUs that this process may use.
    """

    cpus: int
    memory: int
    gpus: int = 0


@cache
def this_machine() -> Machine:
    """Return the resources of this machine that this process may use. Run `nvidia-smi` once, if it is installed."""
    affinity = getattr(os, "sched_getaffinity", None)
    cpus = len(affinity(0)) if affinity else os.cpu_count() or 1
    return Machine(cpus, _memory(), count_gpus())


def _memory() -> int:
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            allowed = int(Path(limit).read_text())
        except (OSError, ValueError):  # no cgroup, or "max"
            continue
        return min(physical, allowed)
    return physical


def count_gpus(timeout: float = 5.0) -> int:
    """Return the number of NVIDIA GPUs that this process may use, with regard to ``CUDA_VISIBLE_DEVICES``.

    Parameters
    ----------
    timeout : float
        Longest wait for `nvidia-smi`, seconds.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        chosen = []
        for device in (item.strip() for item in visible.split(",")):
            if not device or device.startswith("-") or device == "NoDevFiles":
                break  # CUDA ignores what follows an invalid device
            chosen.append(device)
        return min(len(set(chosen)), _installed_gpus(timeout))
    return _installed_gpus(timeout)


def _installed_gpus(timeout: float) -> int:
    command = shutil.which("nvidia-smi")
    if command:
        try:
            done = subprocess.run(  # noqa: S603 - a fixed command
                [command, "-L"], capture_output=True, text=True, timeout=timeout, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            pass
        else:
            if done.returncode == 0:
                return sum(line.startswith("GPU ") for line in done.stdout.splitlines())
    listed = Path("/proc/driver/nvidia/gpus")
    return sum(1 for _ in listed.iterdir()) if listed.is_dir() else 0
