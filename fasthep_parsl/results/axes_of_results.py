"""One histogram per stage, with axes for regions, datasets and variations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from typing import Any

from fasthep_parsl.ops.axes import NOMINAL, VARIATION_AXIS, Bins, add_histograms, book, systematic_axis
from fasthep_parsl.ops.products import DatasetHistograms, Histogram
from fasthep_parsl.results.families import Family, Place, ProductKey, product_of
from fasthep_parsl.results.scaling import Factors, factor_of, multiplied

INCLUSIVE = "inclusive"
"""Region of a stage that has regions, but fills all events, too."""


class HistogramOfStage:
    """Joins the histograms of a stage and its copies.

    Parameters
    ----------
    family : Family
        The stage.
    products : mapping
        (stage id, product name) → product. Those of the stage are `DatasetHistograms`.
    factors : mapping
        See `ResultRecipe`.
    """

    def __init__(self, family: Family, products: Mapping[ProductKey, Any], factors: Factors) -> None:
        self._family = family
        self._factors = factors
        self._regions = family.regions
        self._variations = ("", *family.kinds)
        self._products: dict[str, DatasetHistograms] = {
            copy.id: product
            for copy in family.copies.values()
            if (product := product_of(products, family, copy.id)) is not None
        }
        made = [part for product in self._products.values() for part in product.parts.values()]
        self._title = made[0].title if made else ""
        empty = [_empty(part.hist, made[0].hist.storage_type) for part in made]
        self._plain: Any = reduce(add_histograms, empty) if empty else None
        axes = [product.dataset_axis for product in self._products.values()]
        self._dataset_axis = axes[0] if axes else None
        self._categories = self._categories_of_datasets()

    def histogram(self) -> Histogram | None:
        """Return the histogram; None if there is no content at all."""
        if self._plain is None:
            return None
        names = [axis.name for axis in self._plain.axes]
        region, variation = free_name("region", names), systematic_axis(names)
        result = self._booked(region, variation)
        total = result.view(flow=True)
        for place, where in self._places():
            content = self._content(place)
            factor = factor_of(self._factors, place.stage, place.dataset)
            if content is not None and factor is not None:
                _add(total, where, multiplied(content, factor))
        none, nan = (self._lost(what) for what in ("none", "nan"))
        return Histogram(
            result,
            none,
            nan,
            self._title,
            region_axis=region if len(self._regions) > 1 or self._regions[0] else "",
            variation_axis=variation if len(self._variations) > 1 else "",
        )

    def _booked(self, region: str, variation: str) -> Any:
        """Return the empty histogram."""
        import hist

        axes = list(self._plain.axes)
        if self._regions != ("",):
            axes.append(hist.axis.StrCategory([name or INCLUSIVE for name in self._regions], name=region, label=region))
        if self._dataset_axis is not None:
            own = self._dataset_axis.axis
            given = own.model_copy(update={"bins": Bins(edges=self._categories)})
            (made,) = book((given,), "count").axes
            place = self._dataset_axis.position
            axes.insert(len(axes) if place is None else place, made)
        if len(self._variations) > 1:
            names = [name or NOMINAL for name in self._variations]
            axes.append(hist.axis.StrCategory(names, name=variation, label=variation))
        return hist.Hist(*axes, storage=self._storage())

    def _storage(self) -> Any:
        """Return the storage: sums of squares if a part has them, or if counts are multiplied by factors."""
        import hist

        kinds = {part.hist.storage_type.__name__ for p in self._products.values() for part in p.parts.values()}
        counts = not kinds.isdisjoint(("Int64", "AtomicInt64"))
        if "Weight" in kinds or (counts and not self._factors.keys().isdisjoint(self._products)):
            return hist.storage.Weight()
        return hist.storage.Double() if "Double" in kinds else hist.storage.Int64()

    def _places(self) -> Iterator[tuple[Place, tuple[Any, ...]]]:
        """Yield each content of the histogram: where it comes from, and its position."""
        for i, region in enumerate(self._regions):
            for dataset in self._family.datasets:
                for k, variation in enumerate(self._variations):
                    where: list[Any] = [slice(None)] * self._plain.ndim
                    where += [i] if self._regions != ("",) else []
                    if self._dataset_axis is not None:
                        place = self._dataset_axis.position
                        number = self._categories.index(dataset) if dataset in self._categories else None
                        bin_of = len(self._categories) if number is None else number  # else: the overflow
                        where.insert(len(where) if place is None else place, bin_of)
                    where += [k] if len(self._variations) > 1 else []
                    yield self._family.place(region, dataset, variation), tuple(where)

    def _content(self, place: Place) -> Any:
        """Return the content at a place with the categories of the result; None if there is none."""
        product = self._products.get(place.stage)
        part = product.parts.get(place.dataset) if product is not None else None
        if part is None:
            return None
        view = part.hist.view(flow=True)
        if has_weights(part.hist):
            view = view[..., list(part.hist.axes[-1]).index(place.weight or NOMINAL)]
        if not any(axis.traits.growth for axis in self._plain.axes):
            return view
        own = _empty(part.hist)
        own.view(flow=True)[...] = view
        return add_histograms(_empty(self._plain, own.storage_type), own).view(flow=True)

    def _categories_of_datasets(self) -> tuple[str, ...]:
        """Return the categories of the axis of datasets, without those that only take the place of others."""
        if self._dataset_axis is None:
            return ()
        given = tuple(str(category) for category in self._dataset_axis.axis.categories)
        return tuple(name for name in given if name not in self._family.substitutes)

    def _lost(self, what: str) -> int:
        """Return the entries that are not filled: those of the stage, and what its copies lose beyond them."""
        total = 0
        for region in self._regions:
            counts = {
                variation: sum(getattr(part, what) for part in self._products[copy.id].parts.values())
                for (own, variation), copy in self._family.copies.items()
                if own == region and copy.id in self._products
            }
            nominal = counts.pop("", 0)
            total += nominal + sum(max(0, count - nominal) for count in counts.values())
        return total


def has_weights(hist: Any) -> bool:
    """Whether the last axis of a part is that of weight variations."""
    return bool(hist.ndim > 1 and hist.axes[-1].name == VARIATION_AXIS)


def free_name(name: str, taken: list[str]) -> str:
    """Return `name`, with underscores if an axis has it already."""
    while name in taken:
        name += "_"
    return name


def _empty(hist: Any, storage: Any = None) -> Any:
    """Return an empty histogram with the axes of the workflow only."""
    axes = hist.axes[:-1] if has_weights(hist) else hist.axes
    return type(hist)(*axes, storage=(storage or hist.storage_type)())


def _add(total: Any, where: tuple[Any, ...], content: Any) -> None:
    """Add content to a part of a histogram. Counts are sums of weights of 1."""
    if total.dtype.names is None:
        total[where] += content
        return
    for name in total.dtype.names:
        total[name][where] += content if content.dtype.names is None else content[name]
