"""Modifiers on a worker: wrap the calls of ops, and collect notes after readings and stages."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from fasthep_parsl import registry
from fasthep_parsl.interfaces import READ, Call, Modifier, Reading
from fasthep_parsl.plan import Plan, PlanModifier, PlanSegment, PlanStage
from fasthep_parsl.worker.notes import Notes


class Modifiers:
    """The modifiers of all stages of a plan.

    Parameters
    ----------
    plan : Plan
        The plan.
    notes : Notes
        Receives what they note.
    """

    def __init__(self, plan: Plan, notes: Notes) -> None:
        self._plan = plan
        self._notes = notes
        self._readers: dict[int, list[tuple[str, Modifier]]] = {}
        self._watchers = _first_of_kind(plan, "after_stage")

    def wrap(self, call: Call, stage: PlanStage) -> Call:
        """Return `call` inside of the modifiers of its stage."""
        for modifier in reversed(stage.modifiers):
            note = partial(self._notes.add, modifier.kind, stage.id)
            call = _made(modifier).wrap(replace(call, note=note))
        return call

    def after_reading(self, segment: PlanSegment, read: Reading) -> None:
        """Let modifiers of the segment's stages note what was read; per kind the first note is kept."""
        if segment.id not in self._readers:
            self._readers[segment.id] = self._readers_of(segment)
        noted: set[str] = set()
        for kind, modifier in self._readers[segment.id]:
            note = modifier.after_reading(read) if kind not in noted else None
            if note is not None:
                noted.add(kind)
                self._notes.add(kind, READ, note)

    def after_stage(self, stage_id: str) -> None:
        """Let modifiers of the plan add notes after a stage has run or its stream was stored."""
        for kind, modifier in self._watchers:
            note = modifier.after_stage()
            if note is not None:
                self._notes.add(kind, stage_id, note)

    def _readers_of(self, segment: PlanSegment) -> list[tuple[str, Modifier]]:
        planned = [modifier for stage in segment.stages for modifier in self._plan.stage(stage).modifiers]
        made = [(modifier.kind, _made(modifier)) for modifier in planned]
        readers = [item for item in made if _overrides(item[1], "after_reading")]
        return [item for index, item in enumerate(readers) if item not in readers[:index]]


def _made(modifier: PlanModifier) -> Modifier:
    made: Modifier = registry.load("modifiers", modifier.kind)(**modifier.params)
    return made


def _overrides(modifier: Modifier, method: str) -> bool:
    return getattr(type(modifier), method) is not getattr(Modifier, method)


def _first_of_kind(plan: Plan, method: str) -> list[tuple[str, Modifier]]:
    """Return the first modifier of each kind in the plan, of the kinds that override `method`."""
    found: dict[str, Modifier] = {}
    for modifier in (modifier for stage in plan.stages for modifier in stage.modifiers):
        if modifier.kind not in found:
            found[modifier.kind] = _made(modifier)
    return [(kind, made) for kind, made in found.items() if _overrides(made, method)]
