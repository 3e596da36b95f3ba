"""Normalisation in a plan: luminosity and cross-section of a dataset, and its sums of generator weights."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from fasthep_parsl.plan.base import Frozen

SumMethod = Literal["data", "tree", "expr", "events", "manifest", "given", "none"]
"""Where a sum of generator weights comes from. ``data``: collisions, which have none; ``given``: the workflow states it;
``none``: it is not known."""

SUMS = "@sum_of_weights"
"""Id of the stage that sums weights over all events of the source. Workflows cannot name it."""


class PlanSum(Frozen):
    """A sum of generator weights that is known for some files together, and not for a part of them."""

    files: tuple[int, ...] = Field(
        (), description="positions in the files of the dataset; empty: events without a file"
    )
    events: int = Field(0, description="number of events before any selection; -1 if unknown")
    weight: float = Field(description="sum of their weights")
    square: float | None = Field(None, description="sum of their squared weights, if known")


class PlanNormalisation(Frozen):
    """How a dataset is normalised."""

    luminosity: float | None = Field(None, description="1/pb; None if the workflow asks for no normalisation")
    xsec: float | None = Field(None, description="pb; None for data")
    method: SumMethod = "none"
    source: str = Field("", description="what is summed, as the workflow names it: `Runs.genEventSumw`, `genWeight`")
    sums: tuple[PlanSum, ...] = Field((), description="the sums of `tree` and `manifest`, by file")
    why: str = Field("", description="why there is no sum; only if none is needed")


def cancelled(weight: float, square: float | None, events: int | None) -> str:
    """Return why a sum of weights cannot normalise anything; empty if it can.

    Weights of both signs may cancel. A sum that is smaller than its own statistical error, the root of the sum of
    squares, is no measure of how many events were generated.
    """
    if not math.isfinite(weight):
        return "its sum of weights is not finite"
    if events == 0 and weight == 0:
        return "it has no events"
    if weight <= 0:
        return f"its weights cancel: their sum is {weight:g}"
    if square is not None and events != 1 and weight < math.sqrt(square):
        return f"its weights cancel: their sum is {weight:g} ± {math.sqrt(square):g}"
    return ""
