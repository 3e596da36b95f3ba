"""The `Plan`, its hash, and the numbers of its partitions."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Self

from pydantic import Field

from fasthep_parsl.plan.base import Frozen
from fasthep_parsl.plan.inputs import PlanDataset, PlanFile, PlanSource, without_places
from fasthep_parsl.plan.parameter_files import PlanParameterFile, without_paths
from fasthep_parsl.plan.pools import PlanCredential, PlanEnvironment, PlanPool
from fasthep_parsl.plan.stages import PlanCode, PlanModule, PlanSegment, PlanStage
from fasthep_parsl.plan.styles import PlanPicture
from fasthep_parsl.plan.templates import PlanTemplates
from fasthep_parsl.plan.variations import PlanVariation

SCHEMA_VERSION = 1


def extent_of(limit: int | None) -> str:
    """Return what a run with a limit processes, for people; empty if there is no limit."""
    if limit is None:
        return ""
    return f"first {limit:,} events of each dataset" if limit > 1 else "first event of each dataset"


class Plan(Frozen):
    """Everything that a run needs. A backend executes it without further decisions."""

    schema_version: int = SCHEMA_VERSION
    name: str
    workflow: str = Field("", description="path of the workflow file")
    site: str = "local"
    arguments: tuple[str, ...] = Field((), description="options of the command line that give this plan")
    folder: str = Field("", description="where it was made: `workflow` and `arguments` may be relative to it")
    backend: str = "parsl"
    strategy: str = "local"
    chunk_size: int = Field(description="most events per partition")
    pass_size: int = Field(1, description="most events to read in one pass over adjacent partitions")
    limit: int | None = Field(None, ge=1, description="events of each dataset, the first ones; None: all")
    source: PlanSource
    datasets: tuple[PlanDataset, ...] = ()
    stages: tuple[PlanStage, ...]
    segments: tuple[PlanSegment, ...]
    variations: tuple[PlanVariation, ...] = ()
    templates: PlanTemplates | None = None
    pictures: tuple[PlanPicture, ...] = Field((), description="how results are drawn")
    apart: bool = Field(False, description="whether histograms keep datasets apart until they are written")
    pools: tuple[PlanPool, ...]
    environment: PlanEnvironment | None = None
    credentials: tuple[PlanCredential, ...] = ()
    modules: tuple[PlanModule, ...] = ()
    code: tuple[PlanCode, ...] = Field((), description="analysis code and its data; workers have a copy")
    files: tuple[PlanCode, ...] = Field((), description="files of `use.files` in other folders")
    parameter_files: tuple[PlanParameterFile, ...] = Field((), description="files that parameters name, each once")
    software: dict[str, str] = Field(
        default_factory=dict, description="package → version, for packages with an effect on the results"
    )
    warnings: tuple[str, ...] = ()

    def __copy__(self) -> Self:
        """Return a copy without the cached values of the original (`model_copy` changes fields)."""
        copied = super().__copy__()
        for name in ("hash", "partitions", "_spans"):
            copied.__dict__.pop(name, None)
        return copied

    @cached_property
    def hash(self) -> str:
        """sha256 of everything with an effect on the results, so not of the workers."""
        excluded = dict.fromkeys(
            (
                "pools",
                "environment",
                "credentials",
                "warnings",
                "backend",
                "strategy",
                "site",
                "workflow",
                "arguments",
                "folder",
                "templates",  # they are written from the results
                "pictures",
            ),
            True,
        )
        inner: dict[str, Any] = {
            "stages": {"__all__": {"why", "lacking", "timeout"}},
            "datasets": {"__all__": {"unread_files"}},
            "parameter_files": {"__all__": {"path"}},
            "source": {"storage"},
        }
        stages = without_paths(self.stages, self.parameter_files)
        datasets = without_places(self.datasets)
        update = {"stages": stages, "datasets": datasets}
        unlimited = {} if self.limit is not None else {"limit": True}
        content = self.model_copy(update=update).model_dump_json(exclude={**excluded, **inner, **unlimited})
        return hashlib.sha256(content.encode()).hexdigest()

    @cached_property
    def _spans(self) -> tuple[list[int], list[tuple[int, int]], list[int]]:
        """For each file with partitions: its first partition, (dataset, file), and the number of events before it."""
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
        """Number of events that are processed, of all datasets."""
        return sum(dataset.entries for dataset in self.datasets)

    @property
    def extent(self) -> str:
        """What is processed of each dataset, for people; empty if it is all."""
        return extent_of(self.limit)

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
        """Yield (dataset, first, last): the plan-wide partition numbers of each dataset, last excluded."""
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
