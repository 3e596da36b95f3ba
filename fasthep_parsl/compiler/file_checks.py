"""Check the headers of input files: each can be read, is read once, and has its events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fasthep_parsl.compiler.joined_inputs import path_of_key
from fasthep_parsl.compiler.schema import short
from fasthep_parsl.errors import Problem
from fasthep_parsl.plan import PlanSource
from fasthep_parsl.sources.headers import Header
from fasthep_parsl.workflow.datasets import DatasetFile, ResolvedDataset
from fasthep_parsl.workflow.loader import LoadedWorkflow
from fasthep_parsl.workflow.locations import identity
from fasthep_parsl.workflow.yamldoc import Document, problem

MAX_SHOWN = 10
"""Unusable files that are reported one by one."""


def unusable(
    files: Sequence[DatasetFile], headers: Mapping[DatasetFile, Header], source: PlanSource, loaded: LoadedWorkflow
) -> list[Problem]:
    """Return a problem for each file that cannot be used; one of `sources` if all files fail because of it."""
    document = loaded.document
    bad = [(file, headers[file]) for file in files if headers[file].problem]
    same = {(header.problem, header.hint, header.key) for _, header in bad}
    if len(bad) == len(files) > 1 and len(same) == 1:
        message, hint, key = same.pop()
        if key and ("." in key or not any(file.tree for file in files)):  # then `sources` is wrong, not the files
            path = path_of_key(key, source, loaded.workflow)
            return [problem(document, path, "E135", f"{message} (all {len(bad)} input files)", hint)]
    found = [
        problem(document, file.key, "E135", f"{short(file.path)}: {header.problem}", header.hint)
        for file, header in bad[:MAX_SHOWN]
    ]
    if len(bad) > len(found):
        found.append(Problem("E135", f"{len(bad) - len(found)} more input files cannot be used"))
    return found


def same_sections(
    datasets: tuple[ResolvedDataset, ...], headers: dict[DatasetFile, Header], document: Document
) -> list[Problem]:
    """Refuse a tree that is read twice under two spellings of its name, such as with and without the cycle."""
    found: list[Problem] = []
    owners: dict[tuple[object, ...], str] = {}
    if len({dataset.tree for dataset in datasets}) < 2:  # the same file is refused already
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


def unexpected_counts(
    datasets: Sequence[ResolvedDataset], headers: dict[DatasetFile, Header], document: Document
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
