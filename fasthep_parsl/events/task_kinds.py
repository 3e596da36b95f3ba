"""Events of tasks and of the partitions that they process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from fasthep_parsl.events.event import Event
from fasthep_parsl.tasks import FailureCause, Ref, ServerUse, Span, TaskKind


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSubmitted(Event):
    """A task was submitted to a pool.

    Attributes
    ----------
    task : int
        Number of the task, unique in the run directory.
    what : "map", "merge" or "call"
        Kind of the task.
    segment : int
        Index of the segment in the plan.
    pool : str
        The pool.
    partitions : list of [first, last]
        Partitions to process: plan-wide numbers, last excluded.
    """

    kind: ClassVar[str] = "submitted"
    task: int
    what: TaskKind
    segment: int
    pool: str
    partitions: tuple[Span, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFinished(Event):
    """A task has returned a result, which is now part of the run.

    Attributes
    ----------
    task : int
        Number of the task.
    what : "map", "merge" or "call"
        Kind of the task.
    segment : int
        Index of the segment in the plan.
    done : list of [first, last]
        Partitions that it has processed.
    dataset : int
        For a call: index of the dataset, -1 for all. Else -1.
    inputs : list of text
        Files of the stream that it has read.
    session : str
        The execution of the plan that it belongs to.
    partial : str
        File of its partial products, empty if there are none.
    size : int
        Bytes of this file.
    parts : list of lists of [first, last]
        Partitions of each part of this file. For a call: indices of datasets.
    whole : bool
        Whether all parts are merged.
    broken : list of text
        Stages whose products could not be merged or written.
    merged : list of text
        For a merge: files that its result replaces.
    refs : mapping of text to list of references
        Stage → files of its stream: path, checksum, size in bytes, events, dataset, partitions, counts, skip.
    events : int
        Events read.
    bytes : int
        Compressed bytes read.
    wall : float
        Wall time in seconds.
    cpu : float
        CPU time in seconds.
    peak_memory : int
        Peak resident memory of the worker process so far, bytes.
    host : str
        Machine of the worker.
    pid : int
        Process number of the worker.
    stages : mapping of text to list
        Stage (or ``read``, ``store``, ``merge``) → calls, wall seconds, CPU seconds, events in, events out.
    notes : mapping, optional
        Modifier → stage → note.
    returned : list of [first, last], optional
        Partitions that a server has refused and that are processed again; -1 for a call.
    storage : mapping of text to server use, optional
        Server of input files → files opened, compressed bytes used, seconds of waiting for them, failures by cause,
        bad places, avoid (why the worker avoids it from now on), message (of the last failure), works (whether it was
        avoided and works again).
    """

    kind: ClassVar[str] = "finished"
    task: int
    what: TaskKind
    segment: int
    done: tuple[Span, ...]
    dataset: int
    inputs: tuple[str, ...]
    session: str
    partial: str
    size: int
    parts: tuple[tuple[Span, ...], ...]
    whole: bool
    broken: tuple[str, ...]
    merged: tuple[str, ...]
    refs: Mapping[str, tuple[Ref, ...]]
    events: int
    bytes: int
    wall: float
    cpu: float
    peak_memory: int
    host: str
    pid: int
    stages: Mapping[str, tuple[int, float, float, int, int]]
    notes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    returned: tuple[Span, ...] = ()
    storage: Mapping[str, ServerUse] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskLost(Event):
    """A task has ended without a result. Its work is submitted again, or its partitions fail.

    Attributes
    ----------
    task : int
        Number of the task.
    segment : int
        Index of the segment in the plan.
    message : str
        Why.
    """

    kind: ClassVar[str] = "lost"
    task: int
    segment: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRetried(Event):
    """The work of a lost task is submitted again, as new tasks.

    Attributes
    ----------
    task : int
        Number of the lost task.
    segment : int
        Index of the segment in the plan.
    """

    kind: ClassVar[str] = "retried"
    task: int
    segment: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionFailed(Event):
    """A partition, or a call of a stage, has failed for good.

    Attributes
    ----------
    segment : int
        Index of the segment in the plan.
    cause : "infrastructure", "data", "user", "configuration" or "credential"
        What kind of failure it is.
    partition : int
        Plan-wide number of the partition, -1 for all.
    stage : str
        The stage, empty if none had started.
    message : str
        Why, in one line.
    where : str
        ``file:line`` of the user's code or of the op, empty if unknown.
    detail : str
        The traceback.
    """

    kind: ClassVar[str] = "failed"
    segment: int
    cause: FailureCause
    partition: int
    stage: str
    message: str
    where: str
    detail: str
