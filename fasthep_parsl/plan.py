"""The `Plan`: what will be executed, as frozen plain data with a schema version and a hash.

Left of it nothing happens, right of it nothing is decided. Workers, ``plan --json``, resume and the report read it.
"""

from __future__ import annotations

import hashlib
import json
import math
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

SCHEMA_VERSION = 1
EventType = Literal["data", "mc"]
"""Collisions, or simulation."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


_FLOAT = "$float"


def _written(value: Any) -> Any:
    """Return `value` with numbers that JSON lacks as ``{"$float": "inf"}``: as null a worker would not know them."""
    if isinstance(value, float) and not math.isfinite(value):
        return {_FLOAT: str(value)}
    if isinstance(value, dict):
        return {key: _written(part) for key, part in value.items()}
    return [_written(part) for part in value] if isinstance(value, list | tuple) else value


def _read(value: Any) -> Any:
    if isinstance(value, dict):
        return float(value[_FLOAT]) if value.keys() == {_FLOAT} else {key: _read(part) for key, part in value.items()}
    return [_read(part) for part in value] if isinstance(value, list) else value


Written = Annotated[dict[str, Any], PlainSerializer(_written, when_used="json"), BeforeValidator(_read)]
"""What a user wrote: any values, infinities and NaN too."""


class PlanFile(_Frozen):
    """An input file and how it is cut into partitions."""

    path: str = Field(description="absolute path or URL")
    entries: int = Field(ge=0, description="number of events")
    size: int = Field(-1, description="bytes; -1 if unknown")
    mtime_ns: int = Field(-1, description="modification time, ns; -1 if unknown")
    uuid: str = Field("", description="identity that the file says it has; empty if unknown")
    edges: tuple[int, ...] = Field(description="event numbers at which partitions begin, and the end")

    @property
    def partitions(self) -> int:
        """Number of partitions in this file."""
        return max(len(self.edges) - 1, 0)


class PlanDataset(_Frozen):
    """A dataset: files and what ops may know of them."""

    name: str
    eventtype: str = "mc"
    group: str = ""
    meta: Written = Field(default_factory=dict)
    tree: str = Field("", description="name of its tree; empty: that of the source")
    files: tuple[PlanFile, ...] = ()

    @property
    def entries(self) -> int:
        """Number of events."""
        return sum(file.entries for file in self.files)


class PlanDefault(_Frozen):
    """What a field is in files that lack its branch."""

    value: bool | int | float | str = Field(description="one per event; `nan`, `inf` and `-inf` as texts")
    dtype: str = Field(description="type of the branch in other files: numpy's name, or `text`")


class PlanSource(_Frozen):
    """How events are read."""

    name: str = "events"
    kind: str = "root_tree"
    params: Written = Field(default_factory=dict, description="fields of the source, as its kind defines them")
    aliases: dict[str, str] = Field(default_factory=dict, description="field → branch, from `fields`")
    defaults: dict[str, PlanDefault] = Field(
        default_factory=dict, description="field → value per event in files that lack its branch"
    )

    def with_tree(self, tree: str) -> Self:
        """Return the source with the tree of a dataset, if the dataset has its own."""
        return self.model_copy(update={"params": {**self.params, "tree": tree}}) if tree else self

    @property
    def tree(self) -> str:
        """Name of the tree; empty if the format has no trees."""
        return str(self.params.get("tree", ""))

    @property
    def identity(self) -> str:
        """Kind and parameters as text: equal sources read equal events from a file."""
        return f"{self.kind} {json.dumps(self.params, sort_keys=True, default=str)}"


class PlanEnvironment(_Frozen):
    """The software of workers; how it is used stands in each pool."""

    kind: str
    params: Written = Field(default_factory=dict)


class PlanCredential(_Frozen):
    """A credential of the workers, without its secret."""

    kind: str
    params: Written = Field(default_factory=dict)


class PlanModifier(_Frozen):
    """A modifier of a stage, carried as metadata."""

    kind: str
    params: Written = Field(default_factory=dict)


class Binding(_Frozen):
    """A product of another stage, bound to a parameter."""

    node: str
    port: str
    to: str


class PlanStage(_Frozen):
    """A stage, routed and checked."""

    id: str
    op: str
    params: Written = Field(default_factory=dict)
    op_hash: str = Field("", description="content hash of the op's code")
    module: str = Field("", description="user module that defines the op, empty for built-ins")
    scope: Literal["partition", "dataset", "workflow"] = "partition"
    needs: tuple[str, ...] = ()
    input: str = Field("", description="stage whose stream it reads, empty for the source")
    bind: tuple[Binding, ...] = ()
    stream: bool = True
    product: str = ""
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    keep: tuple[str, ...] = Field((), description="columns needed after this stage in its segment")
    pool: str = "default"
    why: str = Field("", description="why this pool")
    timeout: float | None = Field(None, description="s per task")
    modifiers: tuple[PlanModifier, ...] = ()


class PlanSegment(_Frozen):
    """Stages that run together in one task: one pool, one read."""

    id: int
    pool: str
    scope: Literal["partition", "dataset", "workflow"] = "partition"
    stages: tuple[str, ...]
    input: str = Field("", description="stage whose stored stream it reads, empty for the source")
    columns: tuple[str, ...] = Field((), description="columns read at the start")
    stores: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="stage → columns of its stream that are stored for other segments"
    )
    products: tuple[str, ...] = Field((), description="stages that yield a product")
    after: tuple[int, ...] = Field((), description="segments that must be complete before")
    per_partition: bool = False


class PlanBlock(_Frozen):
    """Geometry of a block: what one job asks of the batch system."""

    nodes: int = Field(1, ge=1)
    workers_per_node: int = Field(1, ge=1)
    cpus: int = Field(1, ge=1, description="cores per node")
    memory: int = Field(ge=1, description="bytes per node")
    gpus: int = Field(0, ge=0, description="GPUs per node")
    disk: int | None = Field(None, description="bytes per node")
    walltime: float = Field(gt=0, description="s")
    queue: str = Field("", description="name of the site's queue, empty if it has none")
    whole_nodes: bool = Field(False, description="whether nodes are not shared with other jobs")
    why: tuple[str, ...] = Field((), description="how it was derived, a sentence each")


class PlanNetwork(_Frozen):
    """How workers reach the driver."""

    address: str = Field("", description="empty: found when the run starts")
    interface: str = ""
    ports: tuple[int, int] | None = Field(None, description="first and last; None: any")


class PlanScaling(_Frozen):
    """When blocks of a pool come and go; times in seconds, see the site's `scaling`."""

    min_blocks: int = 0
    idle: float = 60.0
    start: float = 600.0
    poll: float = 30.0
    command_timeout: float = 60.0
    submissions_per_minute: int = 10
    failures_per_node: int = 2


class PlanPool(_Frozen):
    """A pool with its quantities, as the site grants them. Its name is the executor's label."""

    name: str
    workers: int = Field(ge=1)
    cpus: int = Field(1, ge=1, description="cores per worker")
    memory: int = Field(2_000_000_000, ge=1, description="bytes per worker")
    gpus: int = Field(0, ge=0, description="GPUs that a worker sees")
    workers_per_gpu: int = Field(1, ge=1, description="workers that see the same GPUs")
    disk: int | None = Field(None, description="bytes per worker")
    walltime: float | None = Field(None, description="s, longest life of a worker as the pool asks")
    resource: str = Field("", description="resource class it was made from")
    used: bool = True
    provider: str = Field("local", description="kind of strategy that creates its workers")
    options: dict[str, Any] = Field(default_factory=dict, description="fields of the strategy for this pool")
    workers_per_block: int = 1
    blocks: int = Field(1, description="most blocks at once")
    block: PlanBlock | None = Field(None, description="what one job asks for; None: processes of this machine")
    network: PlanNetwork = PlanNetwork()
    scaling: PlanScaling = PlanScaling()
    worker_init: tuple[str, ...] = ()
    python: str = Field("", description="Python of the workers; empty: the driver's")
    files: tuple[str, ...] = Field((), description="names of files that blocks bring, in `setup` of the run directory")
    secrets: tuple[str, ...] = Field((), description="names of secrets that blocks bring; never their content")
    scratch: str = Field("", description="folder on the disk of a node, expanded there")
    shared: bool = Field(True, description="whether workers see the run directory")


class PlanCode(_Frozen):
    """A file whose content decides results."""

    name: str = Field(description="path, relative to the folder of the module, or absolute")
    sha256: str


class PlanModule(_Frozen):
    """Analysis code that workers import."""

    name: str
    path: str
    sha256: str = Field(description="content hash of all its files")
    folder: str = Field("", description="folder of its copy below `code`")
    files: tuple[PlanCode, ...] = Field((), description="the module, and what it imports and reads from beside it")


class Plan(_Frozen):
    """Everything that a backend needs, and nothing that it would have to decide."""

    schema_version: int = SCHEMA_VERSION
    name: str
    workflow: str = Field("", description="path of the workflow file")
    site: str = "local"
    backend: str = "parsl"
    strategy: str = "local"
    chunk_size: int = Field(description="most events per partition")
    pass_size: int = Field(1, description="most events that adjacent partitions are read in at once")
    source: PlanSource
    datasets: tuple[PlanDataset, ...] = ()
    stages: tuple[PlanStage, ...]
    segments: tuple[PlanSegment, ...]
    pools: tuple[PlanPool, ...]
    environment: PlanEnvironment | None = None
    credentials: tuple[PlanCredential, ...] = ()
    modules: tuple[PlanModule, ...] = ()
    files: tuple[PlanCode, ...] = Field((), description="files of `use.files` that lie elsewhere")
    software: dict[str, str] = Field(default_factory=dict, description="package → version, of what decides results")
    warnings: tuple[str, ...] = ()

    def __copy__(self) -> Self:
        """Return a copy that forgets what was computed from the original (`model_copy` changes fields)."""
        copied = super().__copy__()
        for name in ("hash", "partitions", "_spans"):
            copied.__dict__.pop(name, None)
        return copied

    @cached_property
    def hash(self) -> str:
        """sha256 over what decides the results (not over how many workers there are)."""
        aside = dict.fromkeys(
            ("pools", "environment", "credentials", "warnings", "backend", "strategy", "site", "workflow"), True
        )
        content = self.model_dump_json(exclude={**aside, "stages": {"__all__": {"why", "timeout"}}})
        return hashlib.sha256(content.encode()).hexdigest()

    @cached_property
    def _spans(self) -> tuple[list[int], list[tuple[int, int]], list[int]]:
        """First partition of each file that has any, (dataset, file), and events in all files before it."""
        firsts, owners, before = [], [], []
        total = events = 0
        for d, dataset in enumerate(self.datasets):
            for f, file in enumerate(dataset.files):
                if file.partitions:
                    firsts.append(total)
                    owners.append((d, f))
                    before.append(events)
                    total += file.partitions
                    events += file.edges[-1] - file.edges[0]
        return firsts, owners, before

    @cached_property
    def partitions(self) -> int:
        """Number of partitions of all datasets."""
        return sum(file.partitions for dataset in self.datasets for file in dataset.files)

    @property
    def entries(self) -> int:
        """Number of events of all datasets."""
        return sum(dataset.entries for dataset in self.datasets)

    def locate(self, partition: int) -> tuple[int, int, int]:
        """Return (dataset, file, number within the file) of a plan-wide partition number."""
        firsts, owners, _ = self._spans
        span = bisect_right(firsts, partition) - 1
        dataset, file = owners[span]
        return dataset, file, partition - firsts[span]

    def events_before(self, partition: int) -> int:
        """Return the number of events in all partitions with smaller plan-wide numbers."""
        firsts, owners, before = self._spans
        if not firsts:
            return 0
        span = bisect_right(firsts, partition) - 1
        dataset, number = owners[span]
        edges = self.datasets[dataset].files[number].edges
        return before[span] + edges[min(partition - firsts[span], len(edges) - 1)] - edges[0]

    def events_in(self, first: int, last: int) -> int:
        """Return the number of events in the partitions from `first` to `last`, last excluded."""
        return self.events_before(last) - self.events_before(first)

    def partition_range(self, partition: int) -> tuple[PlanDataset, PlanFile, int, int]:
        """Return (dataset, file, entry_start, entry_stop) of a plan-wide partition number."""
        d, f, number = self.locate(partition)
        file = self.datasets[d].files[f]
        return self.datasets[d], file, file.edges[number], file.edges[number + 1]

    def dataset_partitions(self) -> Iterator[tuple[int, int, int]]:
        """Yield (dataset, first, last) of the plan-wide partition numbers of each dataset, last excluded."""
        total = 0
        for d, dataset in enumerate(self.datasets):
            count = sum(file.partitions for file in dataset.files)
            yield d, total, total + count
            total += count

    def stage(self, stage_id: str) -> PlanStage:
        """Return the stage with this id."""
        return next(stage for stage in self.stages if stage.id == stage_id)

    def pool(self, name: str) -> PlanPool:
        """Return the pool with this name."""
        return next(pool for pool in self.pools if pool.name == name)
