"""Systematic variations: copies of the stages that a variation reaches. Pure.

The value of field ``f`` in variation ``v`` is the column ``f@v``. A stage is *reached* by a variation if it reads a field
that varies, or follows a stage that it reaches. There are three ways to compute it:

- The variation changes only the weight of a histogram: the stage fills all of its weights in one call.
- The stage keeps all events: a copy adds the columns ``g@v`` to the same stream, directly after the stage. Stages that
  the variation does not reach stay shared.
- Otherwise the events may differ: a copy begins a *fork*, a stream of its own with plain names. All stages after it are
  copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fasthep_parsl.analysis_code.modules import OpTable
from fasthep_parsl.compiler.fields import Flow
from fasthep_parsl.compiler.inputs import Inputs
from fasthep_parsl.compiler.stages import CheckedStage
from fasthep_parsl.compiler.variation_copies import Copier
from fasthep_parsl.compiler.variation_model import Copies
from fasthep_parsl.compiler.variation_order import in_order, trimmed
from fasthep_parsl.compiler.variation_sources import Systematic, find_systematics
from fasthep_parsl.compiler.variation_unread import without_unread
from fasthep_parsl.errors import Checked, Problem
from fasthep_parsl.plan import PlanVariation
from fasthep_parsl.workflow.loader import LoadedWorkflow
from fasthep_parsl.workflow.yamldoc import Document, problem


@dataclass(frozen=True)
class Varied:
    """The stages of a workflow with their copies.

    Attributes
    ----------
    stages : tuple of CheckedStage
        In an order in which they can run; the copies of one variation after each other.
    flow : Flow
        Their fields.
    variations : tuple of PlanVariation
        All variations.
    like : mapping
        Stage that the compiler has added → stage of the workflow whose pool it uses.
    warnings : tuple of str
        What does not vary, although it would.
    """

    stages: tuple[CheckedStage, ...]
    flow: Flow
    variations: tuple[PlanVariation, ...] = ()
    like: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def expand_variations(
    loaded: LoadedWorkflow, stages: tuple[CheckedStage, ...], flow: Flow, inputs: Inputs, table: OpTable
) -> Checked[Varied]:
    """Add the copies of stages that compute the variations of a workflow.

    Parameters
    ----------
    loaded : LoadedWorkflow
        The workflow.
    stages : tuple of CheckedStage
        Its stages, without mistakes.
    flow : Flow
        Their fields.
    inputs : Inputs
        The input files.
    table : OpTable
        All ops.
    """
    found = find_systematics(loaded, stages, flow, inputs)
    if not found.value.items:
        return Checked(Varied(stages, flow, warnings=found.value.warnings), found.problems)
    copier = Copier(stages, flow, found.value.items, table, loaded.document)
    copies = copier.run()
    problems = [*found.problems, *copies.problems]
    if not problems:
        problems = _without_effect(found.value.items, copies, loaded.document)
    ordered = without_unread(in_order(copies), copies.flow)
    return Checked(
        Varied(
            trimmed(ordered, copies.flow),
            copies.flow,
            tuple(_planned(item) for item in found.value.items),
            copies.like,
            (*found.value.warnings, *_nominal_only(copies)),
        ),
        tuple(problems),
    )


def _planned(item: Systematic) -> PlanVariation:
    return PlanVariation(
        name=item.name,
        group=item.group,
        direction=item.direction,
        datasets=item.datasets,
        replaces=dict(item.replaces),
    )


def _without_effect(items: Iterable[Systematic], copies: Copies, document: Document) -> list[Problem]:
    """Return a problem for each variation of the section that reaches no stage with a result."""
    reached = {item.variation for item in copies.items if item.variation and item.op.product}
    reached |= {weight.variation for item in copies.items for weight in item.weights}
    found = []
    for item in items:
        if item.path and item.name not in reached and not item.replaces and item.datasets != ():
            what = "no stage with a result reads what it changes"
            if item.multiply and not item.fields:
                what = "no histogram or cutflow has a weight that it could multiply"
            message = f"variation `{item.name}` changes nothing: {what}"
            found.append(problem(document, item.path, "E129", message, "remove it, or correct what it replaces"))
    return found


def _nominal_only(copies: Copies) -> list[str]:
    """Warn of stages that see nominal events only, though variations reach them."""
    return [
        f"stage `{stage}` is nominal only: {_named(names)} would change what it reads"
        for stage, names in copies.nominal_only.items()
    ] + [
        f"stage `{stage}` takes the nominal product of `{bound}`, which {_named(names)} would change through its weights"
        for (stage, bound), names in copies.nominal_inputs.items()
    ]


def _named(names: list[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:3])
    return f"variation{'s' if len(names) > 1 else ''} {shown}" + (f" and {len(names) - 3} more" if names[3:] else "")
