"""Leave out the copies whose columns nobody reads, e.g. what only variations of the nominal weight need. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fasthep_parsl.compiler.fields import Flow
from fasthep_parsl.compiler.segments import needed_columns
from fasthep_parsl.compiler.stages import CheckedStage


def without_unread(stages: Sequence[CheckedStage], flow: Flow) -> tuple[CheckedStage, ...]:
    """Return stages without the copies that only add columns, none of which is needed later.

    Parameters
    ----------
    stages : sequence of CheckedStage
        Stages and copies in an order in which they can run.
    flow : Flow
        Their fields.
    """
    left = tuple(stages)
    while True:
        needed = needed_columns(left, flow)
        followed = {item.input for item in left}
        gone = {
            item.stage.id: item
            for item in left
            if _unread(item, flow, needed[item.stage.id], followed=item.stage.id in followed)
        }
        if not gone:
            return left
        left = tuple(_follow(item, gone) for item in left if item.stage.id not in gone)


def reads_in(flow: Flow, stage: str, variation: str) -> tuple[str, ...]:
    """Return the fields that the copy of a stage in a variation reads: without those of its other variations."""
    effects, reads = flow.effects[stage], flow.reads[stage]
    others = {column for of in effects.variants.values() for name, column in of.items() if name != variation}
    computed = [name for name in flow.writes[stage] if name not in others]
    if not others or not effects.sources.keys() >= set(computed):
        return reads
    wanted = frozenset[str]().union(*(effects.sources[name] for name in computed))
    return tuple(name for name in reads if name in wanted)


def _unread(item: CheckedStage, flow: Flow, needed: set[str], *, followed: bool) -> bool:
    """Return whether a stage can be left out. Nominal stages stay: who wrote them wants to see them run."""
    effects = flow.effects.get(item.stage.id)
    if not item.variation or effects is None or not effects.keeps_events:
        return False
    if item.op.product or not item.op.stream or item.op.scope != "partition":
        return False
    if followed and item.renames and not item.outputs:  # a fork begins here: later stages read its plain names
        return False
    return not needed & set(item.outputs.values() if item.outputs else flow.writes[item.stage.id])


def _follow(item: CheckedStage, gone: Mapping[str, CheckedStage]) -> CheckedStage:
    """Return a stage that follows the one before stages that are left out."""
    origin, needs = item.input, item.needs
    while origin in gone:
        origin = gone[origin].input
    while any(name in gone for name in needs):
        needs = tuple(new for name in needs for new in (gone[name].needs if name in gone else (name,)))
    return replace(item, input=origin, needs=tuple(dict.fromkeys(needs)))
