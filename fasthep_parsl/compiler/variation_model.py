"""What the copies of stages are made of; see `fasthep_parsl.compiler.variation_expansion`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from fasthep_parsl.compiler.fields import Flow
from fasthep_parsl.compiler.stages import CheckedStage
from fasthep_parsl.errors import Problem

Way = Literal["", "skipped", "nominal", "weight", "splice", "fork"]
"""How a stage is computed in a variation; empty: it is not reached."""


@dataclass(frozen=True)
class VariedPlace:
    """Where a variation is after a stage.

    Attributes
    ----------
    stage : str
        Stage whose stream has the variation; empty for the source.
    columns : mapping
        Field → column of this stream with its value in the variation.
    forked : bool
        Whether the stream belongs to the variation alone.
    changed : frozenset of str
        Fields of a fork that may differ from the nominal ones.
    base : str
        Nominal stage after which the fork begins.
    """

    stage: str
    columns: Mapping[str, str] = field(default_factory=dict)
    forked: bool = False
    changed: frozenset[str] = frozenset()
    base: str = ""


@dataclass
class Copies:
    """Stages with copies, in no order.

    Attributes
    ----------
    items : list of CheckedStage
        The stages and their copies, stages that replace fields included.
    flow : Flow
        Their fields.
    after : dict
        Nominal stage ("" for the source) → variation → copies that run directly after it.
    like : dict
        Stage that replaces fields → stage of the workflow where it runs.
    nominal_only : dict
        Stage that does not vary → the variations that reach it.
    nominal_inputs : dict
        Stage, bound stage → variations of the weights of the bound stage, whose product is nominal for the stage.
    problems : list of Problem
        Mistakes.
    """

    items: list[CheckedStage] = field(default_factory=list)
    flow: Flow = field(default_factory=Flow)
    after: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    like: dict[str, str] = field(default_factory=dict)
    nominal_only: dict[str, list[str]] = field(default_factory=dict)
    nominal_inputs: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
