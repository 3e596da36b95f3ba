"""Write a first workflow for input files. It is compiled before it is written, so that it runs without a change."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fasthep_parsl.atomic import atomic
from fasthep_parsl.cache_folder import cache_folder
from fasthep_parsl.compiler.schema import common, distinct
from fasthep_parsl.driver.api import compile_plan
from fasthep_parsl.errors import ConfigError, Problem
from fasthep_parsl.first_workflow.commented import Contents, workflow_text
from fasthep_parsl.first_workflow.first_choice import FirstChoice, first_choices
from fasthep_parsl.first_workflow.given_files import GivenDataset, given_datasets
from fasthep_parsl.first_workflow.looked_at import looked_at
from fasthep_parsl.first_workflow.ranking import SIMULATED, candidates, is_nanoaod
from fasthep_parsl.interfaces import Branch, InputFileError
from fasthep_parsl.plan import EventType, PlanSource
from fasthep_parsl.sources.file_problems import inspected, problem_of
from fasthep_parsl.sources.folded import fold
from fasthep_parsl.sources.headers import Header, read_headers
from fasthep_parsl.sources.inspected import KINDS, InspectedTree

MOST_COLLECTIONS = 4
"""Most collections that a comment names."""


@dataclass(frozen=True, slots=True)
class FirstWorkflow:
    """A workflow that was written.

    Attributes
    ----------
    path : Path
        The file.
    datasets : tuple of GivenDataset
        Its datasets.
    tree : InspectedTree
        The tree that it reads, as it is in the first file.
    choice : FirstChoice
        Its cut and its histogram.
    refused : tuple of str
        Branches that are better but cannot be used, and why.
    """

    path: Path
    datasets: tuple[GivenDataset, ...]
    tree: InspectedTree
    choice: FirstChoice
    refused: tuple[str, ...]


def check_free(path: Path, *, force: bool) -> None:
    """Refuse to overwrite a file.

    Raises
    ------
    ConfigError
        There is a file, and `force` is false; or there is a folder.
    """
    if path.is_dir():
        raise ConfigError(Problem("E174", f"`{path}` is a folder", hint=f"name a file: -o {path / 'analysis.yaml'}"))
    if path.exists() and not force:
        hint = "choose another name with -o, or replace it with --force"
        raise ConfigError(Problem("E174", f"`{path}` exists", hint=hint))


def write_first_workflow(
    given: Sequence[str], output: Path, *, tree: str | None = None, force: bool = False
) -> FirstWorkflow:
    """Write a first workflow.

    Parameters
    ----------
    given : sequence of str
        Files, folders, patterns and URLs.
    output : Path
        The workflow file.
    tree : str, optional
        Tree with the events; default as `inspect_file`.
    force : bool
        Whether to replace a file.

    Raises
    ------
    ConfigError
        A file cannot be read or has no branch that can be used, or `output` exists or cannot be written.
    CredentialError
        A credential that the files need does not suffice.
    """
    check_free(output, force=force)
    folder = Path(os.path.abspath(output.parent))  # noqa: PTH100 - links remain as they are
    datasets = given_datasets(given, folder)
    found = inspected(datasets[0].files[0], tree)
    params = {"tree": found.tree.name} if found.tree.name else {}
    source = PlanSource(kind=KINDS[found.format], params=params)
    files = [file for dataset in datasets for file in dataset.files]
    headers = dict(zip(files, read_headers(files, source, cache=cache_folder()), strict=True))
    _check(headers.values())
    branches = _common(list(headers.values()))
    about = Contents(
        output.name,
        datasets,
        {dataset.name: _eventtype(dataset, headers[dataset.files[0]]) for dataset in datasets},
        found.tree.name,
        _collections(found.tree),
        "genWeight" in branches,
    )
    ranked = candidates(branches)
    refused: list[str] = []
    try:
        with looked_at(_with_events(datasets, headers), source) as events:
            for choice in first_choices(ranked, branches, events, nano=is_nanoaod(branches)):
                problem = _written(output, folder, workflow_text(about, choice))
                if problem is None:
                    return FirstWorkflow(output, datasets, found.tree, choice, (*refused, *choice.skipped))
                refused.append(f"`{choice.branch.branch}`: {problem.message}")
    except InputFileError as error:
        raise ConfigError(problem_of(error)) from error
    raise ConfigError(_nothing(found.tree, refused))


def _check(headers: Iterable[Header]) -> None:
    """Raise if files cannot be read."""
    bad = [
        Problem("E135", f"{header.path}: {header.problem}", hint=header.hint) for header in headers if header.problem
    ]
    if bad:
        raise ConfigError(*bad)


def _common(headers: Sequence[Header]) -> dict[str, Branch]:
    """Return the branches that all files have and that can be used, each under one name, in the order of the first file."""
    known = common(distinct(headers))
    every = headers[0].branches
    found = every.found if every is not None else {}
    return {name: branch._replace(shape=known.fields[name]) for name, branch in found.items() if name in known.fields}


def _eventtype(dataset: GivenDataset, header: Header) -> EventType:
    """Return whether a dataset is simulation or data: by its name, or by its branches if they are those of NanoAOD."""
    found = header.branches.found if header.branches is not None else {}
    named = dataset.name.lower().startswith("data")
    return "data" if named or (is_nanoaod(found) and not any(name in found for name in SIMULATED)) else "mc"


def _collections(tree: InspectedTree) -> tuple[str, ...]:
    groups = [group for group in fold(tree.branches) if group.name.endswith("]") and len(group.branches) > 1]
    largest = sorted(groups, key=lambda group: -(group.bytes or 0))
    return tuple(group.name for group in largest[:MOST_COLLECTIONS] if group.name.isprintable())


def _with_events(datasets: Sequence[GivenDataset], headers: dict[str, Header]) -> list[str]:
    """Return files to look at: one with events of each dataset first, then others."""
    full = [[file for file in dataset.files if headers[file].entries] for dataset in datasets]
    firsts = [files[0] for files in full if files]
    rest = [file for files in full for file in files[1:]]
    return [*firsts, *rest] or [datasets[0].files[0]]


def _written(output: Path, folder: Path, text: str) -> Problem | None:
    """Write a workflow if it compiles; else return the first problem."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic(folder / output.name) as draft:
            draft.write_text(text, encoding="utf-8")
            compile_plan(draft)
    except ConfigError as error:
        return error.problems[0]
    except OSError as error:
        raise ConfigError(Problem("E174", f"`{output}` cannot be written: {error.strerror or error}")) from error
    return None


def _nothing(tree: InspectedTree, refused: Sequence[str]) -> Problem:
    name = f"tree `{tree.name}`" if tree.name else "the file"
    if not tree.branches:
        return Problem("E136", f"{name} has no branches")
    reasons = [*refused, *(f"`{branch.name}` {branch.problem}" for branch in tree.branches if branch.problem)]
    return Problem("E136", f"no branch of {name} can be filled into a histogram", hint="; ".join(reasons[:5]))
