"""What the report says, apart from how it looks. Times in seconds, sizes in bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Tone = Literal["good", "bad", "open"]


@dataclass(frozen=True, slots=True)
class Quantiles:
    """A distribution: how many values, and where they lie.

    Attributes
    ----------
    count : int
        Number of values.
    p50, p95, p99, largest : float
        Quantiles: the smallest value that is not exceeded by this share of values.
    """

    count: int = 0
    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    largest: float = 0.0


@dataclass(frozen=True, slots=True)
class DatasetRow:
    """Events of a dataset: in the plan, and done in every result."""

    name: str
    total: int
    done: int
    files: int
    size: int

    @property
    def missing(self) -> int:
        """Return the events that are not done."""
        return self.total - self.done


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether all events were processed.

    Attributes
    ----------
    tone : "good", "bad" or "open"
        All is done and agrees; something is missing or disagrees; the run has not ended.
    headline : str
        The answer, in one sentence.
    status : str
        Status of the run; ``running``, ``killed`` or ``not ended`` if it has none.
    total, done, missing : int
        Events in the plan, in every result, and in the list of missing events.
    seconds : float
        From the start of the run, or its last resumption, to its end or last event.
    reasons : tuple of str
        Why it is not complete.
    command, call : str
        Command and call in Python that finish the run, empty if there is nothing to do.
    again : bool
        Whether they process all events again.
    advice : str
        What to do before.
    """

    tone: Tone
    headline: str
    status: str
    total: int
    done: int
    missing: int
    seconds: float
    reasons: tuple[str, ...] = ()
    command: str = ""
    call: str = ""
    again: bool = False
    advice: str = ""


@dataclass(frozen=True, slots=True)
class TimePart:
    """A part of a whole in a bar or a table of times."""

    name: str
    seconds: float
    cpu: float = 0.0
    calls: int = 0
    events_in: int = 0
    events_out: int = 0
    pool: str = ""


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """Tasks of a segment: stages that run together."""

    stages: tuple[str, ...]
    pool: str
    tasks: int
    wall: Quantiles
    peak_memory: int


@dataclass(frozen=True, slots=True)
class PoolTime:
    """Time of a pool.

    Attributes
    ----------
    name : str
        The pool.
    tasks, workers : int
        Tasks that have ended, and worker processes that were seen.
    wall, cpu : float
        Sums over its tasks.
    wait : Quantiles
        Time of tasks from submission to start.
    busy : tuple of float
        Mean number of busy workers in each interval of time.
    """

    name: str
    tasks: int
    workers: int
    wall: float
    cpu: float
    wait: Quantiles
    busy: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class RasterRow:
    """Busy fraction of a worker, or the mean of several, in each interval of time."""

    label: str
    busy: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Raster:
    """What workers did over time.

    Attributes
    ----------
    width : float
        Length of an interval.
    rows : tuple of RasterRow
        At most 200.
    workers : int
        Worker processes; more than one per row if there are more than 200.
    """

    width: float
    rows: tuple[RasterRow, ...]
    workers: int


@dataclass(frozen=True, slots=True)
class TimeUse:
    """Where the time went."""

    parts: tuple[TimePart, ...]
    stages: tuple[TimePart, ...]
    more_stages: int
    segments: tuple[SegmentRow, ...]
    pools: tuple[PoolTime, ...]
    raster: Raster
    wall: float
    cpu: float


@dataclass(frozen=True, slots=True)
class MemoryRow:
    """Memory of a pool: what was requested, what its workers used, and what to request next time.

    Attributes
    ----------
    pool : str
        The pool.
    requested : int
        Per worker.
    used : Quantiles
        Highest resident memory of each worker process.
    bins : tuple of int
        Workers in equal bins from 0 to `reach`.
    reach : float
        Upper edge of the last bin.
    proposed : int
        What to request, 0 without a proposal.
    yaml : str
        The setting, ready to paste.
    note : str
        What to know about it.
    """

    pool: str
    requested: int
    used: Quantiles
    bins: tuple[int, ...]
    reach: float
    proposed: int
    yaml: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class BlockRow:
    """Blocks of a pool: jobs by what became of them, and how long they waited in the queue."""

    pool: str
    strategy: str
    blocks: int
    workers: int
    states: Mapping[str, int]
    jobs: Mapping[str, int]
    queued: Quantiles
    nodes: int
    queue: str = ""


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Failures with the same cause, with the first one as an example."""

    cause: str
    stage: str
    message: str
    where: str
    partitions: int
    events: int
    files: int
    example: str
    detail: str


@dataclass(frozen=True, slots=True)
class LostGroup:
    """Tasks that were lost for the same reason; they were submitted again."""

    message: str
    tasks: int


@dataclass(frozen=True, slots=True)
class Failures:
    """What has failed, by cause."""

    groups: tuple[FailureGroup, ...] = ()
    more: int = 0
    partitions: int = 0
    lost: tuple[LostGroup, ...] = ()
    lost_tasks: int = 0
    retried: int = 0
    blocked: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """A plot: its title, its path relative to the run directory, and other formats of it."""

    name: str
    path: str
    others: tuple[str, ...] = ()
    content: str = ""


@dataclass(frozen=True, slots=True)
class CutRow:
    """A cut: its label and, per dataset, what passes it and which share of the first cut's input that is."""

    label: str
    cells: tuple[tuple[str, str], ...]
    first: bool = False


@dataclass(frozen=True, slots=True)
class CutflowTable:
    """A cutflow: datasets are columns."""

    name: str
    path: str
    datasets: tuple[str, ...]
    rows: tuple[CutRow, ...]
    more_datasets: int = 0
    more_rows: int = 0
    weighted: bool = False
    nan: int = 0


@dataclass(frozen=True, slots=True)
class FileLink:
    """A file of the run: path relative to the run directory, and its size."""

    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Results:
    """The results of a run."""

    pictures: tuple[Picture, ...] = ()
    more_pictures: int = 0
    cutflows: tuple[CutflowTable, ...] = ()
    more_cutflows: int = 0
    files: tuple[FileLink, ...] = ()
    more_files: int = 0


@dataclass(frozen=True, slots=True)
class Hashed:
    """Something that the run used, with its hash."""

    name: str
    hash: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class EqualNodes:
    """Equal nodes."""

    nodes: tuple[str, ...]
    more: int
    system: str
    cpu: str
    python: str
    gpus: str


@dataclass(frozen=True, slots=True)
class InputList:
    """Input files of a dataset, the first ones by name."""

    dataset: str
    files: int
    fingerprint: str
    shown: tuple[Hashed, ...]


@dataclass(frozen=True, slots=True)
class Provenance:
    """What exactly ran, and on which input."""

    facts: tuple[tuple[str, str], ...] = ()
    versions: tuple[tuple[str, str], ...] = ()
    code: tuple[Hashed, ...] = ()
    more_code: int = 0
    nodes: tuple[EqualNodes, ...] = ()
    inputs: tuple[InputList, ...] = ()
    more_inputs: int = 0
    files: int = 0


@dataclass(frozen=True, slots=True)
class FactorRow:
    """Normalisation of a dataset."""

    dataset: str
    factor: str
    made_of: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Physics:
    """Normalisation and systematic variations."""

    factors: tuple[FactorRow, ...] = ()
    more_factors: int = 0
    groups: tuple[tuple[str, tuple[str, ...], str], ...] = ()
    more_groups: int = 0
    variations: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """All that the page says."""

    title: str
    folder: str
    written: str
    started: str
    sessions: int
    verdict: Verdict
    datasets: tuple[DatasetRow, ...]
    more_datasets: int
    results: Results
    time: TimeUse
    memory: tuple[MemoryRow, ...]
    blocks: tuple[BlockRow, ...]
    failures: Failures
    provenance: Provenance
    physics: Physics
    warnings: tuple[str, ...] = ()
    more_warnings: int = 0
    notes: tuple[str, ...] = field(default=())
