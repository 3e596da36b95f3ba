"""Systematic variations in a plan: copies of stages, and weights that one stage fills together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from fasthep_parsl.plan.base import Frozen

Direction = Literal["up", "down", ""]
"""Direction of a variation; empty if it has no opposite."""


class PlanVariation(Frozen):
    """A systematic variation of the run."""

    name: str = Field(description="unique name; suffix of stages, columns and templates")
    group: str = Field(description="name of the nuisance parameter; variations up and down have the same")
    direction: Direction = ""
    datasets: tuple[str, ...] | None = Field(None, description="datasets that vary; None: all. The others are nominal")
    replaces: dict[str, str] = Field(
        default_factory=dict, description="dataset → dataset that takes its place in this variation"
    )


class PlanWeight(Frozen):
    """A variation of the weight of a stage that fills all of them in one call."""

    variation: str
    renames: dict[str, str] = Field(default_factory=dict, description="field of the weight → column of the stream")
    multiply: tuple[str, ...] = Field((), description="expressions that multiply the weight")
    datasets: tuple[str, ...] | None = Field(None, description="datasets that vary; None: all")


def substitutes(variations: Iterable[PlanVariation]) -> frozenset[str]:
    """Return the datasets that only take the place of others in variations: results have no category for them."""
    kinds = list(variations)
    replaced = {name for kind in kinds for name in kind.replaces}
    return frozenset(name for kind in kinds for name in kind.replaces.values() if name not in replaced)
