"""What travels between driver and workers: tasks, results, references, failures. Small, frozen, picklable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

TaskKind = Literal["map", "merge", "call"]
FailureCause = Literal["infrastructure", "data", "user", "configuration"]
Span = tuple[int, int]
"""A range of partitions: the first, and the one after the last, as plan-wide numbers."""


@dataclass(frozen=True, slots=True)
class Ref:
    """A stored piece of a stream that crosses pools: a reference, never an array through the driver.

    Attributes
    ----------
    path : str
        File in columnar form, readable from all workers.
    checksum : str
        ``<algorithm>:<hex>`` of the file's content.
    size : int
        Bytes.
    events : int
        Number of events in it.
    dataset : int
        Index of the dataset in the plan.
    partitions : tuple of (first, last)
        The partitions whose events it holds, as ranges of plan-wide numbers, last excluded.
    counts : tuple of int
        Events of each of these partitions in their order, so that a failure can be traced to one; empty if an op has
        replaced the stream by one of its own.
    skip : int
        Events at the beginning of the file that are not part of this piece.
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
    """A partition that failed, and why.

    Attributes
    ----------
    partition : int
        Plan-wide number.
    kind : "infrastructure", "data", "user" or "configuration"
        Decides the remedy.
    stage : str
        Stage that failed, empty if none had started.
    message : str
        One line.
    where : str
        ``file:line`` of the user's code or of the op, empty if unknown.
    detail : str
        Full traceback, for the log.
    """

    partition: int
    kind: FailureCause
    stage: str
    message: str
    where: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """One unit of work for a worker; small, because it travels.

    Attributes
    ----------
    kind : "map", "merge" or "call"
        Run a segment over partitions or references; join partial products; run one dataset- or
        workflow-scope stage.
    id : int
        Unique in the run.
    segment : int
        Index of the segment in the plan.
    plan : tuple of (path, hash)
        Where the plan lies; workers read it once and keep it by hash.
    run_dir : str
        The run directory.
    session : str
        Which execution of the run this is; stands in the names of files, so that no two ever write the same.
    partitions : tuple of (first, last)
        Plan-wide numbers, last excluded; for ``map`` on the source.
    refs : tuple of Ref
        For ``map`` on a stored stream and for ``call``.
    partials : tuple of str
        For ``merge``: files of partial products, in the order of their events.
    final : bool
        For ``merge``: whether nothing more will come, so that what is there is put together.
    products : mapping
        Stage id → file of its merged product, for stages that bind products.
    dataset : int
        For ``call`` of scope ``dataset``: index of the dataset; else -1.
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
    products: Mapping[str, str] = field(default_factory=dict)
    dataset: int = -1


@dataclass(frozen=True, slots=True)
class StageStats:
    """What a stage used in one task: calls, wall and CPU seconds, events in and out."""

    calls: int = 0
    wall: float = 0.0
    cpu: float = 0.0
    events_in: int = 0
    events_out: int = 0


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What a worker sends back: counts and references, never arrays.

    Attributes
    ----------
    id : int
        Of the task.
    partial : str
        File of the partial products, empty if the segment has none.
    size : int
        Its bytes.
    parts : tuple of tuple of (first, last)
        The partitions whose events are in it: of each part. For ``call``, numbers of datasets instead.
    whole : bool
        Whether all parts are put together in it.
    refs : mapping
        Stage id → references to its stored stream.
    done : tuple of (first, last)
        Partitions whose events are in `partial` and `refs`.
    failures : tuple of Failure
        Partitions that failed.
    broken : tuple of Failure
        Stages whose products cannot be joined or written, and why; their products are not in `partial`.
    stages : mapping
        Stage id (or ``read``, ``store``, ``merge``) → what it used.
    events, bytes_read : int
        Events read, compressed bytes read.
    wall, cpu : float
        Seconds of the whole task.
    peak_memory : int
        Peak resident memory of the worker process so far, bytes.
    host, pid : str, int
        Who did it.
    notes : mapping
        Kind of modifier → stage → what it noted.
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
