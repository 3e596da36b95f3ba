"""The results of a run: products, normalised and assembled, and their files."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from fasthep_parsl.driver.normalised import Normalisation, settled
from fasthep_parsl.driver.run_products import product_files, product_names, products_of, recipe_for, write_templates
from fasthep_parsl.driver.segment_state import SegmentState
from fasthep_parsl.interfaces import Session
from fasthep_parsl.plan import Plan
from fasthep_parsl.results import assemble, range_warnings, write_numbers_of, write_plots, write_results


class RunResults:
    """The results of a run.

    Parameters
    ----------
    plan : Plan
        The plan.
    path : Path
        The run directory.
    plots : bool
        Whether to draw histograms.

    Attributes
    ----------
    products : dict
        (stage, product) → merged product, copies of stages too.
    results : dict
        (stage of the workflow, product) → result, as it is written.
    normalisation : Normalisation
        How datasets were normalised.
    fit_notes : list of str
        What fit tools should know about the templates.
    range_notes : list of str
        Axes of histograms that hold nothing.
    """

    def __init__(self, plan: Plan, path: Path, *, plots: bool) -> None:
        self.plan = plan
        self.path = path
        self.plots = plots
        self.products: dict[tuple[str, str], Any] = {}
        self.results: dict[tuple[str, str], Any] = {}
        self.normalisation = Normalisation()
        self.fit_notes: list[str] = []
        self.range_notes: list[str] = []
        self._written = False

    def write_beside(self, session: Session, states: list[SegmentState]) -> None:
        """Let a worker, which has imported the libraries, write the numbers while this process draws the plots."""
        pool = next((state.segment.pool for state in states if state.product), "")
        if not pool or not self.plan.pool(pool).shared:  # the worker cannot write here
            return
        recipe = recipe_for(self.plan, states)
        files = (product_files(states), product_names(self.plan), self.path)
        numbers = session.call(pool, write_numbers_of, *files, recipe)
        if self.plots:
            self.products = products_of(self.plan, states)
            results = assemble(self.products, recipe)
            write_plots(results, self.path / "plots", recipe.plots(results))
        with contextlib.suppress(Exception):  # if the worker is lost, the driver writes them
            numbers.result()
            self._written = True

    def write(self, states: list[SegmentState]) -> None:
        """Write the products of complete segments. Partial products of an interrupted run stay in ``work``."""
        if not self.products:
            self.products = products_of(self.plan, states)
        recipe = recipe_for(self.plan, states, self.products)
        if self.products and not self._written:
            write_results(self.products, self.path, plots=self.plots, recipe=recipe)
        self.normalisation, self.products = settled(self.plan, states, self.products, self.path)
        self.results = assemble(self.products, recipe)
        self.range_notes = range_warnings(self.results)
        if self.plan.templates is not None and self.products:
            self.fit_notes = write_templates(self.plan, self.products, self.normalisation, self.path)
