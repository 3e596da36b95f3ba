"""``hep.select`` keeps events; ``hep.selection.flag`` notes which would be kept."""

from __future__ import annotations

from typing import Any

from fasthep_parsl.errors import OpError
from fasthep_parsl.interfaces import Context, Effects, OpProblem, Schema
from fasthep_parsl.ops.declare import op
from fasthep_parsl.ops.steps import SelectionParam, analyse_selection, selection_mask
from fasthep_parsl.ops.stream import Events


def _analyse_select(params: Any, schema: Schema) -> Effects:
    reads, _, problems = analyse_selection(params.selection, schema)
    return Effects(reads=reads, problems=tuple(problems))


@op("hep.select", analyse=_analyse_select)
def select(events: Events, *, selection: SelectionParam, context: Context | None = None) -> Events:
    """Keep the events that pass.

    Parameters
    ----------
    selection : list of expressions, or mapping
        One bool per event each; see `fasthep_parsl.ops.steps` for all forms. Named lists must all hold.
    """
    return events.filter(selection_mask(selection, events, context))


def _analyse_flag(params: Any, schema: Schema) -> Effects:
    reads, _, problems = analyse_selection(params.selection, schema)
    if params.output in schema:
        hint = "give another `output`"
        problems.append(OpProblem(("output",), f"field `{params.output}` exists already", hint))
    return Effects(reads, {params.output or "{stage}": ()}, tuple(problems))


@op("hep.selection.flag", analyse=_analyse_flag)
def flag(
    events: Events, *, selection: SelectionParam, output: str | None = None, context: Context | None = None
) -> dict[str, Any]:
    """Add a bool field that is true for events that pass.

    Parameters
    ----------
    selection : list of expressions, or mapping
        As for ``hep.select``.
    output : str, optional
        Name of the new field; default: the id of the stage.
    """
    name = output or (context.stage if context else "")
    if not name:
        raise OpError("hep.selection.flag needs `output` where there is no stage")
    return {name: selection_mask(selection, events, context)}
