"""What a batch system says of its nodes: for a first draft of a site profile. Imports no Parsl."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from fasthep_parsl.blocks.commands import run
from fasthep_parsl.blocks.dialect import KINDS, dialect_of

TIMEOUT = 30.0
"""Seconds that a batch system may take to describe itself."""
_SINFO = ["sinfo", "--noheader", "--exact", "--format=%P|%a|%l|%c|%m|%G|%D|%h"]
_SLOT = ("TotalSlotCpus", "TotalSlotMemory", "TotalSlotGPUs")
_CONDOR = [
    "condor_status",
    "-constraint",
    'SlotType =!= "Dynamic"',
    "-json",
    "-attributes",
    f"Machine,{','.join(_SLOT)}",
]


@dataclass(frozen=True, slots=True)
class Shape:
    """Nodes that are alike.

    Attributes
    ----------
    queue : str
        Queue that they belong to; empty where the batch system has none.
    nodes : int
        How many there are.
    cpus, memory, gpus : int
        What one has; memory in MiB.
    gpu_type : str
        As the batch system calls it.
    walltime : float or None
        Longest lifecycle of a job, seconds.
    whole_nodes : bool
        Whether a job always gets whole nodes.
    usual : bool
        Whether jobs that name no queue go there.
    """

    queue: str
    nodes: int
    cpus: int
    memory: int
    gpus: int = 0
    gpu_type: str = ""
    walltime: float | None = None
    whole_nodes: bool = False
    usual: bool = False


@dataclass(frozen=True, slots=True)
class Survey:
    """A batch system that was found.

    Attributes
    ----------
    kind : str
        Its strategy; empty if there is none.
    shapes : tuple of Shape
        Its nodes, as far as it says.
    command : str
        How they were found, empty if there is no way.
    words : str
        What it said instead, if it did not answer.
    """

    kind: str = ""
    shapes: tuple[Shape, ...] = ()
    command: str = ""
    words: str = ""


def look_around() -> Survey:
    """Return the batch system of this machine, with what it says of its nodes.

    It is the first whose commands are on PATH and that answers; there may be commands without a batch system.
    """
    kinds = [kind for kind in KINDS if all(map(shutil.which, dialect_of(kind, {}).programs))]
    surveys = [_ask(kind) for kind in kinds]
    return next((survey for survey in surveys if survey.shapes), surveys[0] if surveys else Survey())


def _ask(kind: str) -> Survey:
    ways = {"slurm": (_SINFO, read_sinfo), "htcondor": (_CONDOR, read_condor_status)}
    if kind not in ways:
        return Survey(kind)
    words, read = ways[kind]
    answer = run(words, TIMEOUT)
    shapes = read(answer.out) if answer.ok else []
    return Survey(kind, tuple(shapes), shlex.join(words), "" if answer.ok else answer.words)


def read_sinfo(text: str) -> list[Shape]:
    """Return the nodes in a listing of partitions, one shape per partition: the one that most nodes have.

    Parameters
    ----------
    text : str
        Lines of ``%P|%a|%l|%c|%m|%G|%D|%h``.
    """
    found: dict[str, Shape] = {}
    for line in text.splitlines():
        parts = line.strip().split("|")
        if len(parts) != 8 or parts[1] != "up" or not (parts[3].isdigit() and parts[4].isdigit()):
            continue
        name, _, limit, cpus, memory, gres, nodes, shared = parts
        gpu_type, gpus = _gpus(gres)
        shape = Shape(
            name.rstrip("*"),
            int(nodes),
            int(cpus),
            int(memory),
            gpus,
            gpu_type,
            _seconds(limit),
            whole_nodes=shared == "EXCLUSIVE",
            usual=name.endswith("*"),
        )
        before = found.get(shape.queue)
        if before is None or before.nodes < shape.nodes:
            found[shape.queue] = shape
    return sorted(found.values(), key=lambda shape: not shape.usual)


def _gpus(gres: str) -> tuple[str, int]:
    """Return type and number of the GPUs in ``gpu:a100:4(S:0-1),nvme:1``."""
    kinds: Counter[str] = Counter()
    for kind, count in re.findall(r"(?:^|,)gpu(?::([^:,(]+(?=:)))?:(\d+)", gres):
        kinds[kind] += int(count)
    return (next(iter(kinds)) if len(kinds) == 1 else "", kinds.total())


def _seconds(limit: str) -> float | None:
    """Return a limit such as ``1-12:00:00`` or ``30:00``, None for ``infinite``."""
    days, _, clock = limit.rpartition("-")
    parts = clock.split(":")
    if not all(part.isdigit() for part in parts) or not (days or "0").isdigit():
        return None
    numbers = [0, 0, 0, *map(int, parts)][-3:] if not days else [*map(int, parts), 0, 0][:3]
    hours, minutes, seconds = numbers
    return float(int(days or 0) * 86400 + hours * 3600 + minutes * 60 + seconds)


def read_condor_status(text: str) -> list[Shape]:
    """Return the kinds of nodes in a list of slots, those that most nodes are first."""
    start = text.find("[")
    try:
        slots = json.loads(text[start:]) if start >= 0 else []
    except ValueError:
        return []
    machines: dict[str, Counter[str]] = {}
    for slot in slots:  # static slots of one machine are parts of it
        sums = machines.setdefault(str(slot.get("Machine")), Counter())
        sums.update({name: int(slot.get(name) or 0) for name in _SLOT})
    kinds = Counter((sums[_SLOT[0]], sums[_SLOT[1]], sums[_SLOT[2]]) for sums in machines.values())
    listed = kinds.most_common()
    return [Shape("", count, cpus, memory, gpus) for (cpus, memory, gpus), count in listed if cpus and memory]


def names_of(shapes: Sequence[Shape]) -> list[str]:
    """Return a name for each shape: that of its queue, else one that says what the nodes have."""
    return [shape.queue or _name(shape) for shape in shapes]


def _name(shape: Shape) -> str:
    gpus = f"-{shape.gpus}gpu" if shape.gpus else ""
    return f"{shape.cpus}cpu-{max(shape.memory >> 10, 1)}GiB{gpus}"
