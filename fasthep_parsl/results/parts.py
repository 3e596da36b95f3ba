"""Histograms of a run, one per stage, region, dataset and variation: what templates are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fasthep_parsl.ops.axes import NOMINAL, VARIATION_AXIS
from fasthep_parsl.ops.products import DatasetHistograms, Histogram
from fasthep_parsl.results.families import Family, Place, ProductKey, ResultLayout, families, product_of
from fasthep_parsl.results.scaling import Factors, factor_of, scaled


@dataclass(frozen=True, slots=True)
class HistogramPart:
    """A histogram of one dataset.

    Attributes
    ----------
    stage : str
        Id of the stage in the workflow.
    region : str
        Empty if the stage has no regions.
    dataset : str
        The dataset, as categories of results name it.
    variation : str
        Empty: nominal.
    histogram : Histogram
        With the axes of the workflow only.
    source : str
        The dataset whose events are in it: another one if the variation replaces `dataset`.
    """

    stage: str
    region: str
    dataset: str
    variation: str
    histogram: Histogram
    source: str


def parts(
    layout: ResultLayout, products: Mapping[ProductKey, Any], factors: Factors | None = None
) -> Iterator[HistogramPart]:
    """Yield the histograms of all stages, for each region and dataset the nominal one first.

    Variations that do not apply to a dataset, and datasets without events of a stage, are left out.

    Parameters
    ----------
    layout : ResultLayout
        The plan. Its histograms are kept apart (`Plan.apart`); others are left out.
    products : mapping
        (stage id, product name) → product, as the run has merged them: copies have ids of their own.
    factors : mapping, optional
        Stage or copy → dataset → normalisation factor. Contents are multiplied by it, sums of squares by its square.
        Datasets whose factor is None are left out. Default: none.
    """
    for family in families(layout):
        for region in family.regions:
            for dataset in family.datasets:
                for variation in ("", *family.kinds):
                    place = family.place(region, dataset, variation)
                    if variation and not place.applies:
                        continue
                    histogram = histogram_at(family, products, place)
                    factor = factor_of(factors or {}, place.stage, place.dataset)
                    if histogram is not None and factor is not None:
                        made = scaled(histogram, factor)
                        yield HistogramPart(family.stage, region, dataset, variation, made, place.dataset)


def histogram_at(family: Family, products: Mapping[ProductKey, Any], place: Place) -> Histogram | None:
    """Return the histogram at a place, with the axes of the workflow; None if there is none."""
    product = product_of(products, family, place.stage)
    if not isinstance(product, DatasetHistograms):
        return None
    part = product.parts.get(place.dataset)
    if part is None:
        return None
    axes = part.hist.axes
    if not len(axes) or axes[-1].name != VARIATION_AXIS:
        return part
    number = list(axes[-1]).index(place.weight or NOMINAL)
    return replace(part, hist=part.hist[{len(axes) - 1: number}])
