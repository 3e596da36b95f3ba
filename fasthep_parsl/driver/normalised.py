"""Normalisation at the end of a run: factors of what was processed, and what the manifests of skims say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fasthep_parsl.driver.lumi_files import write_lumis
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
    """Return the factors of a run, and its products with complete manifests, which are written with the lumi sections."""
    lumis = write_lumis(plan, _done(states), products, run_dir)
    found = replace(normalisation_of(plan, states, products), lumis=lumis)
    return found, _with_skimmed(plan, states, products, run_dir)


def accepted(found: Normalisation, status: RunStatus, error: str) -> tuple[RunStatus, str]:
    """Return status and error of a run. It is not complete if a dataset has no true result."""
    refused = found.refused()
    if status != "complete" or not refused:
        return status, error
    return "partial", "; ".join(refused)


def normalisation_of(plan: Plan, states: Sequence[SegmentState], products: Products) -> Normalisation:
    """Return the factors of a run. If `products` lacks the sums, they are read from their file."""
    return normalisation(plan, _done(states), products if (SUMS, "sums") in products else _sums(states))


def _with_skimmed(plan: Plan, states: Sequence[SegmentState], products: Products, run_dir: Path) -> dict[Any, Any]:
    """Return products with manifests that say what was skimmed, and write these manifests."""
    found = dict(products)
    done = _done(states)
    sums, summed = weight_sums(plan, done, {**_sums(states), **products})
    for segment in plan.segments:
        for stage in segment.products:
            key = (stage, "manifest")
            if plan.stage(stage).op == WRITE and key in products:
                found[key] = with_skims(products[key], stage, plan, done.get(segment.id, ()), sums, summed)
                write_generic(found[key], run_dir / "results" / stage / "manifest.json")
    return found


def _done(states: Iterable[SegmentState]) -> dict[int, list[Span]]:
    """Return segment of scope partition → the partitions in its products, for those that have merged products."""
    return {s.segment.id: s.done for s in states if s.segment.scope == "partition" and s.product}


def _sums(states: Iterable[SegmentState]) -> dict[tuple[str, str], Any]:
    state = next((state for state in states if SUMS in state.segment.stages), None)
    if state is None or not state.has_product(SUMS):
        return {}
    return {(SUMS, "sums"): load_products(state.product)[SUMS]}
