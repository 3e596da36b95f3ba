"""Read the headers of all input files and cut the files into partitions."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fasthep_parsl.cache_folder import cache_folder
from fasthep_parsl.compiler.aliases import Aliases, Files, branches_of, resolve_aliases
from fasthep_parsl.compiler.file_checks import same_sections, unexpected_counts, unusable
from fasthep_parsl.compiler.first_events import Reach, open_first
from fasthep_parsl.compiler.joined_inputs import condition_mistakes, shared_friends, with_joins
from fasthep_parsl.compiler.normalisation import plan_normalisation, wanted_of
from fasthep_parsl.compiler.schema import Common, common, distinct, united
from fasthep_parsl.errors import Checked
from fasthep_parsl.interfaces import Shape
from fasthep_parsl.plan import PlanDataset, PlanFile, PlanNormalisation, PlanSource, PlanStorage
from fasthep_parsl.sources.headers import Header, read_headers
from fasthep_parsl.sources.server_health import PlaceFault, Servers
from fasthep_parsl.sources.summaries import Wanted
from fasthep_parsl.workflow.cross_sections import with_cross_sections
from fasthep_parsl.workflow.datasets import DatasetFile, ResolvedDataset, resolve_datasets
from fasthep_parsl.workflow.loader import LoadedWorkflow
from fasthep_parsl.workflow.partitions import cut
from fasthep_parsl.workflow.sources import check_sources

DEFAULT_CHUNK = 100_000
"""Default events per partition: about 100 MB of a NanoAOD analysis."""
BYTES_PER_VALUE = 12
"""Bytes of a column per event during computation: jagged content, offsets, a copy."""


@dataclass(frozen=True)
class Inputs:
    """All input files of a workflow.

    Attributes
    ----------
    source : PlanSource
        How events are read, with the defaults of fields.
    datasets : tuple of ResolvedDataset
        The datasets and their files.
    headers : mapping
        File → its header.
    common : Common
        Fields of all files (aliases included), and why other names are not fields. If conditions tell datasets apart,
        the fields that some of them have.
    aliases : Aliases
        Defaults of fields.
    classes : tuple of Files
        The datasets that no condition tells apart, with their fields. Without conditions it is one class.
    faults : tuple of PlaceFault
        Places that could not be read, of files that have others.
    normalisation : mapping
        Dataset → how it is normalised.
    reach : Reach
        How far into each dataset a run reads. Files behind that are not in `datasets`.
    """

    source: PlanSource

    datasets: tuple[ResolvedDataset, ...]
    headers: dict[DatasetFile, Header]
    common: Common = field(default_factory=Common)
    aliases: Aliases = field(default_factory=Aliases)
    faults: tuple[PlaceFault, ...] = ()
    normalisation: Mapping[str, PlanNormalisation] = field(default_factory=dict)
    classes: tuple[Files, ...] = ()
    reach: Reach = field(default_factory=Reach)

    def of(self, files: Files) -> Inputs:
        """Return the input of one class of datasets; `source` has its branches."""
        if len(self.classes) < 2:
            return self
        headers = {file: self.headers[file] for dataset in files.datasets for file in dataset.files}
        aliases = {**self.source.aliases, **_own_aliases(files, self.source)}
        source = self.source.model_copy(update={"aliases": aliases})
        return replace(
            self, source=source, datasets=files.datasets, headers=headers, common=files.known, classes=(files,)
        )

    def aliases_of(self, dataset: ResolvedDataset) -> dict[str, str]:
        """Return field → branch of a dataset, where they differ from those of the source."""
        mine = next((files for files in self.classes if dataset in files.datasets), None)
        return _own_aliases(mine, self.source) if mine else {}

    @property
    def schema(self) -> dict[str, Shape]:
        """Field → structure, for the fields of all files."""
        return self.common.fields


def _source(loaded: LoadedWorkflow, datasets: Sequence[ResolvedDataset]) -> PlanSource | None:
    """Return how events are read, without defaults of fields: their types come from the files. None if not valid."""
    workflow = loaded.workflow
    name = workflow.source_name
    params, _ = check_sources(workflow, loaded.document)  # the loader has reported their mistakes
    if params is None:
        return None
    aliases = {field: spec.branch for field, spec in workflow.fields.items() if isinstance(spec.branch, str)}
    storage = PlanStorage(**workflow.execution.storage.model_dump(exclude={"prefixes"}))
    kind = workflow.sources[name].kind
    primary = PlanSource(name=name, kind=kind, params=params[name], aliases=aliases, storage=storage)
    return with_joins(primary, workflow, params, datasets)


def _own_aliases(files: Files, source: PlanSource) -> dict[str, str]:
    """Return field → branch, where they differ from those of the source."""
    mine = {field: branch for field, branch in files.branches.items() if branch is not None}
    return {field: branch for field, branch in mine.items() if branch != source.aliases.get(field, field)}


def read_inputs(
    loaded: LoadedWorkflow,
    *,
    apart: Mapping[str, Hashable] | None = None,
    cache: bool = True,
    progress: Callable[[int, int], None] | None = None,
    limit: int | None = None,
) -> Checked[Inputs]:
    """Find all input files and read their headers, unless the source is not valid.

    Parameters
    ----------
    loaded : LoadedWorkflow
        The workflow.
    apart : mapping, optional
        Dataset → what conditions of stages tell apart: fields are looked for among datasets with equal values.
    cache : bool
        Whether to use the cache of file headers.
    progress : callable, optional
        Called with the number of headers read and the number of all headers.
    limit : int, optional
        Events of each dataset, the first ones. Only the files that have them are opened.
    """
    document = loaded.document
    resolved = resolve_datasets(loaded.workflow, document)
    source = _source(loaded, resolved.value)
    priced = with_cross_sections(resolved.value, loaded.workflow, document)
    if source is None:
        return Checked(Inputs(PlanSource(), priced.value, {}), (*resolved.problems, *priced.problems))
    wanted = {file: wanted_of(loaded.workflow, dataset) for dataset in priced.value for file in dataset.files}
    reader = _HeaderReader(wanted, source, cache_folder() if cache else None, progress)
    opened, headers, reach = open_first(priced.value, limit, reader.read)
    datasets = Checked(opened, (*resolved.problems, *priced.problems))
    files = [file for dataset in opened for file in dataset.files]
    normalisation = plan_normalisation(opened, headers, loaded, reach)
    classes = _classes(loaded, datasets.value, headers, apart or {})
    aliases = resolve_aliases(loaded.workflow.fields, classes, document)
    problems = (
        *datasets.problems,
        *unusable(files, headers, source, loaded),
        *shared_friends(files, source, document),
        *condition_mistakes(loaded.workflow, datasets.value, document),
        *unexpected_counts([item for item in opened if item.name not in reach.unread], headers, document),
        *same_sections(datasets.value, headers, document),
        *aliases.problems,
        *normalisation.problems,
    )
    storage = source.storage.model_copy(update={"avoid": reader.servers.dead})
    complete = source.model_copy(update={"defaults": aliases.defaults, "storage": storage})
    known = united([files.known for files in classes])
    faults, sums = reader.servers.faults, normalisation.value
    return Checked(Inputs(complete, opened, headers, known, aliases, faults, sums, classes, reach), problems)


def _classes(
    loaded: LoadedWorkflow,
    datasets: Sequence[ResolvedDataset],
    headers: Mapping[DatasetFile, Header],
    apart: Mapping[str, Hashable],
) -> tuple[Files, ...]:
    """Return the datasets that conditions do not tell apart."""
    alike: dict[Hashable, list[ResolvedDataset]] = {}
    for dataset in datasets:
        branches = branches_of(loaded.workflow.fields, dataset)
        alike.setdefault((apart.get(dataset.name), tuple(branches.items())), []).append(dataset)
    found = []
    for members in alike.values():
        kinds = distinct(headers[file] for dataset in members for file in dataset.files)
        branches = branches_of(loaded.workflow.fields, members[0])
        found.append(Files(tuple(members), branches, kinds, common(kinds)))
    return tuple(found)


@dataclass
class _HeaderReader:
    """Reads headers of files. `wanted` is what to read from their other trees, `done` the number of files so far."""

    wanted: Mapping[DatasetFile, Wanted]
    source: PlanSource
    cache: Path | None
    progress: Callable[[int, int], None] | None
    servers: Servers = field(default_factory=Servers)
    done: int = 0

    def read(self, files: Sequence[DatasetFile]) -> dict[DatasetFile, Header]:
        """Return the headers of files, read from those of one tree at a time."""
        found: dict[DatasetFile, Header] = {}

        def report(done: int, _: int) -> None:
            if self.progress is not None:
                self.progress(self.done + len(found) + done, self.done + len(files))

        groups: dict[tuple[str, Wanted], tuple[PlanSource, list[DatasetFile]]] = {}
        for file in files:
            own, more = self.source.with_tree(file.tree, file.dataset), self.wanted[file]
            groups.setdefault((own.identity, more), (own, []))[1].append(file)
        for (_, more), (own, mine) in groups.items():
            places = [file.places for file in mine]
            read = read_headers(places, own, cache=self.cache, servers=self.servers, progress=report, wanted=more)
            found |= zip(mine, read, strict=True)
        self.done += len(files)
        return {file: found[file] for file in files}


def choose_chunk(columns: int, memory: int) -> int:
    """Return the number of events per partition that suits the memory of a worker.

    Parameters
    ----------
    columns : int
        Number of columns read from the files.
    memory : int
        Memory of a worker, bytes.

    Returns
    -------
    int
        Events that fill an eighth of the memory (ops copy columns), between 10,000 and `DEFAULT_CHUNK`.
    """
    fits = memory // 8 // (max(columns, 1) * BYTES_PER_VALUE)
    return int(min(max(fits, 10_000), DEFAULT_CHUNK))


def plan_datasets(inputs: Inputs, chunk_size: int) -> tuple[PlanDataset, ...]:
    """Cut all files into partitions.

    If there are no events, the first file becomes one empty partition, so that the results exist and are empty.
    """
    empty = not any(header.entries for header in inputs.headers.values())
    first = next((file for dataset in inputs.datasets for file in dataset.files), None) if empty else None
    return tuple(
        PlanDataset(
            name=dataset.name,
            eventtype=dataset.eventtype,
            group=dataset.group,
            meta=dataset.meta,
            era=dataset.era,
            aliases=inputs.aliases_of(dataset),
            tree=dataset.tree,
            files=tuple(
                _plan_file(file, inputs.headers[file], events, chunk_size, keep=file == first)
                for file, events in zip(dataset.files, inputs.reach.events(dataset, inputs.headers), strict=True)
            ),
            unread_files=inputs.reach.unread.get(dataset.name, 0),
            normalisation=inputs.normalisation.get(dataset.name, PlanNormalisation()),
        )
        for dataset in inputs.datasets
    )


def _plan_file(file: DatasetFile, header: Header, events: int, chunk_size: int, *, keep: bool) -> PlanFile:
    return PlanFile(
        path=header.path,
        replicas=file.replicas,
        entries=header.entries,
        size=header.size,
        mtime_ns=header.mtime_ns,
        uuid=header.uuid,
        edges=(0, 0) if keep else cut(events, header.clusters, chunk_size),
        sections=_sections(header),
    )


def _sections(header: Header) -> dict[str, tuple[tuple[int, int], ...]] | None:
    """Return the luminosity sections that a file lists."""
    listed = header.summaries.sections
    if listed is None:
        return None
    return {run: tuple((first, last) for first, last in ranges) for run, ranges in listed.items()}
