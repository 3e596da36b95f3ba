"""Stages of a workflow with their copies for regions and variations, and which of them holds what of a dataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from fasthep_parsl.plan import PlanStage, PlanVariation, substitutes

ProductKey = tuple[str, str]
"""(stage id, product name)."""


class Named(Protocol):
    """A dataset."""

    @property
    def name(self) -> str:
        """Its name."""


class ResultLayout(Protocol):
    """What the assembly of results needs of a plan; a `Plan` is one."""

    @property
    def stages(self) -> Sequence[PlanStage]:
        """All stages, copies too."""

    @property
    def variations(self) -> Sequence[PlanVariation]:
        """The systematic variations."""

    @property
    def datasets(self) -> Sequence[Named]:
        """The datasets, in the order of the plan."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the content of a dataset in a variation is.

    Attributes
    ----------
    stage : str
        The stage or copy whose product holds it.
    weight : str
        Weight variation of the product; empty: its nominal content.
    dataset : str
        The dataset whose events are in it: a variation may replace one dataset by another.
    applies : bool
        Whether the variation applies to the dataset. Otherwise the content is the nominal one.
    """

    stage: str
    weight: str
    dataset: str
    applies: bool


@dataclass(frozen=True)
class Family:
    """A stage of the workflow, with its copies.

    Attributes
    ----------
    stage : str
        Id in the workflow.
    product : str
        Name of the product.
    copies : dict
        (region, variation) → stage or copy. Both are empty for the stage itself.
    kinds : dict
        Name → variation, for those that reach it.
    datasets : tuple of str
        Datasets that are categories of results.
    substitutes : frozenset of str
        Datasets that only take the place of others in variations. They are no categories.
    """

    stage: str
    product: str
    copies: Mapping[tuple[str, str], PlanStage]
    kinds: Mapping[str, PlanVariation] = field(default_factory=dict)
    datasets: tuple[str, ...] = ()
    substitutes: frozenset[str] = frozenset()

    @property
    def key(self) -> ProductKey:
        """Key of the assembled product."""
        return self.stage, self.product

    @property
    def regions(self) -> tuple[str, ...]:
        """Regions, in the order of the plan; one that is empty for a stage without regions."""
        return tuple(dict.fromkeys(region for region, _ in self.copies))

    def place(self, region: str, dataset: str, variation: str) -> Place:
        """Return where the content of a dataset is. An empty variation is the nominal one."""
        kind = self.kinds.get(variation)
        source = kind.replaces.get(dataset, dataset) if kind else dataset
        found = self._varied(region, source, variation) if variation else None
        nominal = self.copies.get((region, ""))
        stage, weight = found or (nominal.id if nominal else "", "")
        return Place(stage, weight, source, found is not None or source != dataset)

    def _varied(self, region: str, dataset: str, variation: str) -> tuple[str, str] | None:
        kind = self.kinds.get(variation)
        if kind is not None and not _within(kind.datasets, dataset):
            return None
        copy = self.copies.get((region, variation))
        if copy is not None and _within(copy.datasets, dataset):
            return copy.id, ""
        nominal = self.copies.get((region, ""))
        for weight in nominal.weights if nominal else ():
            if weight.variation == variation and _within(weight.datasets, dataset):
                return nominal.id if nominal else "", variation
        return None


def _within(datasets: tuple[str, ...] | None, dataset: str) -> bool:
    return datasets is None or dataset in datasets


def families(layout: ResultLayout) -> Iterator[Family]:
    """Yield the stages of a workflow that have a product, with their copies."""
    grouped: dict[str, dict[tuple[str, str], PlanStage]] = {}
    for stage in layout.stages:
        if stage.product:
            grouped.setdefault(stage.nominal or stage.id, {})[stage.region, stage.variation] = stage
    left_out = substitutes(layout.variations)
    datasets = tuple(dataset.name for dataset in layout.datasets if dataset.name not in left_out)
    for name, copies in grouped.items():
        first = next(iter(copies.values()))
        yield Family(name, first.product, copies, _reaching(copies, layout), datasets, left_out)


def _reaching(copies: Mapping[tuple[str, str], PlanStage], layout: ResultLayout) -> dict[str, PlanVariation]:
    """Return the variations that reach a stage, in the order of the plan."""
    names = {variation for _, variation in copies if variation}
    names |= {weight.variation for stage in copies.values() for weight in stage.weights}
    known = {variation.name: variation for variation in layout.variations}
    for stage in copies.values():
        names |= {
            kind.name
            for kind in known.values()
            if any(_within(stage.datasets, part) for pair in kind.replaces.items() for part in pair)
        }
    ordered = [*known, *sorted(names - known.keys())]
    return {name: known.get(name, PlanVariation(name=name, group=name)) for name in ordered if name in names}


def product_of(products: Mapping[ProductKey, Any], family: Family, stage: str) -> Any:
    """Return the product of a stage or copy, None if there is none."""
    return products.get((stage, family.product))
