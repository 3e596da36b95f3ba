"""Find the fields that each stage reads and adds, without reading an event."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from fasthep_parsl.compiler.inputs import Inputs
from fasthep_parsl.compiler.stages import CheckedStage
from fasthep_parsl.compiler.unknown_fields import why_no_expression, why_no_field
from fasthep_parsl.errors import Checked, Hint, Problem, suggest
from fasthep_parsl.interfaces import Effects, Shape
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, problem


@dataclass
class Flow:
    """Fields along the stages.

    Attributes
    ----------
    reads : dict
        Stage → fields that its op reads.
    writes : dict
        Stage → fields that its op adds.
    schemas : dict
        Stage → fields of the stream after it; for a stage without a stream, those of its input.
    effects : dict
        Stage → everything that its op declares about its fields.
    of_weights : dict
        Stage → variation → fields in `reads` that only its weight in variations needs.
    """

    reads: dict[str, tuple[str, ...]] = field(default_factory=dict)
    writes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    schemas: dict[str, dict[str, Shape]] = field(default_factory=dict)
    effects: dict[str, Effects] = field(default_factory=dict)
    of_weights: dict[str, dict[str, tuple[str, ...]]] = field(default_factory=dict)


def follow_fields(
    stages: Sequence[CheckedStage], inputs: Inputs, document: Document, *, ordered: bool = True
) -> Checked[Flow]:
    """Follow all fields from the source through the stages.

    A field that a stage reads and nothing provides is a problem. After a stage with mistakes of its own, only names
    that look misspelt are reported.

    Parameters
    ----------
    stages : sequence of CheckedStage
        The stages.
    inputs : Inputs
        The input files, for the fields of the source.
    document : Document
        The workflow, for the places of problems.
    ordered : bool
        Whether the stages are in an order in which they can run.
    """
    flow = Flow(schemas={"": dict(inputs.schema)})
    problems: list[Problem] = []
    if not ordered:
        return Checked(flow, tuple(_misspelt_anywhere(stages, inputs, document)))
    vague: set[str] = set()
    hidden: set[str] = set()  # outputs of stages with mistakes
    for item in stages:
        name = item.stage.id
        schema = flow.schemas.get(item.input, flow.schemas[""])
        if item.params is None or item.input in vague or item.input not in flow.schemas:
            vague.add(name)
            hidden |= {text for text in (item.stage.params.get("output"),) if isinstance(text, str) and text}
        if item.params is None:
            flow.schemas[name] = schema
            continue
        effects = item.op.analyse(item.params, schema)
        found = _problems(item, effects, schema, inputs, document)
        problems += _misspelt(found, hidden) if name in vague else found
        writes = _writes(item, effects)
        known = [field for field in effects.reads if field in schema]
        if effects.keeps_all:  # each branch under one name
            known = [field for field in schema if field not in inputs.common.synonyms]
        flow.reads[name] = tuple(known)
        flow.writes[name] = tuple(writes)
        flow.effects[name] = effects
        flow.schemas[name] = {**schema, **writes}
    return Checked(flow, tuple(problems))


def _misspelt_anywhere(stages: Sequence[CheckedStage], inputs: Inputs, document: Document) -> list[Problem]:
    """Return the names that no stage provides, in any order of the stages, and that look misspelt."""
    schema = dict(inputs.schema)
    found: list[Problem] = []
    for _ in range(2):  # a stage further down may write the field
        found = []
        for item in stages:
            if item.params is not None:
                effects = item.op.analyse(item.params, schema)
                found += [p for p in _problems(item, effects, schema, inputs, document) if p.code == "E150"]
                schema |= _writes(item, effects)
    return _misspelt(found)


def _misspelt(problems: list[Problem], hidden: Iterable[str] = ()) -> list[Problem]:
    """Return the problems that other mistakes do not explain: a name in `hidden` may exist once those are fixed."""
    likely = [item for item in problems if item.code != "E150" or item.suggestions]
    return [item for item in likely if not any(output in item.name for output in hidden)]


def _writes(item: CheckedStage, effects: Effects) -> dict[str, Shape]:
    return {name.replace("{stage}", item.stage.id): shape for name, shape in effects.writes.items()}


def _problems(
    item: CheckedStage, effects: Effects, schema: Mapping[str, Shape], inputs: Inputs, document: Document
) -> list[Problem]:
    found: list[Problem] = []
    for wrong in effects.problems:
        path = item.at(wrong.path)
        node = document.get(path)
        reason = why_no_expression(node.value, inputs) if node is not None and isinstance(node.value, str) else None
        if reason:
            found.append(problem(document, path, *reason))
        elif wrong.code == "E150":
            found += _unknown(wrong.name, wrong.hint, path, inputs, document)
        else:
            found.append(problem(document, path, wrong.code, wrong.message, wrong.hint, name=wrong.name))
    reported = {wrong.name for wrong in effects.problems}
    for name, place in effects.reads.items():
        if name not in schema and name not in reported:
            hint = suggest(name, schema, what="fields")
            found += _unknown(name, hint, item.at(place), inputs, document)
    return list(dict.fromkeys(found))


def _unknown(name: str, hint: Hint, path: KeyPath, inputs: Inputs, document: Document) -> list[Problem]:
    if name in inputs.aliases.broken:  # reported in section `fields`
        return []
    reason = why_no_field(name, inputs) or ("E150", f"unknown field `{name}`", hint)
    return [narrow(problem(document, path, *reason, name=name), name, path, document)]


def narrow(found: Problem, name: str, path: KeyPath, document: Document) -> Problem:
    """Return a problem that underlines only `name` in its expression, if the expression is on one line and not escaped."""
    node, where = document.get(path), found.where
    if not name or where is None or node is None or not isinstance(node.value, str) or node.where != where:
        return found
    match = re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", node.value)
    quotes = where.length - len(node.value)
    if match is None or quotes not in (0, 2):
        return found
    column = where.column + match.start() + quotes // 2
    return replace(found, where=replace(where, column=column, length=len(name)))
