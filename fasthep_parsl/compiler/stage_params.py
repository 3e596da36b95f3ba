"""Validate the parameters of stages, for each dataset if they contain facts of datasets (``{dataset.<key>}``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from fasthep_parsl.compiler.bookings import booking_of
from fasthep_parsl.compiler.parameter_files import StageFiles
from fasthep_parsl.compiler.schema import named
from fasthep_parsl.errors import Checked, Hint, Problem, suggest
from fasthep_parsl.interfaces import Op, ParamPath
from fasthep_parsl.ops.dataset_parameters import depends_on_dataset, facts_in, for_dataset
from fasthep_parsl.ops.parameters import validate_params
from fasthep_parsl.ops.targets import OP as WRITE
from fasthep_parsl.workflow.datasets import ResolvedDataset
from fasthep_parsl.workflow.stage_model import Stage
from fasthep_parsl.workflow.translate import problems_of
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, problem

NOT_IN_WRITE = ("name", "path", "format")
"""Parameters of `hep.write` that also other parts of the program read: they name files."""


@dataclass(frozen=True)
class DatasetParams:
    """The parameters of a stage for one dataset.

    Attributes
    ----------
    written : dict
        As written, with the facts of the dataset.
    params : BaseModel or None
        The validated parameters; None if they are wrong.
    """

    written: dict[str, Any]
    params: BaseModel | None


@dataclass(frozen=True)
class StageParams:
    """The parameters of a stage.

    Attributes
    ----------
    params : BaseModel or None
        The validated parameters, of the first dataset if they differ; None if they are wrong.
    each : dict
        Dataset → its parameters, if they contain facts of datasets.
    """

    params: BaseModel | None
    each: dict[str, DatasetParams] = field(default_factory=dict)


@dataclass(frozen=True)
class StageCheck:
    """A stage whose parameters are to be validated.

    Attributes
    ----------
    stage : Stage
        The stage.
    op : Op
        Its op.
    document : Document
        The workflow.
    path : tuple
        Key path of the stage.
    files : StageFiles
        Finds the files that its parameters name.
    """

    stage: Stage
    op: Op
    document: Document
    path: KeyPath
    files: StageFiles

    @property
    def bound(self) -> set[str]:
        """Parameters that are products of other stages."""
        return {item.to for item in self.stage.inputs}


def check_params(check: StageCheck, datasets: Sequence[ResolvedDataset]) -> Checked[StageParams]:
    """Validate the parameters of a stage, for each dataset to which it applies if they contain facts of datasets."""
    problems = _check_bindings(check)
    params = check.stage.params
    if not depends_on_dataset(params):
        valid = _validate(check, params)
        return Checked(StageParams(valid.value), (*problems, *valid.problems))
    condition = check.stage.applies_to
    mine = [dataset for dataset in datasets if condition is None or condition.selects(dataset)] or list(datasets)
    wrong = [*_not_here(check), *_lacking(check, mine)]
    if wrong or not mine:
        return Checked(StageParams(None), (*problems, *wrong))
    check.files.tell_apart()
    each: dict[str, DatasetParams] = {}
    mistakes: dict[Problem, list[ResolvedDataset]] = {}
    for dataset in mine:
        written = for_dataset(params, dataset.facts)
        valid = _validate(check, written)
        each[dataset.name] = DatasetParams(written, valid.value)
        for item in valid.problems:
            mistakes.setdefault(item, []).append(dataset)
    problems += [replace(item, message=f"{item.message} ({named(where)})") for item, where in mistakes.items()]
    problems += _one_booking(check, each)
    found = [item.params for item in each.values()]
    return Checked(StageParams(found[0] if all(found) else None, each), tuple(problems))


def _one_booking(check: StageCheck, each: Mapping[str, DatasetParams]) -> list[Problem]:
    """Refuse a histogram whose bins, axes or storage differ between datasets: their contents are added."""
    booked = {name: booking_of(item.params) for name, item in each.items() if item.params is not None}
    first = next(iter(booked), "")
    other = next((name for name in booked if booked[name] != booked[first]), "")
    if not other:
        return []
    name = next(key for key, value in booked[first].items() if value != booked[other][key])
    found = facts_in(check.stage.params.get(name), (name,))
    path = next((path for path, _ in found if path[-1] not in ("source", "label", "unit")), (name,))
    message = f"`{name}` of histogram `{check.stage.id}` differs between the datasets `{first}` and `{other}`"
    hint = "all datasets fill one histogram; write one stage for each of them, with `applies_to`"
    return [problem(check.document, (*check.path, "params", *path), "E106", message, hint)]


def _lacking(check: StageCheck, datasets: Sequence[ResolvedDataset]) -> list[Problem]:
    """Return a problem for each fact that a dataset does not have, or that cannot be part of a text."""
    found = []
    for path, key in facts_in(check.stage.params):
        at = (*check.path, "params", *path)
        lacking = [dataset for dataset in datasets if key not in dataset.facts]
        if lacking:
            hint: Hint = suggest(key, {name for dataset in lacking for name in dataset.facts}, what="known")
            if key == "era" or len(lacking) < len(datasets):
                what = "era: …" if key == "era" else f"meta: {{{key}: …}}"
                hint = f"add `{what}` to them, or to `data.defaults` for all datasets"
            message = f"no `{key}` in {named(lacking)}"
            found.append(problem(check.document, at, "E152", message, hint, name=key))
            continue
        node = check.document.get(at)
        alone = node is None or not isinstance(node.value, str) or node.value == f"{{dataset.{key}}}"
        odd = [item for item in datasets if not isinstance(item.facts[key], str | int | float)]
        if odd and not alone:
            message = f"`{key}` of {named(odd)} is neither a text nor a number"
            found.append(problem(check.document, at, "E106", message, "only these can be part of a text", name=key))
    return found


def _not_here(check: StageCheck) -> list[Problem]:
    """Return a problem for each fact in a parameter that is not called for one dataset."""
    found = []
    for path, key in facts_in(check.stage.params):
        at = (*check.path, "params", *path)
        if check.op.scope == "workflow":
            message = f"`{{dataset.{key}}}` in a stage that sees the events of all datasets at once"
            hint = f"an op can look at the datasets itself (`context.datasets`); `{check.op.name}` has one call"
            found.append(problem(check.document, at, "E106", message, hint))
        elif check.op.name == WRITE and path[0] in NOT_IN_WRITE:
            message = f"`{{dataset.{key}}}` cannot be used in `{path[0]}`, which names files"
            found.append(problem(check.document, at, "E106", message, "use `{dataset}`, the name of the dataset"))
    return found


def _validate(check: StageCheck, params: Mapping[str, Any]) -> Checked[BaseModel | None]:
    try:
        found = validate_params(check.op, params, check.bound, files=check.files)
        wrong = _needed_in_plan(check, found)
        return Checked(None if wrong else found, tuple(wrong))
    except ValidationError as error:
        invalid = problems_of(error, check.op.params, check.document, (*check.path, "params"))
        return Checked(_with_any_files(check.op, params, check.bound), tuple(invalid))


def _needed_in_plan(check: StageCheck, params: BaseModel) -> list[Problem]:
    """Refuse products of other stages for parameters that decide what is read: they are not known before the run."""
    if not check.bound:
        return []
    try:
        check.op.analyse(params, {})
    except Exception:  # noqa: BLE001 - code of any op, which meets None
        names = " or ".join(f"`{item.to}`" for item in check.stage.inputs)
        message = f"parameter {names} of `{check.op.name}` cannot be the product of a stage: the plan needs its value"
        return [problem(check.document, (*check.path, "from", 0, "as"), "E111", message, "write it in `params`")]
    return []


def _any_file(path: ParamPath, text: str, *, folder: bool) -> Path:
    """Return `text` as a path, also if there is no such file: a `FileLookup`."""
    del path, folder
    return Path(text)


def _with_any_files(op: Op, params: Mapping[str, Any], bound: set[str]) -> BaseModel | None:
    """Return parameters whose only mistakes are files, so that the fields of the stage are known; else None."""
    try:
        found = validate_params(op, params, bound, files=_any_file)
        op.analyse(found, {})
    except Exception:  # noqa: BLE001 - code of users, which may read the files
        return None
    return found


def _check_bindings(check: StageCheck) -> list[Problem]:
    problems = []
    for number, item in enumerate(check.stage.inputs):
        key = (*check.path, "from", number)
        if item.to not in check.op.params.model_fields:
            hint = suggest(item.to, check.op.params.model_fields, what="parameters")
            message = f"op `{check.op.name}` has no parameter `{item.to}`"
            problems.append(problem(check.document, (*key, "as"), "E111", message, hint, name=item.to))
        elif item.to in check.stage.params:
            message = f"parameter `{item.to}` is set twice, in `params` and in `from`"
            problems.append(problem(check.document, (*key, "as"), "E111", message, "remove one of them"))
    return problems
