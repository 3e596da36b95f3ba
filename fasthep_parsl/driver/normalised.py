"""Normalisation at the end of a run: factors of what was processed, and what the manifests of skims say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fasthep_parsl.driver.lumi_files import write_lumis
from fasthep_parsl.driver.segment_state import SegmentState
from fasthep_parsl.events import RunStatus
from fasthep_parsl.ops.targets import OP as WRITE
from fasthep_parsl.plan import SUMS, Plan
from fasthep_parsl.results.generic import write_generic
from fasthep_parsl.results.lumi_accounting import LumiAccount
from fasthep_parsl.results.normalisation import Normalisation, normalisation, weight_sums
from fasthep_parsl.results.skims import with_skims
from fasthep_parsl.tasks import Span
from fasthep_parsl.worker.partials import load_products

Products = Mapping[tuple[str, str], Any]


@dataclass(frozen=True)
class Settled:
    """What a run knows at its end about normalisation and luminosity.

    Attributes
    ----------
    normalisation : Normalisation
        The factors.
    lumis : LumiAccount or None
        Luminosity sections of data; None without a mask.
    products : mapping
        The products, with manifests that say what was skimmed.
    luminosity : bool
        Whether the workflow asks for normalisation.
    """

    normalisation: Normalisation = field(default_factory=Normalisation)
    lumis: LumiAccount | None = None
    products: Mapping[tuple[str, str], Any] = field(default_factory=dict)
    luminosity: bool = False

    def accepted(self, status: RunStatus, error: str) -> tuple[RunStatus, str]:
        """Return status and error of a run. It is not complete if a dataset has no true result."""
        foreign = self.lumis.foreign if self.lumis is not None else ()
        refused = [
            *self.normalisation.refused(),
            *(f"no run of dataset `{name}` is certified: is the file of another year?" for name in foreign),
        ]
        return ("partial", "; ".join(refused)) if status == "complete" and refused else (status, error)

    def add_to(self, content: dict[str, Any]) -> None:
        """Add to the content of ``run.json``."""
        content["normalisation"] = self.normalisation.summary()
        if self.lumis is not None:
            content["luminosity_sections"] = self.lumis.summary()
            content["warnings"] += self.lumis.warnings(luminosity=self.luminosity)
        if content["status"] != "complete":  # else they are its error
            content["warnings"] += [line for line in self.normalisation.refused() if line not in content["error"]]


def settled(
    plan: Plan, states: Sequence[SegmentState], products: Products, run_dir: Path, found: Normalisation
) -> Settled:
    """Return what is known at the end of a run, with the factors `found`. Write manifests and luminosity sections."""
    asked = any(dataset.normalisation.luminosity for dataset in plan.datasets)
    lumis = write_lumis(plan, _done(states), products, run_dir)
    return Settled(found, lumis, _with_skimmed(plan, states, products, run_dir), asked)


def normalisation_of(plan: Plan, states: Sequence[SegmentState]) -> Normalisation:
    """Return the factors of a run."""
    return normalisation(plan, _done(states), _sums(states))


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
