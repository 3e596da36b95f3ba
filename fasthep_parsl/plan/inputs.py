"""Input of a plan: the source, datasets, files, and how the files are cut into partitions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field

from fasthep_parsl.plan.base import Frozen, Written
from fasthep_parsl.plan.joins import PlanJoin
from fasthep_parsl.plan.normalisation import PlanNormalisation

EventType = Literal["data", "mc"]
"""Collisions, or simulation."""


def dataset_facts(name: str, eventtype: str, group: str, meta: Mapping[str, Any], era: str) -> dict[str, Any]:
    """Return the facts of a dataset by the key that ``dataset.<key>`` has. A dataset without era has no key ``era``."""
    return {"name": name, "eventtype": eventtype, "group": group, **meta, **({"era": era} if era else {})}


class PlanFile(Frozen):
    """An input file and its partitions."""

    path: str = Field(description="absolute path or URL")
    entries: int = Field(ge=0, description="number of events")
    size: int = Field(-1, description="bytes; -1 if unknown")
    mtime_ns: int = Field(-1, description="modification time, ns; -1 if unknown")
    uuid: str = Field("", description="identity stored in the file; empty if unknown")
    edges: tuple[int, ...] = Field(description="event numbers at which partitions begin, then the end")
    replicas: tuple[str, ...] = Field(
        (), description="all places of the same content, in the order in which they are tried; empty if there is one"
    )

    sections: dict[str, tuple[tuple[int, int], ...]] | None = Field(
        None,
        description="run → ranges of the luminosity sections that it lists; None if they are not needed, or unknown",
    )

    @property
    def places(self) -> tuple[str, ...]:
        """All places, in the order in which they are tried. The first one is `path`, its name in reports."""
        return self.replicas or (self.path,)

    @property
    def remote(self) -> bool:
        """Whether one of its places is a URL."""
        return any("://" in place for place in self.places)

    @property
    def events(self) -> int:
        """Number of events that are processed: all entries, unless the plan is limited."""
        return self.edges[-1] - self.edges[0] if self.edges else 0

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
    era: str = Field("", description="period of data taking, as `applies_to` names it")
    aliases: dict[str, str] = Field(
        default_factory=dict, description="field → branch, where they differ from the source's; empty: its default"
    )
    tree: str = Field("", description="name of its tree; empty: that of the source")
    files: tuple[PlanFile, ...] = ()
    unread_files: int = Field(0, ge=0, description="files behind the last event of a limited plan; nobody opens them")
    normalisation: PlanNormalisation = PlanNormalisation()

    @property
    def entries(self) -> int:
        """Number of events that are processed."""
        return sum(file.events for file in self.files)

    @property
    def limited(self) -> bool:
        """Whether a limit leaves out some of its events, as far as is known without opening files."""
        return self.unread_files > 0 or any(file.events < file.entries for file in self.files)


class PlanDefault(Frozen):
    """The default of a field in files that lack its branch."""

    value: bool | int | float | str = Field(description="value per event; `nan`, `inf` and `-inf` are texts")
    dtype: str = Field(description="type of the branch in other files: numpy's name, or `text`")


class PlanStorage(Frozen):
    """How servers of input files are used."""

    open_timeout: float = Field(30.0, gt=0, description="longest time to open a file, seconds")
    read_timeout: float = Field(60.0, gt=0, description="longest time to wait for data of an open file, seconds")
    retries: int = Field(3, ge=0, description="repeated attempts after a passing fault, before the next place is tried")
    avoid: dict[str, str] = Field(
        default_factory=dict,
        description="server (`root://host:1094`) → why its places are tried last: found when headers were read",
    )


class PlanSource(Frozen):
    """How events are read."""

    name: str = "events"
    kind: str = "root_tree"
    params: Written = Field(default_factory=dict, description="fields of the source, as its kind defines them")
    aliases: dict[str, str] = Field(default_factory=dict, description="field → branch, from `fields`")
    defaults: dict[str, PlanDefault] = Field(
        default_factory=dict, description="field → value per event in files that lack its branch"
    )
    storage: PlanStorage = Field(PlanStorage(), description="time limits for servers of input files")
    prefix: str = Field("", description="its columns are also called `prefix.name`, if it is joined with others")
    joins: tuple[PlanJoin, ...] = Field((), description="sources whose columns are added to its events")

    def with_tree(self, tree: str, dataset: str) -> Self:
        """Return the source with the tree of a dataset, if the dataset has its own, and with what is joined to it."""
        found = self.model_copy(update={"params": {**self.params, "tree": tree}}) if tree else self
        joins = tuple(join for each in self.joins if (join := each.of(dataset)) is not None)
        return found if joins == self.joins else found.model_copy(update={"joins": joins})

    def of(self, dataset: PlanDataset) -> Self:
        """Return the source with the tree, the branches and the joins of a dataset."""
        found = self.with_tree(dataset.tree, dataset.name)
        return found.model_copy(update={"aliases": {**self.aliases, **dataset.aliases}}) if dataset.aliases else found

    @property
    def tree(self) -> str:
        """Name of the tree; empty if the format has no trees."""
        return str(self.params.get("tree", ""))

    @property
    def identity(self) -> str:
        """Kind and parameters as text: equal sources read equal events from a file."""
        own = f"{self.kind} {json.dumps(self.params, sort_keys=True, default=str)}"
        joined = [join.model_dump(mode="json") for join in self.joins]
        return f"{own} {self.prefix} {json.dumps(joined, sort_keys=True)}" if self.prefix else own

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of all sources that are read together."""
        return tuple(dict.fromkeys((self.kind, *(join.kind for join in self.joins))))

    def friends(self, path: str) -> tuple[str, ...]:
        """Return the other files that are read with the file `path` of a dataset, if this is the source of the dataset."""
        found = dict.fromkeys(join.path_beside(path) for join in self.joins)
        return tuple(friend for friend in found if friend != path)

    def read_with(self, file: PlanFile) -> tuple[str, ...]:
        """Return all places of a file, and of the others that are read with it."""
        return tuple(place for known in file.places for place in (known, *self.friends(known)))


def without_places(datasets: tuple[PlanDataset, ...]) -> tuple[PlanDataset, ...]:
    """Return datasets without where their files are, if the files state what they are: equal content, equal results.

    A file with replicas may lose one, or be read from another site, and the run can still be resumed.
    """
    if not any(file.remote for dataset in datasets for file in dataset.files):
        return datasets
    return tuple(
        dataset.model_copy(update={"files": tuple(map(_without_places, dataset.files))}) for dataset in datasets
    )


def _without_places(file: PlanFile) -> PlanFile:
    if file.uuid and file.remote:
        return file.model_copy(update={"path": "", "replicas": (), "size": -1, "mtime_ns": -1})
    return file.model_copy(update={"replicas": ()}) if file.replicas else file
