"""Input of a plan: the source, datasets, files, and how the files are cut into partitions."""

from __future__ import annotations

import json
from typing import Literal, Self

from pydantic import Field

from fasthep_parsl.plan.base import Frozen, Written

EventType = Literal["data", "mc"]
"""Collisions, or simulation."""


class PlanFile(Frozen):
    """An input file and its partitions."""

    path: str = Field(description="absolute path or URL")
    entries: int = Field(ge=0, description="number of events")
    size: int = Field(-1, description="bytes; -1 if unknown")
    mtime_ns: int = Field(-1, description="modification time, ns; -1 if unknown")
    uuid: str = Field("", description="identity stored in the file; empty if unknown")
    edges: tuple[int, ...] = Field(description="event numbers at which partitions begin, then the end")

    @property
    def partitions(self) -> int:
        """Number of partitions in this file."""
        return max(len(self.edges) - 1, 0)


class PlanDataset(Frozen):
    """A dataset: its files, and facts for ops."""

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


class PlanDefault(Frozen):
    """The default of a field in files that lack its branch."""

    value: bool | int | float | str = Field(description="value per event; `nan`, `inf` and `-inf` are texts")
    dtype: str = Field(description="type of the branch in other files: numpy's name, or `text`")


class PlanSource(Frozen):
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
