"""Report a `keep` that lacks fields once, instead of wherever later stages use these fields."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ValidationError

from fasthep_parsl.compiler.fields import Flow, follow_fields
from fasthep_parsl.compiler.inputs import Inputs
from fasthep_parsl.compiler.stages import CheckedStage, Stages
from fasthep_parsl.errors import Checked, Problem
from fasthep_parsl.workflow.yamldoc import Document, problem


def follow_kept_fields(stages: Stages, inputs: Inputs, document: Document) -> Checked[Flow]:
    """Follow all fields as `follow_fields` does. Problems that disappear if a stage keeps more are one of that stage.

    Without a readable input file, fields are not followed.
    """
    if not inputs.schema:
        return Checked(Flow())
    if not stages.ordered:
        return follow_fields(stages.items, inputs, document, ordered=False)
    items = list(stages.items)
    followed = follow_fields(items, inputs, document)
    for number in range(len(items)):
        wider = _if_all_kept(items, number, followed, inputs, document) if followed.problems else None
        if wider is not None:
            items[number], followed = wider
    return followed


def _if_all_kept(
    stages: Sequence[CheckedStage], number: int, followed: Checked[Flow], inputs: Inputs, document: Document
) -> tuple[CheckedStage, Checked[Flow]] | None:
    """Return a stage that keeps all fields, and the fields with it; None if that explains no problem."""
    item, later = stages[number], stages[number + 1 :]
    flow, problems = followed.value, followed.problems
    params = _with_all(item, flow.schemas.get(item.input, flow.schemas[""]))
    if params is None:
        return None
    generous = replace(item, params=params)
    wider = follow_fields([*stages[:number], generous, *later], inputs, document)
    if len(wider.problems) >= len(problems) or not _mistakes(wider.problems) <= _mistakes(problems):
        return None
    if item.params is None:  # its own mistake is reported already
        return generous, wider
    used = _used(item, later, flow, wider.value)
    return (generous, Checked(wider.value, (*wider.problems, _problem(item, used, document)))) if used else None


def _mistakes(problems: Iterable[Problem]) -> set[tuple[str, str, str]]:
    """Return what identifies problems, whatever their hints."""
    return {(item.code, item.key, item.name) for item in problems}


def _with_all(item: CheckedStage, schema: Iterable[str]) -> BaseModel | None:
    """Return the parameters of a stage with all fields of its collection in `keep`; None if it has no such parameter."""
    given: dict[str, Any] = item.stage.params
    prefix = f"{given.get('collection')}_"
    fields = [name.removeprefix(prefix) for name in schema if name.startswith(prefix) and name != prefix]
    keep = given.get("keep")
    if "keep" not in item.op.params.model_fields or not fields or not isinstance(keep, list | None):
        return None
    try:
        return item.op.params.model_validate({**given, "keep": list(dict.fromkeys([*(keep or ()), *fields]))})
    except ValidationError:
        return None


def _used(item: CheckedStage, later: Sequence[CheckedStage], flow: Flow, wider: Flow) -> dict[str, list[str]]:
    """Return field that a stage does not keep → the later stages that read it."""
    name = item.stage.id
    new = set(wider.writes.get(name, ())).difference(flow.writes.get(name, ()))
    used: dict[str, list[str]] = {}
    for other in later:
        for field in wider.reads.get(other.stage.id, ()):
            if field in new:
                used.setdefault(field, []).append(other.stage.id)
    return used


def _problem(item: CheckedStage, used: dict[str, list[str]], document: Document) -> Problem:
    output, keep = item.stage.params["output"], item.stage.params["keep"]
    lacking = [field.removeprefix(f"{output}_") for field in used]
    readers = list(dict.fromkeys(name for names in used.values() for name in names))
    named = " and ".join([", ".join(f"`{name}`" for name in lacking[:-1]), f"`{lacking[-1]}`"][len(lacking) == 1 :])
    by = f"stage `{readers[0]}`" + (f" and {len(readers) - 1} more" if len(readers) > 1 else "")
    message = f"`{output}` does not keep {named}, which {by} read{'s' if len(readers) == 1 else ''}"
    hint = f"write `keep: [{', '.join([*keep, *lacking])}]`"
    return problem(document, (*item.path, "params", "keep"), "E150", message, hint, name=next(iter(used)))
