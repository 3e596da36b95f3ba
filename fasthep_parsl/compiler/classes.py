"""Follow fields for each class of datasets: those to which the same stages apply, with the same branches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from fasthep_parsl.compiler.aliases import Files
from fasthep_parsl.compiler.applicability import weights_for
from fasthep_parsl.compiler.fields import Flow
from fasthep_parsl.compiler.inputs import Inputs
from fasthep_parsl.compiler.kept import follow_kept_fields
from fasthep_parsl.compiler.schema import Located, join, named, short
from fasthep_parsl.compiler.stages import CheckedStage, Stages
from fasthep_parsl.compiler.unknown_fields import condition_for
from fasthep_parsl.compiler.unread import applies
from fasthep_parsl.errors import Checked, Problem
from fasthep_parsl.interfaces import Effects, Shape
from fasthep_parsl.plan import SUMS
from fasthep_parsl.workflow.datasets import ResolvedDataset
from fasthep_parsl.workflow.yamldoc import Document, problem


@dataclass(frozen=True)
class _Class:
    """Datasets that conditions do not tell apart, and the fields along the stages that apply to them."""

    files: Files
    stages: tuple[CheckedStage, ...]
    followed: Checked[Flow]

    @property
    def flow(self) -> Flow:
        """The fields."""
        return self.followed.value


def follow_classes(stages: Stages, inputs: Inputs, document: Document) -> Checked[Flow]:
    """Follow all fields as `follow_kept_fields` does, for each class of datasets with the stages that apply to it.

    The result has the fields of all classes. A field that some datasets lack is a problem of the stages that read it
    for them; its message names them.
    """
    if len(inputs.classes) < 2 and all(item.datasets is None for item in stages.items):
        return follow_kept_fields(_first_params(stages), inputs, document)
    classes = [_follow(stages, inputs, files, document) for files in inputs.classes]
    problems = [found for one in classes for found in _explained(one, classes, inputs.datasets)]
    flow = _united(stages.items, classes)
    problems += _two_kinds(stages.items, classes, document)
    return Checked(flow, tuple(_once(problems)))


def _once(problems: Iterable[Problem]) -> Iterable[Problem]:
    """Return one problem per mistake: its hint may differ between classes."""
    found: dict[tuple[str, ...], Problem] = {}
    for item in problems:
        found.setdefault((item.code, item.key, item.name or item.message), item)
    return found.values()


def _first_params(stages: Stages) -> Stages:
    """Return stages with the parameters as they are written for the first dataset. Those of others have the same fields."""
    return replace(
        stages, items=tuple(_for(item, next(iter(item.each))) if item.each else item for item in stages.items)
    )


def _for(item: CheckedStage, dataset: str) -> CheckedStage:
    if item.stage.id == SUMS and item.params is not None:
        return replace(item, params=item.params.model_copy(update={"weights": weights_for(item, dataset)}))
    own = item.each.get(dataset)
    if own is None:
        return item
    return replace(item, params=own.params, stage=item.stage.model_copy(update={"params": own.written}))


def _follow(stages: Stages, inputs: Inputs, files: Files, document: Document) -> _Class:
    dataset = files.datasets[0].name
    mine = tuple(_for(item, dataset) for item in _applied(stages.items, dataset))
    return _Class(files, mine, follow_kept_fields(replace(stages, items=mine), inputs.of(files), document))


def _applied(stages: Iterable[CheckedStage], dataset: str) -> list[CheckedStage]:
    """Return the stages that apply to a dataset. They read the streams before stages that are skipped."""
    before: dict[str, str] = {}
    found = []
    for item in stages:
        origin = before.get(item.input, item.input)
        if applies(item, dataset):
            found.append(replace(item, input=origin))
        else:
            before[item.stage.id] = origin
    return found


def _united(stages: Sequence[CheckedStage], classes: Sequence[_Class]) -> Flow:
    """Return the fields of all classes along all stages."""
    flow = Flow(schemas={"": _joined(one.flow.schemas.get("", {}) for one in classes)})
    known = {item.stage.id: item for item in stages}
    for item in stages:
        name = item.stage.id
        mine = [one.flow for one in classes if name in one.flow.schemas]
        if not mine:  # of a stage with mistakes
            flow.schemas[name] = flow.schemas.get(item.input, flow.schemas[""])
            continue
        skipping = [_after(item, one, known) for one in classes if name not in one.flow.schemas]
        flow.schemas[name] = _joined([*(one.schemas[name] for one in mine), *skipping])
        if any(name in one.reads for one in mine):
            writes = dict.fromkeys(write for one in mine for write in one.writes.get(name, ()))
            reads = dict.fromkeys(read for one in mine for read in one.reads.get(name, ()))
            # what it writes may be there already for datasets for which it is skipped: it must pass
            there = dict.fromkeys(write for write in writes if any(write in schema for schema in skipping))
            flow.reads[name], flow.writes[name] = tuple({**reads, **there}), tuple(writes)
            flow.effects[name] = _joined_effects([one.effects[name] for one in mine if name in one.effects])
    return flow


def _joined_effects(effects: Sequence[Effects]) -> Effects:
    """Return what an op declares for all classes."""
    found = effects[0]
    for other in effects[1:]:
        found = replace(
            found,
            reads={**other.reads, **found.reads},
            writes={**other.writes, **found.writes},
            variants={**other.variants, **found.variants},
        )
    return found


def _after(item: CheckedStage, one: _Class, stages: Mapping[str, CheckedStage]) -> dict[str, Shape]:
    """Return the fields after a stage that is skipped for a class: those of the last stage before it that is not."""
    stream = item.input
    while stream and stream not in one.flow.schemas:
        stream = stages[stream].input
    return one.flow.schemas.get(stream, {})


def _joined(schemas: Iterable[Mapping[str, Shape]]) -> dict[str, Shape]:
    found: dict[str, Shape] = {}
    for schema in schemas:
        for name, shape in schema.items():
            known = found.setdefault(name, shape)
            if known != shape and len(known) == len(shape):
                found[name] = tuple(a if a == b else "*" for a, b in zip(known, shape, strict=True))
    return found


# --- problems -------------------------------------------------------------------------------------------


def _explained(one: _Class, classes: Sequence[_Class], datasets: Sequence[ResolvedDataset]) -> list[Problem]:
    """Return the problems of a class. A field that other classes have gets a message with the datasets that lack it."""
    found = []
    for item in one.followed.problems:
        having = [other for other in classes if other is not one and _has(other, item.name)]
        if item.code != "E150" or not item.name or not having:
            found.append(item)
            continue
        where = [dataset for other in having for dataset in other.files.datasets]
        lacking = [
            dataset for other in classes if _lacks(other, item) for dataset in other.files.datasets
        ]  # all classes with the same problem: one message
        writer = _writer(having, item.name)
        message = f"field `{item.name}` is missing for {named(lacking)}"
        message += f": stage `{writer}`, which writes it, does not apply there" if writer else ""
        condition = condition_for([dataset for dataset in datasets if dataset in where], datasets)
        instead = "write it there, too" if writer else "give it a `default` in `fields`"
        found.append(
            replace(item, message=message, hint=f"write `applies_to: {condition}` at this stage, or {instead}")
        )
    return found


def _lacks(one: _Class, problem_: Problem) -> bool:
    same = (problem_.code, problem_.key, problem_.name)
    return any((item.code, item.key, item.name) == same for item in one.followed.problems)


def _has(one: _Class, name: str) -> bool:
    """Return whether a class has a field, or a collection of fields."""
    return any(
        field == name or field.startswith(f"{name}_") for schema in one.flow.schemas.values() for field in schema
    )


def _writer(classes: Sequence[_Class], name: str) -> str:
    """Return a stage that writes a field or a collection of fields; empty if it comes from the files."""
    for one in classes:
        for stage, fields in one.flow.writes.items():
            if any(field == name or field.startswith(f"{name}_") for field in fields):
                return stage
    return ""


def _two_kinds(stages: Sequence[CheckedStage], classes: Sequence[_Class], document: Document) -> list[Problem]:
    """Refuse stages that read a list of one class of datasets and a number of another under one name."""
    found = []
    for item in stages:
        name = item.stage.id
        mine = [one for one in classes if name in one.flow.reads]
        for field in dict.fromkeys(read for one in mine for read in one.flow.reads[name]):
            wrong = _differ(field, [one for one in mine if field in one.flow.reads[name]], name)
            if wrong:
                at = item.at()
                hint = "write a stage with `applies_to` for each of them"
                found.append(problem(document, at, "E136", f"field `{field}` {wrong}", hint, name=field))
    return found


def _differ(field: str, classes: Sequence[_Class], stage: str) -> str:
    """Return how the kinds of a field differ between classes; empty if they do not."""
    if not classes:
        return ""
    first, *others = classes
    for other in others:
        mine, theirs = (_before(one, stage).get(field) for one in (first, other))
        if mine is not None and theirs is not None and len(mine) != len(theirs):
            kinds = [
                f"{_kind(shape)} for {named(one.files.datasets)}" for one, shape in ((first, mine), (other, theirs))
            ]
            return f"is {kinds[0]}, but {kinds[1]}"
        branches = [_located(field, one) for one in (first, other)]
        if branches[0] and branches[1]:
            joined = join(branches[0], branches[1])[1]
            if joined.problem:
                return f"{joined.problem} ({short(branches[0][0])} has the first)"
    return ""


def _before(one: _Class, stage: str) -> Mapping[str, Shape]:
    item = next(item for item in one.stages if item.stage.id == stage)
    return one.flow.schemas.get(item.input, {})


def _located(field: str, one: _Class) -> Located | None:
    """Return the branch of a field in a file of a class, None if it is not a branch."""
    branch = one.files.branches.get(field, field)
    if not branch or field not in one.files.known.fields:
        return None
    for header in one.files.headers:
        found = header.branches.found.get(header.branches.name_of(branch)) if header.branches else None
        if found is not None:
            return header.path, found
    return None


def _kind(shape: Shape) -> str:
    return ("one value per event", "a list per event")[len(shape)] if len(shape) < 2 else "lists of lists"
