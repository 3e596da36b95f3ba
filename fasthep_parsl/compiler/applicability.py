"""Find the datasets to which stages and fields apply, and leave out the stages that apply to none."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from fasthep_parsl.compiler.stages import CheckedStage, Stages
from fasthep_parsl.errors import Checked, Hint, Problem, suggest
from fasthep_parsl.plan import SUMS
from fasthep_parsl.workflow.conditions import AppliesTo, DatasetFacts, chosen
from fasthep_parsl.workflow.datasets import facts_of
from fasthep_parsl.workflow.loader import LoadedWorkflow
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, problem


@dataclass(frozen=True)
class Conditions:
    """Stages with the datasets for which they run.

    Attributes
    ----------
    stages : Stages
        The stages that apply to some dataset.
    warnings : tuple of str
        Conditions that are not true for any dataset.
    """

    stages: Stages
    warnings: tuple[str, ...] = ()


def told_apart(stages: Sequence[CheckedStage], datasets: Iterable[DatasetFacts]) -> dict[str, Hashable]:
    """Return dataset → what tells it apart from others: the stages that apply, and their parameters."""
    return {dataset.name: _treatment(stages, dataset.name) for dataset in datasets}


def with_narrow_selections(stages: Stages) -> Stages:
    """Return stages in which the selection of a region applies where a stage in this region applies."""
    users: dict[str, list[CheckedStage]] = {}
    for item in stages.items:
        if item.region:
            users.setdefault(item.input, []).append(item)
    items = [_narrow(item, users[item.stage.id]) if item.stage.id in users else item for item in stages.items]
    return replace(stages, items=tuple(items))


def _narrow(selection: CheckedStage, users: Sequence[CheckedStage]) -> CheckedStage:
    if not selection.region or any(item.datasets is None for item in users):
        return selection
    names = dict.fromkeys(name for item in users for name in item.datasets or ())
    return replace(selection, datasets=tuple(names))


def _treatment(stages: Sequence[CheckedStage], dataset: str) -> Hashable:
    chosen = tuple(item.datasets is None or dataset in item.datasets for item in stages)
    own = tuple(repr(item.each[dataset].written) for item in stages if dataset in item.each)
    sums = tuple(tuple(weights_for(item, dataset).values()) for item in stages if item.stage.id == SUMS)
    return chosen, own, sums


def weights_for(sums: CheckedStage, dataset: str) -> dict[str, str]:
    """Return the weights that the stage `SUMS` sums for a dataset: dataset → expression."""
    weights: Mapping[str, str] = sums.stage.params["weights"]
    return {name: text for name, text in weights.items() if name == dataset}


def find_conditions(loaded: LoadedWorkflow, stages: Stages) -> Checked[Conditions]:
    """Evaluate `applies_to` of stages and fields on the datasets of a workflow. No file is opened.

    A stage that applies to no dataset is left out: later stages read the stream before it.
    """
    document, datasets = loaded.document, facts_of(loaded.workflow)
    problems: list[Problem] = []
    warnings: list[str] = []
    for name, field in loaded.workflow.fields.items():
        path: KeyPath = ("fields", name)
        problems += condition_problems(field.applies_to, datasets, document, (*path, "applies_to"))
        if isinstance(field.branch, dict):
            problems += _unknown_keys(field.branch, datasets, document, (*path, "branch"))
        if chosen(field.applies_to, datasets) == () and datasets:
            warnings.append(f"field `{name}` applies to no dataset")
    items: list[CheckedStage] = []
    left_out: dict[str, CheckedStage] = {}
    for item in stages.items:
        wrong = condition_problems(item.stage.applies_to, datasets, document, (*item.path, "applies_to"))
        problems += wrong
        names = chosen(item.stage.applies_to, datasets) if item.stage.applies_to else item.datasets
        found = replace(_without(item, left_out), datasets=names if datasets else None)
        if found.datasets == () and not wrong and stages.ordered:
            problems += _used_by(item, stages.items, document)
            left_out[item.stage.id] = found
            warnings.append(f"stage `{item.stage.id}` applies to no dataset, and is left out")
        else:
            items.append(found)
    if left_out and not items:
        first = next(iter(left_out.values()))
        at = (*first.path, "applies_to")
        problems.append(problem(document, at, "E106", "no stage applies to any dataset", "nothing would be computed"))
    kept = replace(stages, items=tuple(items or left_out.values()))
    return Checked(Conditions(kept, tuple(dict.fromkeys(warnings))), tuple(dict.fromkeys(problems)))


def condition_problems(
    condition: AppliesTo | None, datasets: Sequence[DatasetFacts], document: Document, path: KeyPath
) -> list[Problem]:
    """Return a problem for each name in a condition that no dataset has.

    Parameters
    ----------
    condition : AppliesTo or None
        The condition.
    datasets : sequence
        All datasets.
    document, path
        Its place.
    """
    if condition is None or not datasets:
        return []
    names, eras = [dataset.name for dataset in datasets], _eras(datasets)
    found = []
    for number, pattern in enumerate(condition.datasets):
        if not any(fnmatchcase(name, pattern) for name in names):
            at = _item(document, (*path, "datasets"), number)
            close = suggest(pattern, names, what="datasets")
            found.append(problem(document, at, "E106", f"no dataset `{pattern}`", close, name=pattern))
    for number, era in enumerate(condition.eras):
        if era not in eras:
            at = _item(document, (*path, "eras"), number)
            hint: Hint = suggest(era, eras, what="eras") if eras else "write `era: …` in the datasets"
            found.append(problem(document, at, "E106", f"no dataset has the era `{era}`", hint, name=era))
    return found


def _item(document: Document, path: KeyPath, number: int) -> KeyPath:
    """Return the key path of an item of a list that may be a single value."""
    return (*path, number) if document.has((*path, number)) else path


def _eras(datasets: Iterable[DatasetFacts]) -> list[str]:
    return list(dict.fromkeys(dataset.era for dataset in datasets if dataset.era))


def _unknown_keys(
    branches: dict[str, str], datasets: Sequence[DatasetFacts], document: Document, path: KeyPath
) -> list[Problem]:
    """Return a problem for each key of a mapping of branches that is neither an era nor a dataset."""
    known = [*_eras(datasets), *(dataset.name for dataset in datasets)]
    found = []
    for key in branches:
        if key not in known:
            hint = suggest(key, known, what="eras and datasets")
            message = f"`{key}` is neither the era of a dataset nor the name of one"
            found.append(problem(document, (*path, key), "E106", message, hint, on="key", name=key))
    return found


def _without(item: CheckedStage, left_out: dict[str, CheckedStage]) -> CheckedStage:
    """Return a stage that reads the stream before stages that are left out."""
    origin: Any = item.input
    while origin in left_out:
        origin = left_out[origin].input
    needs: list[str] = []
    for name in item.needs:
        needs += left_out[name].needs if name in left_out else (name,)
    return replace(item, input=origin, needs=tuple(dict.fromkeys(needs)))


def _used_by(gone: CheckedStage, stages: Iterable[CheckedStage], document: Document) -> list[Problem]:
    """Refuse stages that need the product of a stage that is left out."""
    found = []
    for item in stages:
        for number, source in enumerate(item.stage.inputs):
            if source.node == gone.stage.id and (item.datasets or item.datasets is None):
                at = (*item.path, "from", number)
                message = f"stage `{gone.stage.id}` applies to no dataset: it has no `{source.port}`"
                found.append(problem(document, at, "E124", message, "change its `applies_to`", name=gone.stage.id))
    return found
