"""``hep.select`` and ``hep.selection.flag``: keep the events that pass a selection, or mark them with a bool field."""

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
    """Keep the events that pass a selection.

    Parameters
    ----------
    selection : list of expressions, or mapping
        Expressions of one bool per event; see `fasthep_parsl.ops.steps` for all forms. An event must pass all named
        lists.
    """
    return events.filter(selection_mask(selection, events, context))


def _analyse_flag(params: Any, schema: Schema) -> Effects:
    reads, _, problems = analyse_selection(params.selection, schema)
    if params.output in schema:
        hint = "choose another `output`"
        problems.append(OpProblem(("output",), f"field `{params.output}` exists already", hint))
    return Effects(reads, {params.output or "{stage}": ()}, tuple(problems))


@op("hep.selection.flag", analyse=_analyse_flag, keeps_events=True)
def flag(
    events: Events, *, selection: SelectionParam, output: str | None = None, context: Context | None = None
) -> dict[str, Any]:
    """Add a bool field that is true for the events that pass a selection.

    Parameters
    ----------
    selection : list of expressions, or mapping
        As for ``hep.select``.
    output : str, optional
        Name of the new field; default: the id of the stage.
    """
    name = output or (context.stage if context else "")
    if not name:
        raise OpError("hep.selection.flag needs `output` outside of a stage")
    return {name: selection_mask(selection, events, context)}
