"""GPUs of a node: queried once, before its workers start."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version

from fasthep_parsl.resources.units import format_memory
from fasthep_parsl.worker.node_facts import own_facts

TIMEOUT = 20.0
"""Seconds. `nvidia-smi` first wakes a sleeping driver, and hangs if a device does not respond."""
CUPY = ("cupy-cuda13x", "cupy-cuda12x", "cupy")
"""Packages that contain CuPy. An environment has at most one of them."""
NOT_REPORTED = "unknown"


class NoGpuError(Exception):
    """An assigned GPU cannot be used. The message contains which one, and why."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU that is assigned to workers of a node. Unknown values are `NOT_REPORTED`, or 0.

    Attributes
    ----------
    device : str
        Its name in the batch system.
    name : str
        Name of the product.
    memory : int
        Bytes.
    driver, cuda : str
        Versions of the driver, and of the newest CUDA that it supports.
    cupy : str
        Version of CuPy on the workers, or ``none``.
    node : str
        Name of its node.
    uuid : str
        Its UUID, empty if unknown.
    parted : bool
        Whether it is divided (MIG). Its parts then have other UUIDs.
    """

    device: str
    name: str = NOT_REPORTED
    memory: int = 0
    driver: str = NOT_REPORTED
    cuda: str = NOT_REPORTED
    cupy: str = NOT_REPORTED
    node: str = ""
    uuid: str = ""
    parted: bool = False

    @property
    def pin(self) -> str:
        """Name of the GPU for CUDA, whose order of GPUs can differ from that of the batch system."""
        return self.device if self.parted else self.uuid or self.device

    def __str__(self) -> str:
        size = f" of {format_memory(self.memory)}" if self.memory else ""
        return f"GPU {self.device} ({self.name}{size}, driver {self.driver}, CUDA {self.cuda}, CuPy {self.cupy})"


def query_gpus(devices: Sequence[str], node: str) -> list[Gpu]:
    """Return the properties of GPUs within `TIMEOUT`. Creates no context on them.

    Parameters
    ----------
    devices : sequence of str
        Names in the batch system: a number, or the beginning of a UUID.
    node : str
        Name of this node.

    Raises
    ------
    NoGpuError
        The driver does not respond, or does not know one of them. Without ``nvidia-smi``, and for other
        vendors and parts of GPUs, nothing is checked.
    """
    found = [Gpu(device, cupy=_cupy(), node=node) for device in devices]
    answer = _nvidia_smi(node)
    if answer is None:
        return found
    driver, cuda, present = answer
    known: list[Gpu] = []
    for gpu in found:
        match = _match(gpu.device, present)
        if match is None and not gpu.device.startswith("MIG"):
            there = ", ".join(f"{number} {one.name} {one.uuid}" for number, one in enumerate(present)) or "none"
            raise NoGpuError(f"{node}: GPU {gpu.device} is assigned to the workers, but driver {driver} has: {there}")
        facts = match or gpu
        known.append(replace(facts, device=gpu.device, driver=driver, cuda=cuda, cupy=gpu.cupy, node=node))
    return known


def _match(device: str, present: Sequence[Gpu]) -> Gpu | None:
    if device.isdecimal():
        return present[int(device)] if int(device) < len(present) else None
    return next((gpu for gpu in present if gpu.uuid.startswith(device)), None)


def _nvidia_smi(node: str) -> tuple[str, str, list[Gpu]] | None:
    """Return driver, CUDA, and the GPUs in the order of their numbers; None if they cannot be queried."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command
            [program, "-q", "-x"], capture_output=True, text=True, errors="replace", timeout=TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        message = " ".join((done.stdout.strip() or done.stderr.strip()).split())
        raise NoGpuError(f"{node}: no GPU can be used, `nvidia-smi`: {message or f'exit code {done.returncode}'}")
    head, *parts = re.split(r"<gpu\b", done.stdout)
    return _tag(head, "driver_version"), _tag(head, "cuda_version"), [_described(part) for part in parts]


def _described(part: str) -> Gpu:
    """Return a GPU from its element in the output. Elements are in the order of the GPU numbers."""
    parted = _tag(part, "current_mig") == "Enabled"
    return Gpu("", _tag(part, "product_name"), _memory(part), uuid=_tag(part, "uuid", ""), parted=parted)


def _tag(text: str, name: str, default: str = NOT_REPORTED) -> str:
    found = re.search(rf"<{name}>([^<]*)</{name}>", text)
    return found[1].strip() if found else default


def _memory(text: str) -> int:
    """Return the memory in bytes. ``nvidia-smi`` reports MiB."""
    found = re.search(r"<fb_memory_usage>\s*<total>\s*(\d+) MiB", text)
    return int(found[1]) << 20 if found else 0


def _cupy() -> str:
    """Return the version of CuPy without importing it, which takes half a second and may fail."""
    for package in CUPY:
        with suppress(PackageNotFoundError):
            return version(package)
    return "none"


def own_gpus() -> list[Gpu]:
    """Return the recorded GPUs of this worker."""
    facts = own_facts()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    found = (Gpu(**gpu) for gpu in (facts.gpus if facts else ()))
    return [gpu for gpu in found if gpu.pin in visible]
