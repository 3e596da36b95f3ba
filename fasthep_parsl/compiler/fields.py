"""Which fields each stage reads and adds, found without reading an event; what nobody needs is never read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fasthep_parsl.compiler.inputs import Inputs
from fasthep_parsl.compiler.stages import CheckedStage
from fasthep_parsl.errors import Problem, suggest
from fasthep_parsl.interfaces import Effects, Shape
from fasthep_parsl.workflow.yamldoc import Document, problem


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


def follow_fields(stages: list[CheckedStage], inputs: Inputs, document: Document) -> tuple[Flow, list[Problem]]:
    """Follow all fields from the source through the stages.

    Returns
    -------
    Flow, list of Problem
        A field that a stage reads but no one provides is a problem, placed where it is named.
    """
    flow = Flow(schemas={"": dict(inputs.schema)})
    problems: list[Problem] = []
    for item in stages:
        schema = flow.schemas.get(item.input, flow.schemas[""])
        effects = item.op.analyse(item.params, schema)
        problems += _problems(item, effects, schema, inputs, document)
        writes = {name.replace("{stage}", item.stage.id): shape for name, shape in effects.writes.items()}
        known = [name for name in effects.reads if name in schema]
        flow.reads[item.stage.id] = tuple(schema) if effects.keeps_all else tuple(known)
        flow.writes[item.stage.id] = tuple(writes)
        flow.schemas[item.stage.id] = {**schema, **writes}
    return flow, problems


def _problems(
    item: CheckedStage, effects: Effects, schema: Mapping[str, Shape], inputs: Inputs, document: Document
) -> list[Problem]:
    base = (*item.path, "params")
    found: list[Problem] = []
    for wrong in effects.problems:
        unknown = next((name for name in inputs.partial if f"`{name}`" in wrong.message and name not in schema), None)
        if unknown is not None:
            found.append(_only_some(unknown, inputs, (*base, *wrong.path), document))
        else:
            found.append(problem(document, (*base, *wrong.path), "E151", wrong.message, wrong.hint))
    named = " ".join(wrong.message for wrong in effects.problems)
    for name, path in effects.reads.items():
        if name in schema or f"`{name}`" in named:
            continue
        if name in inputs.partial:
            found.append(_only_some(name, inputs, (*base, *path), document))
        else:
            hint = suggest(name, schema, what="fields")
            found.append(problem(document, (*base, *path), "E150", f"unknown field `{name}`", hint))
    return found


def _only_some(name: str, inputs: Inputs, path: tuple[str | int, ...], document: Document) -> Problem:
    lacks = inputs.partial[name]
    hint = "give the files that have it a dataset and a workflow of their own, or do without"
    return problem(document, path, "E136", f"branch `{name}` is not in every input file: {lacks} lacks it", hint)
