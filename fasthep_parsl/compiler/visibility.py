"""Check sites without a shared file system: files can be sent to workers, and workers can reach the input files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from fasthep_parsl import registry
from fasthep_parsl.compiler.outputs import planned_params
from fasthep_parsl.compiler.stages import CheckedStage
from fasthep_parsl.errors import Advice, Problem
from fasthep_parsl.ops.targets import OP
from fasthep_parsl.plan import PlanSource
from fasthep_parsl.plan.parameter_files import merged_files
from fasthep_parsl.resources.units import format_memory
from fasthep_parsl.sites import is_batch
from fasthep_parsl.workflow.datasets import DatasetFile, ResolvedDataset
from fasthep_parsl.workflow.execution_model import Execution
from fasthep_parsl.workflow.loader import LoadedWorkflow
from fasthep_parsl.workflow.yamldoc import problem

NAME_FOLDER = "if workers see its folder, add it to `execution.shared_folders`"


LARGE = 1_000_000_000
"""Bytes of files for each block above which the plan warns."""


def sees_run_directory(execution: Execution) -> bool:
    """Return whether workers see the run directory. Processes of this machine always do."""
    return execution.shared_filesystem or execution.backend.kind == "local" or not is_batch(execution.strategy.kind)


def check_visibility(
    loaded: LoadedWorkflow,
    stages: Sequence[CheckedStage],
    datasets: Sequence[ResolvedDataset],
    source: PlanSource,
) -> list[Problem]:
    """Return a problem for everything that cannot work on a site without a shared file system."""
    execution = loaded.workflow.execution
    if sees_run_directory(execution):
        return []
    problems = []
    kind = execution.strategy.kind
    if not registry.load("strategies", kind).brings_files:
        able = [name for name in registry.names("strategies") if is_batch(name)]
        able = [f"`{name}`" for name in able if registry.load("strategies", name).brings_files]
        message = f"strategy `{kind}` cannot send files to workers, which do not see the run directory"
        text = "set `shared_filesystem: true` and {outdir} on a file system that nodes see; {0} can send files"
        advice = Advice(text, values=(", ".join(able),))
        problems.append(problem(loaded.document, ("execution", "shared_filesystem"), "E149", message, advice))
    for dataset in datasets:
        unseen = [file for file in dataset.files if not (file.remote or _any_seen(file, execution))]
        problems += [_unseen_input(loaded, dataset, unseen)] if unseen else []
    sources = {dataset.name: source.with_tree("", dataset.name) for dataset in datasets}
    friends = dict.fromkeys(place for d in datasets for file in d.files for place in sources[d.name].friends(file.path))
    lost = next((friend for friend in friends if not ("://" in friend or _is_seen(friend, execution))), None)
    if lost is not None:
        join = next(join for join in source.joins if join.files)
        message = f"workers do not see `{lost}` of source `{join.name}`, on this machine"
        path = ("sources", join.name, "files")
        problems.append(problem(loaded.document, path, "E149", message, f"use URLs (`root://…`); {NAME_FOLDER}"))
    for item in stages:
        target = str(planned_params(item, loaded.document).get("path") or "") if item.stage.op == OP else ""
        if target and not _is_seen(target, execution):
            message = f"files in `{target}` would stay on the workers, which do not see this machine's folders"
            hint = (
                f"remove `path`, and they are written to `results/{item.stage.id}` of the run directory; {NAME_FOLDER}"
            )
            problems.append(problem(loaded.document, (*item.path, "params", "path"), "E149", message, hint))
    return problems


def large_transfers(stages: Sequence[CheckedStage], execution: Execution) -> list[str]:
    """Warn if every block transfers very large files of parameters."""
    total = sum(file.size for file in merged_files(file for item in stages for file in item.files))
    if sees_run_directory(execution) or total < LARGE:
        return []
    hint = "check what the site allows, and `disk` of the pools"
    return [f"every block transfers {format_memory(total)} of files that parameters name ({hint})"]


def _any_seen(file: DatasetFile, execution: Execution) -> bool:
    return any(_is_seen(place, execution) for place in file.places)


def _is_seen(path: str, execution: Execution) -> bool:
    return any(PurePosixPath(path).is_relative_to(folder) for folder in execution.shared_folders)


def _unseen_input(loaded: LoadedWorkflow, dataset: ResolvedDataset, unseen: Sequence[DatasetFile]) -> Problem:
    others = len(unseen) - 1
    more = f" and {others} more file{'s' if others > 1 else ''}" if others else ""
    message = f"workers do not see `{Path(unseen[0].path).name}`{more} of dataset `{dataset.name}`, on this machine"
    return problem(loaded.document, unseen[0].key, "E149", message, f"use URLs (`root://…`); {NAME_FOLDER}")
