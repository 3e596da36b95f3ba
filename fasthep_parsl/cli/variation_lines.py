"""The systematic variations of a plan: what they copy, and which part of the stages that is."""

from __future__ import annotations

from dataclasses import dataclass

from fasthep_parsl.plan import Plan, PlanSegment, PlanStage, PlanVariation
from fasthep_parsl.resources.units import counted


@dataclass(frozen=True)
class VariationRow:
    """A variation in the table of a plan.

    Attributes
    ----------
    variation : PlanVariation
        The variation.
    copies : int
        Stages that run once more for it.
    share : float
        The same, as a part of the nominal stages.
    weights : int
        Stages that fill its weight together with the nominal one.
    """

    variation: PlanVariation
    copies: int
    share: float
    weights: int

    @property
    def how(self) -> str:
        """What it costs."""
        if self.variation.replaces:
            pairs = (f"{other} for {name}" for name, other in self.variation.replaces.items())
            return ", ".join(pairs)
        parts = [f"{counted(self.copies, 'stage')} once more ({self.share:.0%})"] if self.copies else []
        parts += [counted(self.weights, "weight")] if self.weights else []
        return " · ".join(parts)


def nominal_stages(plan: Plan) -> list[PlanStage]:
    """Return the stages of a plan that are not copies for variations."""
    return [stage for stage in plan.stages if not stage.variation]


def variation_rows(plan: Plan) -> list[VariationRow]:
    """Return one row per variation, in the order of the plan."""
    number = len(nominal_stages(plan))
    rows = []
    for item in plan.variations:
        copies = sum(stage.variation == item.name and bool(stage.nominal) for stage in plan.stages)
        weights = sum(weight.variation == item.name for stage in plan.stages for weight in stage.weights)
        rows.append(VariationRow(item, copies, copies / number, weights))
    return rows


def datasets_of(item: PlanVariation | PlanStage, plan: Plan) -> str:
    """Return the datasets that vary, or for which a stage runs, for the tables."""
    if item.datasets is None or len(item.datasets) == len(plan.datasets):
        return "all"
    return " ".join(item.datasets) if len(item.datasets) <= 3 else f"{len(item.datasets)} of {len(plan.datasets)}"


def stages_of(segment: PlanSegment, plan: Plan) -> str:
    """Return the stages of a segment, and the number of copies for variations."""
    copies = {stage.id for stage in plan.stages if stage.variation}
    nominal = [name for name in segment.stages if name not in copies]
    more = len(segment.stages) - len(nominal)
    return " ".join([*nominal, *([f"+{more}" if nominal else f"{more} for variations"] if more else [])])
