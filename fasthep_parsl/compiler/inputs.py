"""Input files: headers read, identities taken, partitions cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fasthep_parsl.compiler.aliases import Aliases, resolve_aliases
from fasthep_parsl.compiler.schema import Common, common, distinct, short
from fasthep_parsl.errors import Problem
from fasthep_parsl.interfaces import Shape
from fasthep_parsl.plan import PlanDataset, PlanFile, PlanSource
from fasthep_parsl.sources.headers import Header, cache_folder, read_headers
from fasthep_parsl.workflow.datasets import InputFile, ResolvedDataset, cut, resolve_datasets
from fasthep_parsl.workflow.loader import LoadedWorkflow
from fasthep_parsl.workflow.locations import identity
from fasthep_parsl.workflow.sources import check_source
from fasthep_parsl.workflow.yamldoc import Document, problem

DEFAULT_CHUNK = 100_000
"""Events per partition if nothing is said: what a NanoAOD analysis holds in about 100 MB."""
MAX_SHOWN = 10
"""Unusable files that are shown one by one."""
BYTES_PER_VALUE = 12
"""Bytes that a column takes per event while it is worked on: jagged content, offsets, a copy."""


@dataclass(frozen=True)
class Inputs:
    """All input files of a workflow.

    Attributes
    ----------
    datasets : tuple of ResolvedDataset
        With their files.
    headers : mapping
        File → its header.
    common : Common
        What all files have (aliases included), and why other names are no fields.
    aliases : Aliases
        Defaults of fields.
    """

    datasets: tuple[ResolvedDataset, ...]
    headers: dict[InputFile, Header]
    common: Common = field(default_factory=Common)
    aliases: Aliases = field(default_factory=Aliases)

    @property
    def schema(self) -> dict[str, Shape]:
        """Field → structure, for fields that every file has."""
        return self.common.fields


def plan_source(loaded: LoadedWorkflow) -> PlanSource | None:
    """Return how events are read, None if the source is not valid. Defaults of fields have no type yet."""
    workflow = loaded.workflow
    name = workflow.source_name
    params, _ = check_source(workflow, loaded.document)  # what is wrong was found when the workflow was loaded
    if params is None:
        return None
    aliases = {field: spec.branch for field, spec in workflow.fields.items()}
    return PlanSource(name=name, kind=workflow.sources[name].kind, params=params, aliases=aliases)


def read_inputs(
    loaded: LoadedWorkflow,
    source: PlanSource | None,
    *,
    cache: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Inputs, list[Problem]]:
    """Find and open all input files; every problem is returned, with the place where the file is named.

    Without a valid source no file is opened. `progress` is called with the number of headers read so far, and of all.
    """
    datasets, found = resolve_datasets(loaded.workflow, loaded.document)
    problems = list(found)
    if source is None:
        return Inputs(datasets, {}), problems
    files = [file for dataset in datasets for file in dataset.files]
    headers = _headers(files, source, cache_folder() if cache else None, progress)
    problems += _unusable(files, headers, source, loaded.document)
    problems += _unexpected_counts(datasets, headers, loaded.document)
    problems += _same_sections(datasets, headers, loaded.document)
    kinds = distinct(headers.values())
    known = common(kinds)
    aliases = resolve_aliases(loaded.workflow.fields, kinds, known, loaded.document)
    return Inputs(datasets, headers, known, aliases), problems + aliases.problems


def _headers(
    files: list[InputFile], source: PlanSource, cache: Path | None, progress: Callable[[int, int], None] | None
) -> dict[InputFile, Header]:
    """Read the headers of all files, those of one tree at a time."""
    found: dict[InputFile, Header] = {}

    def told(done: int, _: int) -> None:
        if progress is not None:
            progress(len(found) + done, len(files))

    for tree in dict.fromkeys(file.tree for file in files):
        mine = [file for file in files if file.tree == tree]
        paths = [file.path for file in mine]
        found |= zip(mine, read_headers(paths, source.with_tree(tree), cache=cache, progress=told), strict=True)
    return {file: found[file] for file in files}


def _unusable(
    files: list[InputFile], headers: dict[InputFile, Header], source: PlanSource, document: Document
) -> list[Problem]:
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
        found.append(Problem("E135", f"… and {len(bad) - len(found)} more files cannot be used"))
    return found


def _same_sections(
    datasets: tuple[ResolvedDataset, ...], headers: dict[InputFile, Header], document: Document
) -> list[Problem]:
    """Refuse a tree that is read twice because one dataset names its cycle and another does not."""
    found: list[Problem] = []
    owners: dict[tuple[object, ...], str] = {}
    if not any(";" in dataset.tree for dataset in datasets):
        return found
    for dataset in datasets:
        for file in dataset.files:
            section = headers[file].section
            other = owners.setdefault((section, *identity(file.path)), dataset.name)
            if other != dataset.name:
                name = section.partition(";")[0]
                message = f"`{name}` of `{short(file.path)}` is read in dataset `{other}`, too"
                found.append(problem(document, file.key, "E133", message, "its events would count twice: remove one"))
    return found


def _unexpected_counts(
    datasets: tuple[ResolvedDataset, ...], headers: dict[InputFile, Header], document: Document
) -> list[Problem]:
    found = []
    for dataset in datasets:
        usable = [headers[file] for file in dataset.files]
        events = sum(header.entries for header in usable)
        if dataset.nevents is not None and not any(h.problem for h in usable) and events != dataset.nevents:
            message = f"dataset `{dataset.name}` has {events:,} events, the workflow says {dataset.nevents:,}"
            key = ("data", "datasets", dataset.index, "nevents")
            found.append(problem(document, key, "E137", message, "is a file missing? correct or remove `nevents`"))
    return found


def choose_chunk(columns: int, memory: int) -> int:
    """Return how many events a partition may have so that a worker's memory is not strained.

    Parameters
    ----------
    columns : int
        Columns read from the files.
    memory : int
        Bytes that a worker has.

    Returns
    -------
    int
        Events: an eighth of the memory (columns are copied while they are worked on), between 10,000 and
        `DEFAULT_CHUNK`.
    """
    fits = memory // 8 // (max(columns, 1) * BYTES_PER_VALUE)
    return int(min(max(fits, 10_000), DEFAULT_CHUNK))


def plan_datasets(inputs: Inputs, chunk_size: int) -> tuple[PlanDataset, ...]:
    """Cut all files into partitions.

    If there is not a single event, the first file is one empty partition, so that results are made (and are empty).
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
            files=tuple(_plan_file(inputs.headers[f], chunk_size, keep=f == first) for f in dataset.files),
        )
        for dataset in inputs.datasets
    )


def _plan_file(header: Header, chunk_size: int, *, keep: bool) -> PlanFile:
    return PlanFile(
        path=header.path,
        entries=header.entries,
        size=header.size,
        mtime_ns=header.mtime_ns,
        uuid=header.uuid,
        edges=(0, 0) if keep else cut(header.entries, header.clusters, chunk_size),
    )
