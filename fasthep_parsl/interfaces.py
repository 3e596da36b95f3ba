"""The contracts of everything that has variants: read this page to write a new kind.

A kind is one file plus one entry-point line in ``pyproject.toml``. Values that cross a layer are frozen;
what has a lifetime is a context manager. Nothing here does anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from pydantic import BaseModel

    from fasthep_parsl.plan import Plan, PlanPool

# --- fields and their structure, known without reading an event ------------------------------------------

Shape = tuple[str, ...]
"""Structure of a field: ``()`` is one value per event, ``("nMuon",)`` a list per event whose lengths are those
of the counter ``nMuon``. Two jagged fields match if their names match; ``"*"`` is unknown and matches all."""

Schema = Mapping[str, Shape]
"""Name of a field → its structure, for all fields that a stream has."""

ParamPath = tuple[str | int, ...]
"""Where in an op's parameters something stands, e.g. ``("variables", 0, "expr")``."""


@dataclass(frozen=True, slots=True)
class OpProblem:
    """A mistake in an op's parameters: where in them, what, and what would be right."""

    path: ParamPath
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Effects:
    """What an op does to a stream, found from its parameters and the stream's schema alone.

    Attributes
    ----------
    reads : mapping
        Field → where in the parameters it is named.
    writes : mapping
        New field → its structure.
    problems : tuple of OpProblem
        Everything that is wrong with the parameters on this schema.
    keeps_all : bool
        Whether every field of the stream may be needed (then nothing is pruned before this op).
    """

    reads: Mapping[str, ParamPath] = field(default_factory=dict)
    writes: Mapping[str, Shape] = field(default_factory=dict)
    problems: tuple[OpProblem, ...] = ()
    keeps_all: bool = False


# --- ops --------------------------------------------------------------------------------------------------

Scope = Literal["partition", "dataset", "workflow"]


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """What an op may know of the dataset that its events come from."""

    name: str
    eventtype: str = "mc"
    group: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Context:
    """Handed to an op that has a keyword ``context``.

    Attributes
    ----------
    stage : str
        Id of the stage.
    dataset : DatasetInfo
        Dataset of the events; scope ``workflow`` gets one without a name.
    datasets : tuple of DatasetInfo
        All datasets of the plan, in its order (for category axes).
    partition : str
        ``<dataset>-<number>``: a name that is unique in the plan (for output files).
    outdir : Path
        ``results/<StageId>`` of the run directory; exists if the op yields a product.
    """

    stage: str
    dataset: DatasetInfo
    datasets: tuple[DatasetInfo, ...]
    partition: str
    outdir: Path


@dataclass(frozen=True)
class Op:
    """An operation as the compiler and the workers see it; made by the decorator ``@op``.

    Attributes
    ----------
    name : str
        ``hep.define``, ``custom.train`` …
    call : callable
        ``f(events, *, <params>[, context]) -> Events | dict of columns | product | (stream, product)``.
        With scope ``dataset`` or ``workflow`` the first argument is an iterable of `Events` (one per stored
        chunk), or nothing if the op reads no stream.
    params : type of BaseModel
        Validates the parameters (``extra="forbid"``); its values become the keywords of `call`.
    analyse : callable
        ``(params, schema) -> Effects``. Pure and light: must not import awkward.
    scope : "partition", "dataset" or "workflow"
        How often it runs: per slice of events, once per dataset, once.
    stream : bool
        Whether it yields a stream for later stages.
    product : str or None
        Name of its product (``hist``, ``cutflow``), None if it yields none.
    merge : callable or None
        ``(a, b) -> c``, associative; joins the products of two disjoint sets of events.
    per_partition : bool
        Whether it must see each partition alone (writers). Otherwise it may be given several adjacent
        partitions at once, so that ``f(a + b) == merge(f(a), f(b))`` must hold.
    takes_events, takes_context : bool
        What `call` accepts.
    """

    name: str
    call: Callable[..., Any]
    params: type[BaseModel]
    analyse: Callable[[Any, Schema], Effects]
    scope: Scope = "partition"
    stream: bool = True
    product: str | None = None
    merge: Callable[[Any, Any], Any] | None = None
    per_partition: bool = False
    takes_events: bool = True
    takes_context: bool = False


# --- workers ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """What must be true on a worker before its first task: shell lines and files.

    Attributes
    ----------
    worker_init : tuple of str
        Shell lines, run before the worker pool starts. Never holds a secret.
    python : str
        Python of the workers.
    files : mapping
        Name in the run directory → path on the submit side, to be brought to workers.
    """

    worker_init: tuple[str, ...] = ()
    python: str = "python3"
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProviderSpec:
    """How the workers of a pool come to exist, as plain data.

    Attributes
    ----------
    kind : str
        Name of the provider in ``backends/parsl`` (``local``, ``slurm`` …).
    options : mapping
        Keyword arguments of the provider.
    workers_per_block : int
        Workers that one block brings.
    blocks : int
        Number of blocks.
    """

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)
    workers_per_block: int = 1
    blocks: int = 1


class Strategy(Protocol):
    """How the workers of a pool come to exist. Pure: asks no scheduler, starts nothing."""

    def workers(self, pool: PlanPool, setup: WorkerSetup) -> ProviderSpec:
        """Return what a backend needs to create the workers of `pool`."""


class Environment(Protocol):
    """The software that workers run."""

    def setup(self, run_dir: Path) -> WorkerSetup:
        """Return what workers need. Pure."""

    def prepare(self, run_dir: Path) -> None:
        """Make it exist (pack, copy). Idempotent."""


class Credential(Protocol):
    """A proxy or token that workers need; its value never enters a plan, script, environment or event."""

    def setup(self, run_dir: Path) -> WorkerSetup:
        """Return what workers need. Pure."""

    def prepare(self, run_dir: Path) -> None:
        """Bring it to the run directory, readable by the user alone. Idempotent."""


class Modifier(Protocol):
    """Changes how an op is called: before, after, or instead."""

    def wrap(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a callable with the signature and the result of `call`."""


# --- execution --------------------------------------------------------------------------------------------


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
    """

    path: str
    checksum: str
    size: int
    events: int
    dataset: int
    partitions: tuple[tuple[int, int], ...]
    counts: tuple[int, ...] = ()


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
    kind: Literal["infrastructure", "data", "user", "configuration"]
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
    partitions : tuple of (first, last)
        Plan-wide numbers, last excluded; for ``map`` on the source.
    refs : tuple of Ref
        For ``map`` on a stored stream and for ``call``.
    partials : tuple of str
        For ``merge``: files of partial products.
    products : mapping
        Stage id → file of its merged product, for stages that bind products.
    dataset : int
        For ``call`` of scope ``dataset``: index of the dataset; else -1.
    """

    kind: Literal["map", "merge", "call"]
    id: int
    segment: int
    plan: tuple[str, str]
    run_dir: str
    partitions: tuple[tuple[int, int], ...] = ()
    refs: tuple[Ref, ...] = ()
    partials: tuple[str, ...] = ()
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
    refs : mapping
        Stage id → references to its stored stream.
    done : tuple of (first, last)
        Partitions whose events are in `partial` and `refs`.
    failures : tuple of Failure
        Partitions that failed.
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
    """

    id: int
    partial: str = ""
    refs: Mapping[str, tuple[Ref, ...]] = field(default_factory=dict)
    done: tuple[tuple[int, int], ...] = ()
    failures: tuple[Failure, ...] = ()
    stages: Mapping[str, StageStats] = field(default_factory=dict)
    events: int = 0
    bytes_read: int = 0
    wall: float = 0.0
    cpu: float = 0.0
    peak_memory: int = 0
    host: str = ""
    pid: int = 0


class Session(Protocol):
    """An opened backend: workers exist or will exist on demand."""

    def submit(self, pool: str, task: Task, priority: int) -> Future[TaskResult]:
        """Run `task` on a worker of `pool`; a lower `priority` runs earlier.

        The first task for a pool makes its workers come up. The future fails with
        `WorkerLostError` if the worker died, else with what was raised.
        """

    def call(self, pool: str, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Run an importable function on a worker of `pool` (to finish a run where everything is imported)."""

    def slots(self, pool: str) -> int:
        """Return how many tasks of `pool` can run at once when all its workers are up."""

    def cancel(self) -> None:
        """End all work at once; `submit` fails afterwards."""


class Backend(Protocol):
    """Who executes tasks."""

    def open(self, plan: Plan, run_dir: Path, record: Callable[..., None]) -> AbstractContextManager[Session]:
        """Return a session for `plan`; leaving it ends every process and job it started.

        Parameters
        ----------
        plan : Plan
            What will be executed.
        run_dir : Path
            The run directory; logs go to its ``log``.
        record : callable
            ``record(kind, **facts)`` appends to the run's ``events.jsonl`` (block up, block down …).
        """


Problems = Sequence[OpProblem]
