"""Normalisation at the end of a run: factors of what was processed, and what the manifests of skims say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fasthep_parsl.driver.segment_state import SegmentState
from fasthep_parsl.events import RunStatus
from fasthep_parsl.ops.targets import OP as WRITE
from fasthep_parsl.plan import SUMS, Plan
from fasthep_parsl.results.generic import write_generic
from fasthep_parsl.results.normalisation import Normalisation, normalisation, weight_sums
from fasthep_parsl.results.skims import with_skims
from fasthep_parsl.tasks import Span
from fasthep_parsl.worker.partials import load_products

Products = Mapping[tuple[str, str], Any]

__all__ = ["Normalisation", "accepted", "normalisation_of", "settled"]


def settled(
    plan: Plan, states: Sequence[SegmentState], products: Products, run_dir: Path
) -> tuple[Normalisation, dict[tuple[str, str], Any]]:
    """Return the factors of a run, and its products with complete manifests, which are written."""
    return normalisation_of(plan, states, products), _with_skimmed(plan, states, products, run_dir)


def accepted(found: Normalisation, status: RunStatus, error: str) -> tuple[RunStatus, str]:
    """Return status and error of a run. It is not complete if a dataset has no normalised results."""
    refused = found.refused()
    if status != "complete" or not refused:
        return status, error
    return "partial", "; ".join(refused)


def normalisation_of(plan: Plan, states: Sequence[SegmentState], products: Products) -> Normalisation:
    """Return the factors of a run. If `products` lacks the sums, they are read from their file."""
    return normalisation(plan, _done(states), {**_sums(states), **products})


def _with_skimmed(plan: Plan, states: Sequence[SegmentState], products: Products, run_dir: Path) -> dict[Any, Any]:
    """Return products with manifests that say what was skimmed, and write these manifests."""
    found = dict(products)
    done = _done(states)
    sums, summed = weight_sums(plan, done, {**_sums(states), **products})
    for segment in plan.segments:
        for stage in segment.products:
            key = (stage, "manifest")
            if plan.stage(stage).op == WRITE and key in products:
                found[key] = with_skims(products[key], stage, plan, done[segment.id], sums, summed)
                write_generic(found[key], run_dir / "results" / stage / "manifest.json")
    return found


def _done(states: Iterable[SegmentState]) -> dict[int, list[Span]]:
    """Return segment → the partitions in its products; none if they are not merged."""
    return {s.segment.id: s.done if s.product else [] for s in states if s.segment.scope == "partition"}


def _sums(states: Iterable[SegmentState]) -> dict[tuple[str, str], Any]:
    state = next((state for state in states if SUMS in state.segment.stages), None)
    if state is None or not state.has_product(SUMS):
        return {}
    return {(SUMS, "sums"): load_products(state.product)[SUMS]}
