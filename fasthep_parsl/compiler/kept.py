"""One error for a `keep` that lacks fields, instead of one for each place where later stages use them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ValidationError

from fasthep_parsl.compiler.fields import Flow, follow_fields
from fasthep_parsl.compiler.inputs import Inputs
from fasthep_parsl.compiler.stages import CheckedStage
from fasthep_parsl.errors import Problem
from fasthep_parsl.workflow.yamldoc import Document, problem


def follow_kept_fields(
    stages: list[CheckedStage], inputs: Inputs, document: Document, *, ordered: bool
) -> tuple[Flow, list[Problem]]:
    """Follow all fields as `follow_fields` does; what goes away if a stage keeps more is one problem of that stage."""
    flow, problems = follow_fields(stages, inputs, document, ordered=ordered)
    for number, item in enumerate(stages):
        if not problems or not ordered:
            break
        schema = flow.schemas.get(item.input, flow.schemas[""])
        params = _with_all(item, schema)
        if params is None:
            continue
        assumed = [*stages[:number], replace(item, params=params), *stages[number + 1 :]]
        wider, left = follow_fields(assumed, inputs, document, ordered=ordered)
        if len(left) >= len(problems) or any(found not in problems for found in left):
            continue
        if item.params is not None:
            used = _used(item, stages[number + 1 :], flow, wider)
            if not used:
                continue
            left.append(_complaint(item, used, document))
        stages, flow, problems = assumed, wider, left
    return flow, problems


def _with_all(item: CheckedStage, schema: Iterable[str]) -> BaseModel | None:
    """Return the parameters of a stage that keeps all fields of its collection; None if it does that, or cannot."""
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


def _used(item: CheckedStage, later: list[CheckedStage], flow: Flow, wider: Flow) -> dict[str, list[str]]:
    """Return fields that a stage does not keep → the stages that read them."""
    name = item.stage.id
    new = set(wider.writes.get(name, ())).difference(flow.writes.get(name, ()))
    used: dict[str, list[str]] = {}
    for other in later:
        for field in wider.reads.get(other.stage.id, ()):
            if field in new:
                used.setdefault(field, []).append(other.stage.id)
    return used


def _complaint(item: CheckedStage, used: dict[str, list[str]], document: Document) -> Problem:
    output, keep = item.stage.params["output"], item.stage.params["keep"]
    lacking = [field.removeprefix(f"{output}_") for field in used]
    readers = list(dict.fromkeys(name for names in used.values() for name in names))
    named = " and ".join([", ".join(f"`{name}`" for name in lacking[:-1]), f"`{lacking[-1]}`"][len(lacking) == 1 :])
    by = f"stage `{readers[0]}`" + (f" and {len(readers) - 1} more" if len(readers) > 1 else "")
    message = f"`{output}` has no {named}, which {by} use{'s' if len(readers) == 1 else ''}: not kept"
    return problem(document, (*item.path, "params", "keep"), "E150", message, f"keep: [{', '.join([*keep, *lacking])}]")
