"""Sources that are joined: their part of the plan, and what is wrong with their files."""

from __future__ import annotations

import os.path
from collections.abc import Iterable, Mapping, Sequence

from fasthep_parsl.compiler.applicability import condition_problems
from fasthep_parsl.compiler.schema import short
from fasthep_parsl.errors import Problem
from fasthep_parsl.plan import PlanJoin, PlanSource
from fasthep_parsl.workflow.conditions import chosen
from fasthep_parsl.workflow.datasets import DatasetFile, ResolvedDataset
from fasthep_parsl.workflow.join_model import JoinInput, JoinSpec
from fasthep_parsl.workflow.locations import identity
from fasthep_parsl.workflow.model import Workflow
from fasthep_parsl.workflow.sources import Params
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, problem


def with_joins(
    source: PlanSource, workflow: Workflow, params: Mapping[str, Params], datasets: Sequence[ResolvedDataset]
) -> PlanSource:
    """Return the primary source with those that are joined to it; `params` are the parameters of all."""
    join = workflow.join
    if join is None:
        return source
    first, *others = join.inputs
    joins = tuple(_plan_join(item, join, workflow, params[item.source], datasets) for item in others)
    return source.model_copy(update={"prefix": first.prefix_or_name, "joins": joins})


def _plan_join(
    item: JoinInput, join: JoinSpec, workflow: Workflow, params: Params, datasets: Sequence[ResolvedDataset]
) -> PlanJoin:
    spec = workflow.sources[item.source]
    return PlanJoin(
        name=item.source,
        kind=spec.kind,
        params=params,
        prefix=item.prefix_or_name,
        files=os.path.expanduser(spec.files or ""),  # noqa: PTH111 - workers may have another home
        by=item.by,
        on_mismatch=item.on_mismatch or join.on_mismatch if item.by else "error",
        datasets=chosen(item.applies_to, datasets),
    )


def condition_mistakes(workflow: Workflow, datasets: Sequence[ResolvedDataset], document: Document) -> list[Problem]:
    """Return what is wrong with `applies_to` of joined sources."""
    found: list[Problem] = []
    for number, item in enumerate(workflow.join.inputs) if workflow.join is not None else ():
        path: KeyPath = ("joins", next(iter(workflow.joins)), "inputs", number, "applies_to")
        found += condition_problems(item.applies_to, datasets, document, path)
    return found


def shared_friends(files: Iterable[DatasetFile], source: PlanSource, document: Document) -> list[Problem]:
    """Return a problem for each source whose file is joined to several others entry by entry."""
    found: dict[str, Problem] = {}
    owners: dict[tuple[object, ...], DatasetFile] = {}
    for file in files:
        for join in source.with_tree(file.tree, file.dataset).joins:
            if join.by or not join.files:
                continue
            friend = join.path_beside(file.path)
            other = owners.setdefault((join.name, file.tree, *identity(friend)), file)
            if other is not file and join.name not in found:
                both = f"`{short(other.path)}` and `{short(file.path)}`"
                message = f"{both} have the same file of source `{join.name}`, {friend}"
                hint = "write `{name}`, `{stem}` or `{folder}` for the part that differs, or join by keys (`by` in `joins`)"
                found[join.name] = problem(document, ("sources", join.name, "files"), "E133", message, hint)
    return list(found.values())


def path_of_key(key: str, source: PlanSource, workflow: Workflow) -> KeyPath:
    """Return the key path in the workflow of what an error of all files blames; see `InputFileError`."""
    owner, _, name = key.rpartition(".")
    if name == "by" and workflow.join is not None:
        number = next(n for n, item in enumerate(workflow.join.inputs) if item.source == owner)
        return ("joins", next(iter(workflow.joins)), "inputs", number, "by")
    return ("sources", owner or source.name, name)
