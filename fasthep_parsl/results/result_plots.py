"""Which plots there are of the results of a run, with their names and what each needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fasthep_parsl.ops.products import Cutflow, Histogram
from fasthep_parsl.plan.styles import PictureFormat
from fasthep_parsl.results.assembled import RAW
from fasthep_parsl.results.families import ProductKey
from fasthep_parsl.results.histograms import as_histogram, slices
from fasthep_parsl.results.plot_recipe import Drawing, PlotRecipe


@dataclass(frozen=True)
class ResultPlot:
    """A plot of a histogram in one region, or of a cutflow.

    Attributes
    ----------
    key : ProductKey
        (stage of the workflow, name) of the result.
    file : str
        Path below the folder of plots, without suffix.
    result : Histogram or Cutflow
        What is drawn; of a histogram only the region.
    drawing : Drawing
        Datasets, variations and style.
    formats : sequence of str
        ``png``, ``pdf``, ``svg``.
    """

    key: ProductKey
    file: str
    result: Histogram | Cutflow
    drawing: Drawing
    formats: Sequence[PictureFormat]


def result_plots(results: Mapping[ProductKey, Any], recipe: PlotRecipe) -> Iterator[ResultPlot]:
    """Yield the plots of all histograms and cutflows, one per region.

    Parameters
    ----------
    results : mapping
        (stage of the workflow, name) → result; see `assemble`.
    recipe : PlotRecipe
        How they are drawn.
    """
    shown = plain_results(results)
    histograms = {key: result for key, result in shown.items() if isinstance(result, Histogram)}
    names = {**short_names(shown), **short_names(histograms)}
    for key, result in shown.items():
        picture = recipe.picture(key[0])
        name = names[key].replace(":", "-")
        name = picture.name + name.removeprefix(key[0]) if picture.name else name
        drawing = Drawing(recipe, picture.style, normalised=key[0] in recipe.normalised)
        if isinstance(result, Cutflow):
            yield ResultPlot(key, name, result, drawing, picture.formats)
            continue
        for region, hist in slices(result.hist, result.region_axis):
            file = "@".join(filter(None, (name, region)))
            part = replace(result, hist=hist)
            yield ResultPlot(key, file, part, replace(drawing, region=region), picture.formats)


def plain_results(results: Mapping[ProductKey, Any]) -> dict[ProductKey, Histogram | Cutflow]:
    """Return the histograms and cutflows of a run, without those before normalisation."""
    kinds = {key: as_histogram(result) or result for key, result in results.items() if not key[1].endswith(RAW)}
    return {key: result for key, result in kinds.items() if isinstance(result, Histogram | Cutflow)}


def short_names(keys: Mapping[ProductKey, Any]) -> dict[ProductKey, str]:
    """Return ``<stage>`` for the only histogram of a stage, ``<stage>:<name>`` for one of several."""
    count = Counter(stage for stage, _ in keys)
    return {(stage, name): stage if count[stage] == 1 else f"{stage}:{name}" for stage, name in keys}
