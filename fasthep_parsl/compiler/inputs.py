"""Read the headers of all input files and cut the files into partitions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fasthep_parsl.cache_folder import cache_folder
from fasthep_parsl.compiler.aliases import Aliases, resolve_aliases
from fasthep_parsl.compiler.normalisation import plan_normalisation, wanted_of
from fasthep_parsl.compiler.schema import Common, common, distinct, short
from fasthep_parsl.errors import Checked, Problem
from fasthep_parsl.interfaces import Shape
from fasthep_parsl.plan import PlanDataset, PlanFile, PlanNormalisation, PlanSource, PlanStorage
from fasthep_parsl.sources.headers import Header, read_headers
from fasthep_parsl.sources.server_health import PlaceFault, Servers
from fasthep_parsl.sources.summaries import Wanted
from fasthep_parsl.workflow.cross_sections import with_cross_sections
from fasthep_parsl.workflow.datasets import DatasetFile, ResolvedDataset, resolve_datasets
from fasthep_parsl.workflow.loader import LoadedWorkflow
from fasthep_parsl.workflow.locations import identity
from fasthep_parsl.workflow.partitions import cut
from fasthep_parsl.workflow.sources import check_source
from fasthep_parsl.workflow.yamldoc import Document, problem

DEFAULT_CHUNK = 100_000
"""Default events per partition: about 100 MB of a NanoAOD analysis."""
MAX_SHOWN = 10
"""Unusable files that are reported one by one."""
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
        Fields of all files (aliases included), and why other names are not fields.
    aliases : Aliases
        Defaults of fields.
    faults : tuple of PlaceFault
        Places that could not be read, of files that have others.
    normalisation : mapping
        Dataset → how it is normalised.
    """

    source: PlanSource

    datasets: tuple[ResolvedDataset, ...]
    headers: dict[DatasetFile, Header]
    common: Common = field(default_factory=Common)
    aliases: Aliases = field(default_factory=Aliases)
    faults: tuple[PlaceFault, ...] = ()
    normalisation: Mapping[str, PlanNormalisation] = field(default_factory=dict)

    @property
    def schema(self) -> dict[str, Shape]:
        """Field → structure, for the fields of all files."""
        return self.common.fields


def _source(loaded: LoadedWorkflow) -> PlanSource | None:
    """Return how events are read, without defaults of fields: their types come from the files. None if not valid."""
    workflow = loaded.workflow
    name = workflow.source_name
    params, _ = check_source(workflow, loaded.document)  # the loader has reported its mistakes
    if params is None:
        return None
    aliases = {field: spec.branch for field, spec in workflow.fields.items()}
    storage = PlanStorage(**workflow.execution.storage.model_dump(exclude={"prefixes"}))
    kind = workflow.sources[name].kind
    return PlanSource(name=name, kind=kind, params=params, aliases=aliases, storage=storage)


def read_inputs(
    loaded: LoadedWorkflow, *, cache: bool = True, progress: Callable[[int, int], None] | None = None
) -> Checked[Inputs]:
    """Find all input files and read their headers, unless the source is not valid.

    Parameters
    ----------
    loaded : LoadedWorkflow
        The workflow.
    cache : bool
        Whether to use the cache of file headers.
    progress : callable, optional
        Called with the number of headers read and the number of all headers.
    """
    document, source = loaded.document, _source(loaded)
    resolved = resolve_datasets(loaded.workflow, document)
    priced = with_cross_sections(resolved.value, loaded.workflow, document)
    datasets = Checked(priced.value, (*resolved.problems, *priced.problems))
    if source is None:
        return Checked(Inputs(PlanSource(), datasets.value, {}), datasets.problems)
    files = [file for dataset in datasets.value for file in dataset.files]
    servers = Servers()
    wanted = {file: wanted_of(loaded.workflow, dataset) for dataset in datasets.value for file in dataset.files}
    headers = _headers(wanted, source, servers, cache_folder() if cache else None, progress)
    normalisation = plan_normalisation(datasets.value, headers, loaded)
    kinds = distinct(headers.values())
    known = common(kinds)
    aliases = resolve_aliases(loaded.workflow.fields, kinds, known, document)
    problems = (
        *datasets.problems,
        *_unusable(files, headers, source, document),
        *_unexpected_counts(datasets.value, headers, document),
        *_same_sections(datasets.value, headers, document),
        *aliases.problems,
        *normalisation.problems,
    )
    storage = source.storage.model_copy(update={"avoid": servers.dead})
    complete = source.model_copy(update={"defaults": aliases.defaults, "storage": storage})
    faults, sums = servers.faults, normalisation.value
    return Checked(Inputs(complete, datasets.value, headers, known, aliases, faults, sums), problems)


def _headers(
    wanted: Mapping[DatasetFile, Wanted],
    source: PlanSource,
    servers: Servers,
    cache: Path | None,
    progress: Callable[[int, int], None] | None,
) -> dict[DatasetFile, Header]:
    """Read the headers of all files, those of one tree at a time. `wanted` is what to read from their other trees."""
    found: dict[DatasetFile, Header] = {}

    def report(done: int, _: int) -> None:
        if progress is not None:
            progress(len(found) + done, len(wanted))

    for tree, more in dict.fromkeys((file.tree, more) for file, more in wanted.items()):
        mine = [file for file, other in wanted.items() if (file.tree, other) == (tree, more)]
        places, own = [file.places for file in mine], source.with_tree(tree)
        read = read_headers(places, own, cache=cache, servers=servers, progress=report, wanted=more)
        found |= zip(mine, read, strict=True)
    return {file: found[file] for file in wanted}


def _unusable(
    files: Sequence[DatasetFile], headers: Mapping[DatasetFile, Header], source: PlanSource, document: Document
) -> list[Problem]:
    """Return a problem for each file that cannot be used; one of `sources` if all files fail because of it."""
    bad = [(file, headers[file]) for file in files if headers[file].problem]
    same = {(header.problem, header.hint, header.key) for _, header in bad}
    if len(bad) == len(files) > 1 and len(same) == 1:
        message, hint, key = same.pop()
        if key and not any(file.tree for file in files):  # then `sources` is wrong, not the files
            path = ("sources", source.name, key)
            return [problem(document, path, "E135", f"{message} (all {len(bad)} input files)", hint)]
    found = [
        problem(document, file.key, "E135", f"{short(file.path)}: {header.problem}", header.hint)
        for file, header in bad[:MAX_SHOWN]
    ]
    if len(bad) > len(found):
        found.append(Problem("E135", f"{len(bad) - len(found)} more input files cannot be used"))
    return found


def _same_sections(
    datasets: tuple[ResolvedDataset, ...], headers: dict[DatasetFile, Header], document: Document
) -> list[Problem]:
    """Refuse a tree that is read twice, under its name with and without the cycle."""
    found: list[Problem] = []
    owners: dict[tuple[object, ...], str] = {}
    if not any(";" in dataset.tree for dataset in datasets):
        return found
    for dataset in datasets:
        for file in dataset.files:
            section = headers[file].section
            others = [owners.setdefault((section, *identity(place)), dataset.name) for place in file.places]
            other = next((name for name in others if name != dataset.name), "")
            if other:
                name = section.partition(";")[0]
                message = f"tree `{name}` of `{short(file.path)}` is also in dataset `{other}`"
                hint = "its events would count twice; remove one of them"
                found.append(problem(document, file.key, "E133", message, hint))
    return found


def _unexpected_counts(
    datasets: tuple[ResolvedDataset, ...], headers: dict[DatasetFile, Header], document: Document
) -> list[Problem]:
    """Refuse datasets with another number of events than `nevents`."""
    found = []
    for dataset in datasets:
        usable = [headers[file] for file in dataset.files]
        events = sum(header.entries for header in usable)
        if dataset.nevents is not None and not any(h.problem for h in usable) and events != dataset.nevents:
            message = f"dataset `{dataset.name}` has {events:,} events, but `nevents` is {dataset.nevents:,}"
            key = ("data", "datasets", dataset.index, "nevents")
            found.append(
                problem(document, key, "E137", message, "add the missing files, or correct or remove `nevents`")
            )
    return found


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
            tree=dataset.tree,
            files=tuple(_plan_file(f, inputs.headers[f], chunk_size, keep=f == first) for f in dataset.files),
            normalisation=inputs.normalisation.get(dataset.name, PlanNormalisation()),
        )
        for dataset in inputs.datasets
    )


def _plan_file(file: DatasetFile, header: Header, chunk_size: int, *, keep: bool) -> PlanFile:
    return PlanFile(
        path=header.path,
        replicas=file.replicas,
        entries=header.entries,
        size=header.size,
        mtime_ns=header.mtime_ns,
        uuid=header.uuid,
        edges=(0, 0) if keep else cut(header.entries, header.clusters, chunk_size),
    )
