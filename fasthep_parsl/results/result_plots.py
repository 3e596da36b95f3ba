"""Which plots there are of the results of a run, with their names and what each needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fasthep_parsl.interfaces import DatasetInfo
from fasthep_parsl.ops.products import Cutflow, Histogram
from fasthep_parsl.plan import PlanPicture
from fasthep_parsl.plan.styles import PictureFormat, ProjectionStyle
from fasthep_parsl.results.assembled import RAW
from fasthep_parsl.results.families import ProductKey
from fasthep_parsl.results.histograms import as_histogram, dataset_axis, slices
from fasthep_parsl.results.plot_contents import variation_axis
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
        for picture in recipe.pictures_of(key[0]):
            name = names[key].replace(":", "-")
            name = picture.name + name.removeprefix(key[0]) if picture.name else name
            yield from _drawn_as(
                picture, ResultPlot(key, name, result, _drawing(key, picture, recipe), picture.formats)
            )


def _drawing(key: ProductKey, picture: PlanPicture, recipe: PlotRecipe) -> Drawing:
    return Drawing(recipe, picture.style, normalised=key[0] in recipe.normalised)


def _drawn_as(picture: PlanPicture, plot: ResultPlot) -> Iterator[ResultPlot]:
    """Yield a plot of a result for each of its regions, projected if the style says so."""
    result = plot.result
    if isinstance(result, Cutflow):
        yield plot
        return
    if picture.style.project is not None:
        result = projected(result, picture.style.project, plot.drawing.recipe.datasets)
    for region, hist in slices(result.hist, result.region_axis):
        file = "@".join(filter(None, (plot.file, region)))
        yield replace(plot, file=file, result=replace(result, hist=hist), drawing=replace(plot.drawing, region=region))


def projected(histogram: Histogram, style: ProjectionStyle, datasets: Sequence[DatasetInfo]) -> Histogram:
    """Return a histogram of one axis, and of those of datasets, regions and variations; without that axis, all of it."""
    hist = histogram.hist
    if style.axis not in [axis.name for axis in hist.axes]:  # of an op of the user, or of the style `default`
        return histogram
    position = dataset_axis(hist, datasets)
    names = [axis.name for axis in hist.axes]
    varied = variation_axis(histogram, position)
    outer = {histogram.region_axis, *(() if varied is None else (names[varied],))}
    outer |= {names[position]} if position is not None and style.keep_dataset else set()
    kept = [name for name in names if name in outer or name == style.axis]
    return replace(histogram, hist=hist.project(*kept))


def plain_results(results: Mapping[ProductKey, Any]) -> dict[ProductKey, Histogram | Cutflow]:
    """Return the histograms and cutflows of a run, without those before normalisation."""
    kinds = {key: as_histogram(result) or result for key, result in results.items() if not key[1].endswith(RAW)}
    return {key: result for key, result in kinds.items() if isinstance(result, Histogram | Cutflow)}


def short_names(keys: Mapping[ProductKey, Any]) -> dict[ProductKey, str]:
    """Return ``<stage>`` for the only histogram of a stage, ``<stage>:<name>`` for one of several."""
    count = Counter(stage for stage, _ in keys)
    return {(stage, name): stage if count[stage] == 1 else f"{stage}:{name}" for stage, name in keys}
