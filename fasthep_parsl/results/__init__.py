"""Write the products of a run to files: histograms, plots, cutflows and others. Heavy imports are made when needed."""

from __future__ import annotations

from fasthep_parsl.results.assembled import RAW, ResultRecipe, assemble, recipe_of
from fasthep_parsl.results.axis_ranges import range_warnings
from fasthep_parsl.results.cutflows import cutflow_table
from fasthep_parsl.results.plot_recipe import PlotRecipe
from fasthep_parsl.results.write import preload, read_products, write_numbers_of, write_plots, write_results

__all__ = [
    "RAW",
    "PlotRecipe",
    "ResultRecipe",
    "assemble",
    "cutflow_table",
    "preload",
    "range_warnings",
    "read_products",
    "recipe_of",
    "write_numbers_of",
    "write_plots",
    "write_results",
]
