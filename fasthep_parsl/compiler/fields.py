"""Which fields each stage reads and adds, found without reading an event; what nobody needs is never read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from fasthep_parsl.compiler.inputs import Inputs
from fasthep_parsl.compiler.names import why_no_expression, why_no_field
from fasthep_parsl.compiler.stages import CheckedStage
from fasthep_parsl.errors import Problem, suggest
from fasthep_parsl.interfaces import Effects, Shape
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, problem

_FIELD = re.compile(r"unknown field `([^`]+)`")


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
        Stage → fields of the stream after it (for stages without a stream: of the one it reads).
    """

    reads: dict[str, tuple[str, ...]] = field(default_factory=dict)
    writes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    schemas: dict[str, dict[str, Shape]] = field(default_factory=dict)


def follow_fields(
    stages: list[CheckedStage], inputs: Inputs, document: Document, *, ordered: bool = True
) -> tuple[Flow, list[Problem]]:
    """Follow all fields from the source through the stages.

    Parameters
    ----------
    stages : list of CheckedStage
        In their order.
    inputs : Inputs
        For the fields of the source.
    document : Document
        Places the problems.
    ordered : bool
        Whether the order of the stages and what each reads is known.

    Returns
    -------
    Flow, list of Problem
        A field that a stage reads but no one provides is a problem, placed where it is named. Behind a stage that is
        wrong itself only names that look misspelt are complained about.
    """
    flow = Flow(schemas={"": dict(inputs.schema)})
    problems: list[Problem] = []
    if not ordered:
        return flow, _misspelt_anywhere(stages, inputs, document)
    vague: set[str] = set()
    hidden: set[str] = set()  # what such stages would make
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
        if effects.keeps_all:  # each branch once
            known = [field for field in schema if field not in inputs.common.synonyms]
        flow.reads[name] = tuple(known)
        flow.writes[name] = tuple(writes)
        flow.schemas[name] = {**schema, **writes}
    return flow, problems


def _misspelt_anywhere(stages: list[CheckedStage], inputs: Inputs, document: Document) -> list[Problem]:
    """Return names that no stage provides, wherever it stands, and that are close to one that is."""
    schema = dict(inputs.schema)
    found: list[Problem] = []
    for _ in range(2):  # what is read early may be written late
        found = []
        for item in stages:
            if item.params is not None:
                effects = item.op.analyse(item.params, schema)
                found += [p for p in _problems(item, effects, schema, inputs, document) if p.code == "E150"]
                schema |= _writes(item, effects)
    return _misspelt(found)


def _misspelt(problems: list[Problem], hidden: Iterable[str] = ()) -> list[Problem]:
    """Return the problems that are no mere consequence of others; fields of what is `hidden` may be there."""

    def excused(item: Problem) -> bool:
        return any(word in name for name in re.findall("`([^`]+)`", item.message) for word in hidden)

    likely = [item for item in problems if item.code != "E150" or item.hint.startswith("did you mean")]
    return [item for item in likely if not excused(item)]


def _writes(item: CheckedStage, effects: Effects) -> dict[str, Shape]:
    return {name.replace("{stage}", item.stage.id): shape for name, shape in effects.writes.items()}


def _problems(
    item: CheckedStage, effects: Effects, schema: Mapping[str, Shape], inputs: Inputs, document: Document
) -> list[Problem]:
    base = (*item.path, "params")
    found: list[Problem] = []
    for wrong in effects.problems:
        path = (*base, *wrong.path)
        node = document.get(path)
        reason = why_no_expression(node.value, inputs) if node is not None and isinstance(node.value, str) else None
        named = _FIELD.match(wrong.message)
        if reason:
            found.append(problem(document, path, *reason))
        elif named:
            found += _unknown(named[1], wrong.hint, path, inputs, document)
        else:
            found.append(problem(document, path, "E151", wrong.message, wrong.hint))
    said = " ".join(wrong.message for wrong in effects.problems)
    for name, place in effects.reads.items():
        if name not in schema and f"`{name}`" not in said:
            hint = suggest(name, schema, what="fields")
            found += _unknown(name, hint, (*base, *place), inputs, document)
    return list(dict.fromkeys(found))


def _unknown(name: str, hint: str, path: KeyPath, inputs: Inputs, document: Document) -> list[Problem]:
    if name in inputs.aliases.broken:  # said in section `fields`
        return []
    reason = why_no_field(name, inputs) or ("E150", f"unknown field `{name}`", hint)
    return [narrow(problem(document, path, *reason), name, path, document)]


def narrow(found: Problem, name: str, path: KeyPath, document: Document) -> Problem:
    """Underline just `name` in the expression that a problem is about, if that stands on one line as it is."""
    node, where = document.get(path), found.where
    if not name or where is None or node is None or not isinstance(node.value, str) or node.where != where:
        return found
    match = re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", node.value)
    quotes = where.length - len(node.value)
    if match is None or quotes not in (0, 2):
        return found
    column = where.column + match.start() + quotes // 2
    return replace(found, where=replace(where, column=column, length=len(name)))
