"""The contracts of everything that has variants: read this page to write a new kind.

A kind is one file plus one entry-point line in ``pyproject.toml``. Values that cross a layer are frozen;
what has a lifetime is a context manager. Nothing here does anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from fasthep_parsl.tasks import Task, TaskResult

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
class Place:
    """Where a block of a pool lies, and what it is called.

    Attributes
    ----------
    folder : str
        Absolute path; the block runs ``node.sh`` of it and writes ``block.<number>.out`` and ``.err`` there.
    job : str
        Name for the batch system's listings.
    block : int
        Number of the block in its pool.
    avoid : tuple of str
        Nodes, as the batch system calls them, on which blocks have failed.
    files : tuple of str
        Paths or URLs to be brought to workers that do not see `folder`; ``node.sh`` comes by itself.
    secrets : tuple of str
        More of them, which nobody may read on the way.
    """

    folder: str
    job: str
    block: int
    avoid: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Script:
    """A submit file: its name in the folder of the block, and its text."""

    name: str
    text: str


class Strategy(Protocol):
    """How the workers of a pool come to exist: a frozen model with what a site says of its batch system."""

    batch: ClassVar[bool]
    """Whether a batch system creates them: then it is a `BatchStrategy`, and the compiler shapes blocks to the site's
    queues. Else workers are processes of this machine."""


class BatchStrategy(Strategy, Protocol):
    """A strategy whose workers are jobs of a batch system. Pure: asks no scheduler, starts nothing."""

    several_nodes: ClassVar[bool]
    """Whether one job can have several nodes."""
    brings_files: ClassVar[bool]
    """Whether jobs bring the files of their `Place`; else nodes must see the run directory."""

    def script(self, pool: PlanPool, place: Place) -> Script:
        """Return what is submitted for one block of `pool`, whose `block` is set; `self` holds the pool's options."""


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


# --- modifiers --------------------------------------------------------------------------------------------

Note = Mapping[str, Any]
"""What a modifier has seen: plain data (numbers, text, lists, mappings) that JSON can hold."""


@dataclass(frozen=True, slots=True)
class Call:
    """An op as a stage calls it, and what a modifier may know of that.

    Attributes
    ----------
    function : callable
        ``f(events, **params)``; what it returns is the op's.
    op : Op
        The op.
    stage, pool : str
        Id of the stage, name of its pool.
    reads : tuple of str
        Fields of the stream that the stage reads; ``"*"`` is all.
    takes : tuple of str
        Modifiers of the stages that may read its stream next in the same task: what lies on a GPU may stay there if
        all of them want it so.
    note : callable
        ``note(kind, note)``: keep a `Note` for the driver, joined with those before by the modifier's `merge`.
    """

    function: Callable[..., Any]
    op: Op
    stage: str
    pool: str = "default"
    reads: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    note: Callable[[str, Note], None] = lambda _kind, _note: None

    def __call__(self, events: Any, **params: Any) -> Any:
        """Call the op."""
        return self.function(events, **params)

    def using(self, function: Callable[..., Any]) -> Call:
        """Return the same call through another function."""
        return replace(self, function=function)


class Modifier(Protocol):
    """Changes how an op is called: before, after, or instead. A frozen model; its fields are its parameters.

    Modifiers form an onion in the order given: the first is the outermost, those of the pool outside of the stage's.
    """

    needs_gpu: ClassVar[bool]
    """Whether it works only on workers with a GPU; a model with a field `on_missing` says what happens elsewhere."""

    def wrap(self, call: Call) -> Call:
        """Return what is called instead of `call`. Made once per worker and stage."""


class NotingModifier(Modifier, Protocol):
    """A modifier whose notes are written into the run directory."""

    @staticmethod
    def merge(a: Note, b: Note) -> Note:
        """Join the notes of two calls or workers; associative."""

    @staticmethod
    def write(notes: Mapping[str, Note], folder: Path) -> None:
        """Write what all workers noted, by stage, into ``<run directory>/<kind>``."""


READ = "<read>"
"""Under this name, which no stage can have, lies what modifiers note of reading."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of adjacent events from an input file.

    Attributes
    ----------
    events : int
        Events read.
    wall, cpu : float
        Seconds.
    branches : callable
        Returns compressed bytes by branch; worked out when asked.
    """

    events: int
    wall: float
    cpu: float
    branches: Callable[[], Mapping[str, int]]


class ReadingModifier(NotingModifier, Protocol):
    """A modifier that is also told what was read for the stages of its segment."""

    def reading(self, read: Reading) -> Note | None:
        """Return what is noted of a reading, under `READ`."""


# --- execution --------------------------------------------------------------------------------------------


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
