"""Merged products of a run, and how they become results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fasthep_parsl.driver.normalised import Normalisation, Products, normalisation_of
from fasthep_parsl.driver.segment_state import SegmentState
from fasthep_parsl.plan import Plan
from fasthep_parsl.results import ResultRecipe, read_products, recipe_of


def product_files(states: Sequence[SegmentState]) -> list[str]:
    """Return the files with the merged products of segments."""
    return [state.product for state in states if state.product]


def product_names(plan: Plan) -> dict[str, str]:
    """Return stage id → name of its product."""
    return {stage.id: stage.product for stage in plan.stages}


def products_of(plan: Plan, states: Sequence[SegmentState]) -> dict[tuple[str, str], Any]:
    """Return (stage id, product name) → merged product, copies of stages too."""
    return read_products(product_files(states), product_names(plan), plan.datasets)


def recipe_for(plan: Plan, states: Sequence[SegmentState], products: Products | None = None) -> ResultRecipe:
    """Return how the products become results, normalised over exactly what was processed."""
    return recipe_of(plan, normalisation_of(plan, states, products or {}))


def write_templates(plan: Plan, products: Products, normalisation: Normalisation, run_dir: Path) -> list[str]:
    """Write the templates of the plan to ``results/``; return what is odd about them."""
    from fasthep_parsl.results.fit_files import write_fit_files

    factors = {stage: normalisation.values(stage) for stage in normalisation.stages}
    return write_fit_files(plan, products, run_dir / "results", factors, plan.extent)
