"""Events of a run: a frozen class for each kind, the states they report, and which of these are final.

The attributes of a class are the keys of its line in ``events.jsonl``. A change of a kind, a key or a state is a new
`VERSION`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

from fasthep_parsl.tasks import FailureCause, Ref, Span, TaskKind

VERSION = 1
"""Version of the event log. Files without a version (0) have the same lines and are read too."""

RunStatus = Literal["complete", "partial", "failed", "interrupted"]
PoolStateName = Literal["warming", "starting", "up", "lost", "failed", "ended"]
BlockStateName = Literal[
    "submitted",
    "refused",
    "waiting",
    "running",
    "up",
    "draining",
    "retiring",
    "lost",
    "failed",
    "ended",
    "removed",
    "left",
]


@dataclass(frozen=True, slots=True)
class StateInfo:
    """Meaning of a state.

    Attributes
    ----------
    meaning : str
        For the reference page.
    final : bool
        Whether the subject of the event does no more work.
    gone : bool
        For blocks: whether its job no longer exists in the batch system.
    """

    meaning: str
    final: bool = False
    gone: bool = False


RUN_STATUSES: Mapping[RunStatus, StateInfo] = {
    "complete": StateInfo("Every event was processed.", final=True),
    "partial": StateInfo("Some events are missing. The results of the others are written.", final=True),
    "failed": StateInfo("There are no results.", final=True),
    "interrupted": StateInfo("Ctrl-C, SIGTERM or SIGHUP ended the run.", final=True),
}

POOL_STATES: Mapping[PoolStateName, StateInfo] = {
    "warming": StateInfo("The first block on this machine starts, before Parsl does."),
    "starting": StateInfo("The interchange runs. Workers may connect."),
    "up": StateInfo("The first workers have connected."),
    "lost": StateInfo("The workers or the interchange died. The pool starts again."),
    "failed": StateInfo("The pool is given up. Its tasks fail.", final=True),
    "ended": StateInfo("The run has ended the pool.", final=True),
}

BLOCK_STATES: Mapping[BlockStateName, StateInfo] = {
    "submitted": StateInfo("The batch system has accepted the job."),
    "refused": StateInfo("The batch system has not accepted the job. There is no job id.", final=True, gone=True),
    "waiting": StateInfo("The job is queued; `message` is the reason that the batch system gives."),
    "running": StateInfo("The job has started. No worker has connected yet."),
    "up": StateInfo("Workers have connected."),
    "draining": StateInfo("The workers accept no more tasks, because the time limit is near."),
    "retiring": StateInfo("The block gets no more tasks, because the pool does not need it."),
    "lost": StateInfo("The block ended while its workers had tasks. The job may still have to be removed.", final=True),
    "failed": StateInfo("The block ended before a worker connected. The job may still have to be removed.", final=True),
    "ended": StateInfo("The job has ended.", final=True, gone=True),
    "removed": StateInfo("The run, or `fasthep-parsl cleanup`, has removed the job.", final=True, gone=True),
    "left": StateInfo("The job could not be removed and may still exist.", final=True),
}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events.

    Attributes
    ----------
    time : str
        When it happened: UTC, ISO 8601, in milliseconds.
    checked : bool
        Whether its line has a checksum. Not written.
    """

    kind: ClassVar[str]
    time: str = field(default_factory=_now)
    checked: bool = field(default=True, compare=False, repr=False)

    @property
    def when(self) -> datetime:
        """Return the time."""
        return datetime.fromisoformat(self.time)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLogHeader(Event):
    """A process has started to write to the file: the first line, and one for each resumed run.

    Attributes
    ----------
    version : int
        Version of the lines that follow.
    software : str
        The software that writes them.
    """

    kind: ClassVar[str] = "log"
    version: int
    software: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """A driver starts or resumes the run.

    Attributes
    ----------
    state : "started" or "resumed"
        Whether it continues a run.
    plan : str
        Hash of the plan.
    session : str
        Identifies this execution of the plan.
    host : str
        Machine of the driver.
    pid : int
        Process number of the driver.
    since : float
        When the driver process started, seconds since 1970.
    ticks : int
        The same in ticks of the kernel since its boot, 0 if unknown.
    boot : str, optional
        Identifies the boot of the kernel.
    container : str, optional
        Identifies the process namespace.
    """

    kind: ClassVar[str] = "run"
    state: Literal["started", "resumed"]
    plan: str
    session: str
    host: str
    pid: int
    since: float
    ticks: int
    boot: str | None = None
    container: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded(Event):
    """The run has ended. A killed driver leaves no such line.

    Attributes
    ----------
    status : str
        How it ended.
    exit_code : int
        Exit code of ``fasthep-parsl run``.
    """

    kind: ClassVar[str] = "ended"
    status: RunStatus
    exit_code: int


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
    cause : "infrastructure", "data", "user" or "configuration"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolChanged(Event):
    """A pool has changed its state.

    Attributes
    ----------
    pool : str
        The pool.
    state : str
        Its new state.
    workers : int, optional
        Workers of the pool.
    jobs : list, optional
        Job ids; on this machine the process numbers of the blocks.
    interchange : int, optional
        Process number of the interchange, -1 if there is none.
    seconds : float, optional
        For ``up``: seconds since the pool started.
    gpus : list of mappings, optional
        For ``up`` on this machine: the GPUs of the workers; memory in bytes.
    message : str, optional
        Why.
    """

    kind: ClassVar[str] = "pool"
    pool: str
    state: PoolStateName
    workers: int | None = None
    jobs: tuple[int | str, ...] = ()
    interchange: int | None = None
    seconds: float | None = None
    gpus: tuple[Mapping[str, Any], ...] = ()
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockChanged(Event):
    """A block of a pool has changed its state.

    Attributes
    ----------
    pool : str
        The pool.
    state : str
        Its new state.
    block : int
        Number of the block in its pool, -1 if it was refused.
    job : str, optional
        Job id.
    node : str, optional
        Node that the block runs on.
    gpus : list of mappings, optional
        For ``up``: the GPUs of its nodes; memory in bytes.
    message : str, optional
        Why.
    """

    kind: ClassVar[str] = "block"
    pool: str
    state: BlockStateName
    block: int
    job: str = ""
    node: str = ""
    gpus: tuple[Mapping[str, Any], ...] = ()
    message: str = ""

    @property
    def final(self) -> bool:
        """Return whether the block does no more work."""
        return BLOCK_STATES[self.state].final

    @property
    def gone(self) -> bool:
        """Return whether its job no longer exists in the batch system."""
        return BLOCK_STATES[self.state].gone


KINDS: Mapping[str, type[Event]] = {
    cls.kind: cls
    for cls in (
        EventLogHeader,
        RunStarted,
        PoolChanged,
        BlockChanged,
        TaskSubmitted,
        TaskFinished,
        TaskLost,
        TaskRetried,
        PartitionFailed,
        RunEnded,
    )
}
"""Kind of a line → its class."""

Record = Callable[[Event], None]
"""Appends an event to the log of the run."""
Observer = Callable[[Event], None]
"""Called with each event after it was written."""
