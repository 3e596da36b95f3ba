"""What is known of the GPUs of a node: asked once, before its workers start, and kept beside the block's other files."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fasthep_parsl.resources.units import format_memory

BLOCK_FOLDER = "FASTHEP_PARSL_FOLDER"
"""Environment variable with the folder of a block."""
TIMEOUT = 20.0
"""Seconds; `nvidia-smi` wakes a driver that sleeps, which takes some, and it hangs when a device has fallen off its bus."""
CUPY = ("cupy-cuda13x", "cupy-cuda12x", "cupy")
"""Packages that bring CuPy; never two of them in one environment."""
NOT_REPORTED = "unknown"


class NoGpuError(Exception):
    """An assigned GPU cannot be used; says which, and what is missing."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU that workers of a node were given; what is not known is `NOT_REPORTED`, or 0.

    Attributes
    ----------
    device : str
        As the batch system calls it.
    name : str
        Of the product.
    memory : int
        Bytes.
    driver, cuda : str
        Version of the driver, and of the newest CUDA that it can run.
    cupy : str
        Version of CuPy that workers have; ``none`` if they have none.
    node : str
        Where it is.
    uuid : str
        Its name everywhere; empty if it is not known.
    parted : bool
        Whether it is divided (MIG): then its UUID is not that of a part.
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
        """The name by which CUDA finds exactly this GPU: it may count in another order than the batch system."""
        return self.device if self.parted else self.uuid or self.device

    def __str__(self) -> str:
        size = f" of {format_memory(self.memory)}" if self.memory else ""
        return f"GPU {self.device} ({self.name}{size}, driver {self.driver}, CUDA {self.cuda}, CuPy {self.cupy})"


def look_at(devices: Sequence[str], node: str) -> list[Gpu]:
    """Return what is known of GPUs. Makes no context on them, and ends within `TIMEOUT`.

    Parameters
    ----------
    devices : sequence of str
        As the batch system calls them: a number, or the beginning of a UUID.
    node : str
        Name of this node.

    Raises
    ------
    NoGpuError
        The driver is here and does not answer, or does not know one of them. Where nothing can be asked (no
        ``nvidia-smi``, another maker, part of a GPU), nothing is refused.
    """
    found = [Gpu(device, cupy=_cupy(), node=node) for device in devices]
    said = _ask(node)
    if said is None:
        return found
    driver, cuda, present = said
    known: list[Gpu] = []
    for gpu in found:
        match = _match(gpu.device, present)
        if match is None and not gpu.device.startswith("MIG"):
            there = ", ".join(f"{number} {one.name} {one.uuid}" for number, one in enumerate(present)) or "none"
            raise NoGpuError(f"{node}: the workers were given GPU {gpu.device}, and the driver {driver} has: {there}")
        facts = match or gpu
        known.append(replace(facts, device=gpu.device, driver=driver, cuda=cuda, cupy=gpu.cupy, node=node))
    return known


def _match(device: str, present: Sequence[Gpu]) -> Gpu | None:
    if device.isdecimal():
        return present[int(device)] if int(device) < len(present) else None
    return next((gpu for gpu in present if gpu.uuid.startswith(device)), None)


def _ask(node: str) -> tuple[str, str, list[Gpu]] | None:
    """Return driver, CUDA, and the GPUs in the order of their numbers; None if there is nobody to ask."""
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
        words = " ".join((done.stdout.strip() or done.stderr.strip()).split())
        raise NoGpuError(f"{node}: no GPU can be used, `nvidia-smi` says: {words or f'exit code {done.returncode}'}")
    head, *parts = re.split(r"<gpu\b", done.stdout)
    return _tag(head, "driver_version"), _tag(head, "cuda_version"), [_described(part) for part in parts]


def _described(part: str) -> Gpu:
    """Return a GPU from its part of the answer, which has no number: parts stand in the order of numbers."""
    parted = _tag(part, "current_mig") == "Enabled"
    return Gpu("", _tag(part, "product_name"), _memory(part), uuid=_tag(part, "uuid", ""), parted=parted)


def _tag(text: str, name: str, default: str = NOT_REPORTED) -> str:
    found = re.search(rf"<{name}>([^<]*)</{name}>", text)
    return found[1].strip() if found else default


def _memory(text: str) -> int:
    """Return bytes; ``nvidia-smi`` counts in MiB."""
    found = re.search(r"<fb_memory_usage>\s*<total>\s*(\d+) MiB", text)
    return int(found[1]) << 20 if found else 0


def _cupy() -> str:
    """Return the version of CuPy; importing it would take half a second and may fail."""
    for package in CUPY:
        with suppress(PackageNotFoundError):
            return version(package)
    return "none"


# --- beside the block's other files ---------------------------------------------------------------------------


def tell(gpus: Iterable[Gpu], folder: Path, block: str) -> None:
    """Append GPUs to the file of a block, if it can be written; several nodes write to the same."""
    lines = "".join(json.dumps(asdict(gpu)) + "\n" for gpu in gpus)
    with suppress(OSError), _file(folder, block).open("a", encoding="utf-8") as file:
        file.write(lines)


def told(folder: Path, block: str) -> list[Gpu]:
    """Return the GPUs of a block, as its nodes have told; empty if they have not."""
    try:
        lines = _file(folder, block).read_text(encoding="utf-8").splitlines()
        return [Gpu(**json.loads(line)) for line in lines]
    except (OSError, ValueError, TypeError):
        return []


def own() -> list[Gpu]:
    """Return the GPUs of this worker; empty if it has none, or nothing was told of them."""
    folder, block = os.environ.get(BLOCK_FOLDER), os.environ.get("PARSL_WORKER_BLOCK_ID", "")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    node = os.environ.get("FASTHEP_PARSL_NODE", os.uname().nodename)
    if not folder:
        return []
    return [gpu for gpu in told(Path(folder), block) if gpu.node == node and gpu.pin in visible]


def _file(folder: Path, block: str) -> Path:
    return folder / f"block.{block}.gpus"
