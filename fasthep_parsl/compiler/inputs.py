"""Input files: headers read, identities taken, partitions cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fasthep_parsl.errors import Problem, suggest
from fasthep_parsl.interfaces import Shape
from fasthep_parsl.plan import PlanDataset, PlanFile, PlanSource
from fasthep_parsl.worker.headers import Header, cache_folder, read_headers
from fasthep_parsl.workflow.datasets import InputFile, ResolvedDataset, cut, resolve_datasets
from fasthep_parsl.workflow.loader import LoadedWorkflow
from fasthep_parsl.workflow.model import Workflow
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
        Path → header of each file.
    schema : mapping
        Field → structure, for fields that every file has (aliases included).
    partial : mapping
        Field → a file that has it and one that lacks it, for fields that only some files have.
    """

    datasets: tuple[ResolvedDataset, ...]
    headers: dict[str, Header]
    schema: dict[str, Shape]
    partial: dict[str, tuple[str, str]]


def plan_source(workflow: Workflow) -> PlanSource:
    """Return how events are read."""
    name = workflow.source_name
    source = workflow.sources[name]
    aliases = {field: spec.branch for field, spec in workflow.fields.items()}
    defaults = {field: spec.default for field, spec in workflow.fields.items() if spec.default is not None}
    return PlanSource(name=name, kind=source.kind, tree=source.tree or "", aliases=aliases, defaults=defaults)


def read_inputs(
    loaded: LoadedWorkflow,
    source: PlanSource,
    *,
    cache: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Inputs, list[Problem]]:
    """Find and open all input files; every problem is returned, with the place where the file is named.

    `progress` is called with how many headers are read, and how many there are.
    """
    datasets, found = resolve_datasets(loaded.workflow, loaded.document)
    problems = list(found)
    files = [file for dataset in datasets for file in dataset.files]
    folder = cache_folder() if cache else None
    found_headers = read_headers([file.path for file in files], source, cache=folder, progress=progress)
    headers = {header.path: header for header in found_headers}
    problems += _unusable(files, headers, source, loaded.document)
    problems += _unexpected_counts(datasets, headers, loaded.document)
    schema, partial = _common_schema(list(headers.values()))
    problems += _add_aliases(schema, partial, headers, source, loaded.document)
    return Inputs(datasets, headers, schema, partial), problems


def _unusable(
    files: list[InputFile], headers: dict[str, Header], source: PlanSource, document: Document
) -> list[Problem]:
    bad = [(file, headers[file.path]) for file in files if headers[file.path].problem]
    same = {(header.problem, header.hint) for _, header in bad}
    if len(bad) == len(files) > 1 and len(same) == 1:  # then it is rather `sources` that is wrong
        message, hint = same.pop()
        for key, name in (("tree", f"`{source.tree}`"), ("kind", "pyarrow")):
            if name in message:
                path = ("sources", source.name, key)
                return [problem(document, path, "E135", f"{message} (all {len(bad)} input files)", hint)]
    found = [
        problem(document, file.key, "E135", f"{short(file.path)}: {header.problem}", header.hint)
        for file, header in bad[:MAX_SHOWN]
    ]
    if len(bad) > len(found):
        found.append(Problem("E135", f"… and {len(bad) - len(found)} more files cannot be used"))
    return found


def _unexpected_counts(
    datasets: tuple[ResolvedDataset, ...], headers: dict[str, Header], document: Document
) -> list[Problem]:
    found = []
    for dataset in datasets:
        usable = [headers[file.path] for file in dataset.files]
        events = sum(header.entries for header in usable)
        if dataset.nevents is not None and not any(h.problem for h in usable) and events != dataset.nevents:
            message = f"dataset `{dataset.name}` has {events:,} events, the workflow says {dataset.nevents:,}"
            key = ("data", "datasets", dataset.index, "nevents")
            found.append(problem(document, key, "E137", message, "is a file missing? correct or remove `nevents`"))
    return found


def _common_schema(headers: list[Header]) -> tuple[dict[str, Shape], dict[str, tuple[str, str]]]:
    usable = [header for header in headers if header.branches is not None]
    if not usable:
        return {}, {}
    first = usable[0]
    schema = dict(first.branches or {})
    partial: dict[str, tuple[str, str]] = {}
    for header in usable[1:]:
        branches = header.branches or {}
        if branches.keys() == schema.keys():
            continue
        for name in schema.keys() - branches.keys():
            partial[name] = (first.path, header.path)
            del schema[name]
        for name in branches.keys() - schema.keys():
            partial.setdefault(name, (header.path, first.path))
    return schema, partial


def _add_aliases(
    schema: dict[str, Shape],
    partial: dict[str, tuple[str, str]],
    headers: dict[str, Header],
    source: PlanSource,
    document: Document,
) -> list[Problem]:
    problems = []
    branches = dict(schema)
    for field, branch in source.aliases.items():
        has = headers[partial[branch][0]].branches if branch in partial else {}
        if branch in branches:
            schema[field] = branches[branch]
        elif field in source.defaults and (has or {}).get(branch, ()) == ():
            schema[field] = ()
        elif field in source.defaults:
            message = f"field `{field}` has a default, but branch `{branch}` is a list per event"
            hint = "a default is one value per event"
            problems.append(problem(document, ("fields", field, "default"), "E136", message, hint))
        elif branch in partial:
            partial[field] = partial[branch]
        elif branches:
            hint = suggest(branch, branches, what="branches")
            key = ("fields", field, "branch") if document.has(("fields", field, "branch")) else ("fields", field)
            problems.append(problem(document, key, "E136", f"no branch `{branch}` in the input files", hint))
    return problems


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
    first = next((file.path for dataset in inputs.datasets for file in dataset.files), "") if empty else ""
    return tuple(
        PlanDataset(
            name=dataset.name,
            eventtype=dataset.eventtype,
            group=dataset.group,
            meta=dataset.meta,
            files=tuple(_plan_file(inputs.headers[f.path], chunk_size, keep=f.path == first) for f in dataset.files),
        )
        for dataset in inputs.datasets
    )


def _plan_file(header: Header, chunk_size: int, *, keep: bool) -> PlanFile:
    return PlanFile(
        path=header.path,
        entries=header.entries,
        size=header.size,
        mtime_ns=header.mtime_ns,
        edges=(0, 0) if keep else cut(header.entries, header.clusters, chunk_size),
    )


def short(path: str) -> str:
    """Return a file's name without its folder, or a URL."""
    return path if "://" in path else Path(path).name
