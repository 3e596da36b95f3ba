"""Check the files that stages write outside of the run directory: no stage may overwrite those of another, or input."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fasthep_parsl.compiler.stages import CheckedStage
from fasthep_parsl.errors import Problem
from fasthep_parsl.ops.targets import OP, OutputTarget, files_of, partitions_of, targets_of
from fasthep_parsl.plan import Plan
from fasthep_parsl.workflow.yamldoc import Document, problem


def planned_params(item: CheckedStage, document: Document) -> dict[str, Any]:
    """Return the parameters of a stage for workers. A relative folder becomes relative to the workflow file."""
    params = dict(item.stage.params)
    path = params.get("path")
    if item.stage.op == OP and isinstance(path, str) and path:
        with suppress(RuntimeError):  # no such user: `~name` is the name of a folder
            path = str(Path(path).expanduser())
        folder = Path(document.folder_of((*item.path, "params", "path")), path)
        params["path"] = os.path.realpath(folder) if ".." in folder.parts else str(folder.absolute())
    return params


def check_outputs(plan: Plan, stages: Sequence[CheckedStage], document: Document) -> list[Problem]:
    """Return a problem for each stage that would overwrite files of another stage, or write among input files."""
    places = {item.stage.id: (*item.path, "params", "path") for item in stages}
    problems: list[Problem] = []
    owners: dict[str, list[tuple[OutputTarget, str, range]]] = {}
    inputs = _inputs(plan)
    for target in targets_of(plan):
        if not target.path:
            continue
        for dataset, numbers in partitions_of(plan):
            folder = os.path.realpath(target.folder(dataset, Path()))
            mixed = next((name for name in inputs.get(folder, ()) if target.pattern().fullmatch(name)), "")
            if mixed:
                message = f"stage `{target.stage}` would write next to input files such as `{mixed}`"
                problems.append(problem(document, places[target.stage], "E167", message, "choose another `path`"))
                break
            other = _same_file(owners.setdefault(folder, []), target, dataset, numbers)
            if other:
                message = f"stages `{other[0]}` and `{target.stage}` would both write `{Path(folder, other[1])}`"
                hint = "give them different values of `path`, or write `name: {stage}-{partition}`"
                problems.append(problem(document, places[target.stage], "E167", message, hint))
                break
            owners[folder].append((target, dataset, numbers))
    return problems


def _same_file(
    owners: list[tuple[OutputTarget, str, range]], target: OutputTarget, dataset: str, numbers: range
) -> tuple[str, str] | None:
    """Return a stage that writes a file with the same name to the same folder, and the name."""
    if not any(known.stage != target.stage for known, _, _ in owners):
        return None
    mine = {name.casefold(): name for name in files_of(target, dataset, numbers)}
    for known, other, others in owners:
        if known.stage != target.stage:
            same = {name.casefold() for name in files_of(known, other, others)} & mine.keys()
            if same:
                return known.stage, mine[min(same)]
    return None


def _inputs(plan: Plan) -> dict[str, list[str]]:
    """Return folder → names of its input files."""
    found: dict[str, list[str]] = {}
    if any(target.path for target in targets_of(plan)):
        files = ((plan.source.of(dataset), file) for dataset in plan.datasets for file in dataset.files)
        for place in (place for source, file in files for place in source.read_with(file) if "://" not in place):
            folder, name = os.path.split(os.path.realpath(place))
            found.setdefault(folder, []).append(name)
    return found
