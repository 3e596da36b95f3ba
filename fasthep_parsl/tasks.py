"""Messages between driver and workers: tasks, results, references, failures. Small, frozen, picklable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

TaskKind = Literal["map", "merge", "call"]
FailureCause = Literal["infrastructure", "data", "user", "configuration", "credential"]
Span = tuple[int, int]
"""A range of partitions: the first, and the one after the last, as plan-wide numbers."""


@dataclass(frozen=True, slots=True)
class Ref:
    """Reference to a stored chunk of a stream; arrays never pass through the driver.

    Attributes
    ----------
    path : str
        File in columnar form.
    checksum : str
        ``<algorithm>:<hex>`` of the content.
    size : int
        Bytes.
    events : int
        Number of events.
    dataset : int
        Index of the dataset in the plan.
    partitions : tuple of (first, last)
        Its partitions, as ranges of plan-wide numbers, last excluded.
    counts : tuple of int
        Events of each of these partitions, to find the one that fails; empty if an op has replaced the stream.
    skip : int
        Events at the beginning of the file that do not belong to this chunk.
    """

    path: str
    checksum: str
    size: int
    events: int
    dataset: int
    partitions: tuple[tuple[int, int], ...]
    counts: tuple[int, ...] = ()
    skip: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """Failure of a partition.

    Attributes
    ----------
    partition : int
        Plan-wide number.
    kind : "infrastructure", "data", "user", "configuration" or "credential"
        Cause of the failure. ``credential``: the server of an input file has refused the credential of the worker.
    stage : str
        The stage, empty if none had started.
    message : str
        Why, in one line.
    where : str
        ``file:line`` of the user's code or of the op, empty if unknown.
    detail : str
        The traceback.
    """

    partition: int
    kind: FailureCause
    stage: str
    message: str
    where: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """Unit of work for a worker.

    Attributes
    ----------
    kind : "map", "merge" or "call"
        ``map`` runs a segment on partitions or chunks, ``merge`` merges partial products, ``call`` runs a stage once
        for a dataset or the whole workflow.
    id : int
        Unique number in the run.
    segment : int
        Index of the segment in the plan.
    plan : tuple of (path, hash)
        File of the plan, which workers cache by its hash.
    run_dir : str
        The run directory.
    session : str
        Identifies the execution of the plan; part of file names, so that no two executions write the same file.
    partitions : tuple of (first, last)
        For ``map`` on the source: plan-wide numbers, last excluded.
    refs : tuple of Ref
        Chunks for ``map`` on a stored stream and for ``call``.
    partials : tuple of str
        For ``merge``: files with partial products, in the order of their events.
    final : bool
        For ``merge``: whether these are all files, so that all parts are merged.
    gaps : tuple of (first, last)
        For ``merge``: partitions between those of the files that have failed, sorted; empty if there are few parts.
    products : mapping
        Stage id → file of the merged product, for stages that bind products.
    dataset : int
        For ``call`` with scope ``dataset``: index of the dataset; else -1.
    avoid : mapping
        Server whose places are tried last, of files that have several → why.
    """

    kind: TaskKind
    id: int
    segment: int
    plan: tuple[str, str]
    run_dir: str
    session: str = ""
    partitions: tuple[tuple[int, int], ...] = ()
    refs: tuple[Ref, ...] = ()
    partials: tuple[str, ...] = ()
    final: bool = False
    gaps: tuple[tuple[int, int], ...] = ()
    products: Mapping[str, str] = field(default_factory=dict)
    dataset: int = -1
    avoid: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServerUse:
    """What a task had to do with a server of input files.

    Attributes
    ----------
    files : int
        Files opened.
    bytes : int
        Compressed bytes that were used.
    seconds : float
        Time of waiting for them.
    failures : mapping
        Cause → number of failed attempts.
    bad : tuple of str
        Places that are wrong there.
    avoid : str
        Cause for which this process avoids the server from now on, empty if it does not.
    message : str
        The last failure, in one line.
    works : bool
        Whether it was avoided and works again.
    """

    files: int = 0
    bytes: int = 0
    seconds: float = 0.0
    failures: Mapping[str, int] = field(default_factory=dict)
    bad: tuple[str, ...] = ()
    avoid: str = ""
    message: str = ""
    works: bool = False


@dataclass(frozen=True, slots=True)
class StageStats:
    """Resources that a stage used in one task: calls, wall and CPU seconds, events in and out."""

    calls: int = 0
    wall: float = 0.0
    cpu: float = 0.0
    events_in: int = 0
    events_out: int = 0


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """A node of a block, as its node checks have found it.

    Attributes
    ----------
    node : str
        Its name in the batch system.
    block : int
        Number of the block.
    python : str
        Version of Python.
    platform : str
        Kernel and architecture, ``linux-x86_64``.
    system : str
        Name of the operating system or of the image.
    cpu : str
        Name of the processor.
    software : mapping
        Package → version, and hash if the driver has sent one; empty if it is not installed.
    environment : str
        Hash of the packed environment, empty for other environments.
    gpus : tuple of mappings
        The GPUs of its workers.
    """

    node: str
    block: int = -1
    python: str = ""
    platform: str = ""
    system: str = ""
    cpu: str = ""
    software: Mapping[str, str] = field(default_factory=dict)
    environment: str = ""
    gpus: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class TaskResult:
    """Result of a task: counts and references, never arrays.

    Attributes
    ----------
    id : int
        Number of the task.
    partial : str
        File of the partial products, empty if the segment has none.
    size : int
        Size of this file in bytes.
    parts : tuple of tuple of (first, last)
        The partitions of each part of this file. For ``call``: indices of datasets.
    whole : bool
        Whether all parts are merged.
    refs : mapping
        Stage id → chunks of its stored stream.
    done : tuple of (first, last)
        Partitions whose events are in `partial` and `refs`.
    failures : tuple of Failure
        Partitions that failed.
    broken : tuple of Failure
        Stages whose products cannot be merged or written; their products are not in `partial`.
    stages : mapping
        Stage id (or ``read``, ``store``, ``merge``) → the resources that it used.
    events, bytes_read : int
        Events read, compressed bytes read.
    wall, cpu : float
        Seconds of the whole task.
    peak_memory : int
        Peak resident memory of the worker process so far, bytes.
    host, pid : str, int
        The worker process.
    notes : mapping
        Modifier → stage → note.
    node : NodeFacts or None
        The node of the worker; only with the first result of a process.
    storage : mapping
        Server → what the task had to do with it; an empty name is for local places of files with several.
    """

    id: int
    partial: str = ""
    size: int = 0
    parts: tuple[tuple[tuple[int, int], ...], ...] = ()
    whole: bool = False
    refs: Mapping[str, tuple[Ref, ...]] = field(default_factory=dict)
    done: tuple[tuple[int, int], ...] = ()
    failures: tuple[Failure, ...] = ()
    broken: tuple[Failure, ...] = ()
    stages: Mapping[str, StageStats] = field(default_factory=dict)
    events: int = 0
    bytes_read: int = 0
    wall: float = 0.0
    cpu: float = 0.0
    peak_memory: int = 0
    host: str = ""
    pid: int = 0
    notes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    node: NodeFacts | None = None
    storage: Mapping[str, ServerUse] = field(default_factory=dict)
