"""Where a replaced field is computed: after the selections that do not depend on it, so for fewer events. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fasthep_parsl.compiler.fields import Flow
from fasthep_parsl.compiler.stages import CheckedStage
from fasthep_parsl.compiler.variation_sources import Systematic
from fasthep_parsl.ops.expressions import analyse_expression

FILTERS = ("hep.select", "hep.selection.cutflow")
"""Ops that only drop events. Other ops of which it is not known that they keep all events may make new ones."""


def latest_stream(
    stages: Sequence[CheckedStage], flow: Flow, origin: str, needed: Iterable[str], known: Systematic
) -> str:
    """Return the last stream before all stages that a replaced field changes.

    Parameters
    ----------
    stages : sequence of CheckedStage
        Nominal stages in an order in which they can run.
    flow : Flow
        Their fields.
    origin : str
        Stage that writes the field; empty for the source.
    needed : iterable of str
        The field, and the fields of the expression that replaces it. They must not be overwritten before.
    known : Systematic
        The variation.

    Returns
    -------
    str
        Stage whose stream it is. Stages between `origin` and it are the only ones that read the stream before them,
        drop or keep events, and are not reached by the variation.
    """
    needed, changed = set(needed), _changed(stages, flow, known)
    stream = origin
    while True:
        following = [item for item in stages if item.input == stream and item.stage.id != stream]
        if len(following) != 1 or not _passes(following[0], flow, needed, changed):
            return stream
        if changed & _multiplied(following[0], flow, known):
            return stream
        stream = following[0].stage.id


def _passes(item: CheckedStage, flow: Flow, needed: set[str], changed: set[str]) -> bool:
    """Return whether a field can as well be replaced after a stage."""
    name = item.stage.id
    effects = flow.effects[name]
    return (
        item.op.stream
        and item.op.scope == "partition"
        and (effects.keeps_events or item.op.name in FILTERS)
        and not item.stage.inputs
        and not changed & set(flow.reads[name])
        and not needed & set(flow.writes[name])
        and needed <= flow.schemas[name].keys()
    )


def _multiplied(item: CheckedStage, flow: Flow, known: Systematic) -> set[str]:
    """Return the fields that multiply the weight of a stage in a variation: it reads them, too."""
    if flow.effects[item.stage.id].weights is None:
        return set()
    schema = flow.schemas.get(item.input, {})
    return {name for text in known.multiply for name in analyse_expression(text, (), schema)[0]}


def _changed(stages: Iterable[CheckedStage], flow: Flow, known: Systematic) -> set[str]:
    """Return all fields that a variation may change, on any stream."""
    changed = set(known.fields)
    for item in stages:
        name = item.stage.id
        variants = flow.effects[name].variants
        changed |= {field for field, of in variants.items() if known.name in of}
        if changed & set(flow.reads[name]):
            changed |= set(flow.writes[name])
    return changed
