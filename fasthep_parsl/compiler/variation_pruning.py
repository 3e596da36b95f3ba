"""Compute only what varies: ``hep.define`` with the variables that a variation reaches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from fasthep_parsl.compiler.fields import Flow
from fasthep_parsl.compiler.stages import CheckedStage
from fasthep_parsl.ops.expressions import analyse_expression

DEFINE = "hep.define"


def only_fields(item: CheckedStage, fields: Iterable[str], flow: Flow) -> CheckedStage:
    """Return a stage that computes `fields`, and those of its variables that they are computed from."""
    variables = getattr(item.params, "variables", None)
    if item.op.name != DEFINE or item.params is None or variables is None or item.each:
        return item
    names = [variable.name for variable in variables]
    if len(set(names)) < len(names):  # a value depends on its place in the list
        return item
    wanted = set(fields)
    schema = flow.schemas[item.stage.id]
    for variable in reversed(variables):
        if variable.name in wanted:
            wanted |= analyse_expression(variable.text, (), schema)[0].keys()
    chosen = [number for number, name in enumerate(names) if name in wanted]
    written = [item.stage.params["variables"][number] for number in chosen]
    stage = item.stage.model_copy(update={"params": {**item.stage.params, "variables": written}})
    params = item.params.model_copy(update={"variables": [variables[number] for number in chosen]})
    return replace(item, stage=stage, params=params)
