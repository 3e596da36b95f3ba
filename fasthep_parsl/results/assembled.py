"""Assemble what a run has merged: one histogram and one cutflow per stage of the workflow, normalised.

Copies of a stage for regions and variations become categories of its axes `region` and `variation`. What a variation does
not apply to counts with its nominal content, so that the sum over datasets is the total in each variation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fasthep_parsl.interfaces import DatasetInfo
from fasthep_parsl.ops.products import Cutflow, DatasetHistograms, Rows
from fasthep_parsl.plan import Plan, PlanPicture, PlanStage, PlanVariation
from fasthep_parsl.results.axes_of_results import HistogramOfStage
from fasthep_parsl.results.families import Family, Place, ProductKey, families, product_of
from fasthep_parsl.results.normalisation import Normalisation
from fasthep_parsl.results.plot_recipe import PlotRecipe, total_luminosity
from fasthep_parsl.results.scaling import Factors, factor_of, scaled_row

RAW = "-raw"
"""Suffix of the name of a product before normalisation."""


@dataclass(frozen=True)
class ResultRecipe:
    """How the products of a run become results.

    Attributes
    ----------
    datasets : tuple of DatasetInfo
        Datasets of the run, in the order of the plan.
    stages : tuple of PlanStage
        Stages with a product, copies too.
    variations : tuple of PlanVariation
        The systematic variations.
    factors : mapping
        Stage or copy → dataset → normalisation factor, None if it is not known: the dataset is left out. Stages that are
        not in it are not normalised.
    pictures : tuple of PlanPicture
        Styles of plots.
    luminosity : float or None
        Integrated luminosity of all eras, 1/pb.
    extent : str
        Which events the results are of, if not of all; see `Plan.extent`.
    """

    datasets: tuple[DatasetInfo, ...] = ()
    stages: tuple[PlanStage, ...] = ()
    variations: tuple[PlanVariation, ...] = ()
    factors: Factors = field(default_factory=dict)
    pictures: tuple[PlanPicture, ...] = ()
    luminosity: float | None = None
    extent: str = ""

    def plots(self, results: Mapping[ProductKey, Any]) -> PlotRecipe:
        """Return how results are drawn."""
        normalised = frozenset(stage for stage, name in results if name.endswith(RAW))
        return PlotRecipe(self.datasets, self.variations, self.pictures, self.luminosity, normalised, self.extent)


def recipe_of(plan: Plan, normalisation: Normalisation) -> ResultRecipe:
    """Return how the products of a plan become results."""
    return ResultRecipe(
        tuple(DatasetInfo(d.name, d.eventtype, d.group, d.meta, d.era) for d in plan.datasets),
        tuple(stage for stage in plan.stages if stage.product),
        plan.variations,
        {
            stage: {name: factor.value for name, factor in factors.items()}
            for stage, factors in normalisation.stages.items()
        },
        plan.pictures,
        total_luminosity(plan),
        plan.extent,
    )


def assemble(products: Mapping[ProductKey, Any], recipe: ResultRecipe) -> dict[ProductKey, Any]:
    """Return the results of a run.

    Parameters
    ----------
    products : mapping
        (stage id, product name) → product, as the run has merged them: copies have ids of their own.
    recipe : ResultRecipe
        How they belong together.

    Returns
    -------
    dict
        (stage of the workflow, name) → result. What is normalised has its raw content under ``<name>-raw``. Products of
        copies that are neither histograms of ``hep.hist`` nor cutflows have the name ``<name>@<region>@<variation>``.
    """
    found: dict[ProductKey, Any] = {}
    for family in families(recipe):
        found.update(_assembled(family, products, recipe))
    known = {stage.id for stage in recipe.stages}
    return {**found, **{key: product for key, product in products.items() if key[0] not in known}}


def _assembled(
    family: Family, products: Mapping[ProductKey, Any], recipe: ResultRecipe
) -> Iterator[tuple[ProductKey, Any]]:
    """Yield the results of a stage."""
    own = {copy.id: product_of(products, family, copy.id) for copy in family.copies.values()}
    own = {stage: product for stage, product in own.items() if product is not None}
    kinds = {type(product) for product in own.values()}
    stage, name = family.key
    normalised = not recipe.factors.keys().isdisjoint(own)
    if kinds == {DatasetHistograms}:
        made = HistogramOfStage(family, products, recipe.factors).histogram()
        if made is not None:
            yield family.key, made
        if made is not None and normalised:
            yield (stage, name + RAW), HistogramOfStage(family, products, {}).histogram()
    elif kinds == {Cutflow} and len(family.regions) == 1:
        yield family.key, _cutflow(family, products, recipe.factors)
        if normalised:
            yield (stage, name + RAW), _cutflow(family, products, {})
    else:
        for copy in family.copies.values():
            if copy.id in own:
                yield (stage, "@".join(filter(None, (name, copy.region, copy.variation)))), own[copy.id]


def _cutflow(family: Family, products: Mapping[ProductKey, Any], factors: Factors) -> Cutflow:
    """Return a cutflow with a column per variation."""
    region = family.regions[0]
    nominal = _rows(family, products, region, "", factors)
    variations = {name: _rows(family, products, region, name, factors) for name in family.kinds}
    own = [product_of(products, family, copy.id) for copy in family.copies.values()]
    tables = [product for product in own if product is not None]
    normalised = any(copy.id in factors for copy in family.copies.values())
    return Cutflow(
        nominal,
        weighted=normalised or any(table.weighted for table in tables),
        nan=_nan(family, products),
        variations=variations if any(variations.values()) else {},
    )


def _rows(family: Family, products: Mapping[ProductKey, Any], region: str, variation: str, factors: Factors) -> Rows:
    """Return dataset → rows in a variation, nominal ones where it does not apply."""
    found: Rows = {}
    for dataset in family.datasets:
        place = family.place(region, dataset, variation)
        table = product_of(products, family, place.stage)
        rows = () if table is None else _of_place(table, place)
        factor = factor_of(factors, place.stage, place.dataset)
        if rows and factor is not None:
            found[dataset] = tuple(scaled_row(row, factor) for row in rows)
    return found


def _of_place(table: Cutflow, place: Place) -> Any:
    return (table.variations.get(place.weight, {}) if place.weight else table.rows).get(place.dataset, ())


def _nan(family: Family, products: Mapping[ProductKey, Any]) -> int:
    """Return the events that no sum contains: of the stage itself, and what its copies lose beyond that."""
    counts: dict[str, int] = {
        copy.variation: product.nan
        for copy in family.copies.values()
        if (product := product_of(products, family, copy.id)) is not None
    }
    nominal = counts.get("", 0)
    return nominal + sum(max(0, count - nominal) for variation, count in counts.items() if variation)
