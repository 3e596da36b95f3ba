"""Products of ops: histograms and cutflows, with functions that merge partial products."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

from fasthep_parsl.ops.axes import NOMINAL, VARIATION_AXIS, Axis, add_histograms, book


@dataclass(frozen=True, slots=True)
class Histogram:
    """A filled histogram, and the number of entries that could not be filled.

    Attributes
    ----------
    hist : hist.Hist
        Histogram with storage ``Weight``, ``Int64`` or ``Double``. Axes have a ``name`` and a ``label`` with the unit.
    none : int
        Number of missing entries, which are not filled.
    nan : int
        Number of entries that are NaN (filled in overflow) or have a NaN or infinite weight (not filled).
    title : str
        Title of plots; can be empty.
    region_axis, variation_axis : str
        Names of the axes of regions and of systematic variations in results; empty if there are none.
    """

    hist: Any
    none: int = 0
    nan: int = 0
    title: str = ""
    region_axis: str = ""
    variation_axis: str = ""


def merge_histograms(a: Histogram, b: Histogram) -> Histogram:
    """Return the sum of two histograms with equal axes. The categories of growing axes are sorted."""
    return replace(a, hist=add_histograms(a.hist, b.hist), none=a.none + b.none, nan=a.nan + b.nan)


@dataclass(frozen=True, slots=True)
class DatasetAxis:
    """The axis of datasets that a histogram gets when its datasets are joined.

    Attributes
    ----------
    axis : Axis
        With the datasets as categories.
    position : int or None
        Place among the axes of the workflow; None if it comes after them.
    """

    axis: Axis
    position: int | None = None


@dataclass(frozen=True, slots=True)
class DatasetHistograms:
    """A histogram whose datasets are kept apart until results are written.

    Attributes
    ----------
    parts : dict of str to Histogram
        Dataset → its histogram, without an axis of datasets. Weight variations that apply to the dataset are the last
        axis, `VARIATION_AXIS`, with the category `NOMINAL` first.
    dataset_axis : DatasetAxis or None
        The axis of datasets; None if the sum over all datasets is wanted.
    """

    parts: dict[str, Histogram] = field(default_factory=dict)
    dataset_axis: DatasetAxis | None = None


def merge_parts(a: Any, b: Any) -> Any:
    """Return the sum of two products of ``hep.hist``, dataset by dataset if they are apart."""
    if isinstance(a, Histogram):
        return merge_histograms(a, b)
    parts = dict(a.parts)
    for dataset, part in b.parts.items():
        parts[dataset] = merge_histograms(parts[dataset], part) if dataset in parts else part
    return replace(a, parts=parts)


def nominal_of(histogram: Histogram) -> Histogram:
    """Return a part of `DatasetHistograms` without its weight variations."""
    axes = histogram.hist.axes
    if not len(axes) or axes[-1].name != VARIATION_AXIS:
        return histogram
    return replace(histogram, hist=histogram.hist[{len(axes) - 1: list(axes[-1]).index(NOMINAL)}])


@dataclass(frozen=True, slots=True)
class CutflowRow:
    """One cut of one selection: raw counts, sums of weights and of squared weights, before and after."""

    selection: str
    index: int
    label: str
    n_in: int = 0
    n_out: int = 0
    sumw_in: float = 0.0
    sumw_out: float = 0.0
    sumw2_in: float = 0.0
    sumw2_out: float = 0.0

    def __add__(self, other: CutflowRow) -> CutflowRow:
        return CutflowRow(
            self.selection,
            self.index,
            self.label,
            self.n_in + other.n_in,
            self.n_out + other.n_out,
            self.sumw_in + other.sumw_in,
            self.sumw_out + other.sumw_out,
            self.sumw2_in + other.sumw2_in,
            self.sumw2_out + other.sumw2_out,
        )


def joined(product: Any, left_out: Container[str] = ()) -> Any:
    """Return `DatasetHistograms` as one ordinary, nominal histogram, for ops that take it; other products unchanged.

    Parameters
    ----------
    product : object
        Any product.
    left_out : container of str
        Datasets that do not count: those that only take the place of others in variations.
    """
    if not isinstance(product, DatasetHistograms):
        return product
    parts = {name: nominal_of(part) for name, part in product.parts.items() if name not in left_out}
    axis = product.dataset_axis
    placed = [part if axis is None else _on_axis(part, name, axis) for name, part in parts.items()]
    return reduce(merge_histograms, placed) if placed else None


def _on_axis(part: Histogram, dataset: str, where: DatasetAxis) -> Histogram:
    """Return the histogram of one dataset with the axis of all datasets."""
    (made,) = book((where.axis,), "count").axes
    axes = list(part.hist.axes)
    place = len(axes) if where.position is None else where.position
    axes.insert(place, made)
    hist = type(part.hist)(*axes, storage=part.hist.storage_type())
    names = list(made)
    number = names.index(dataset) if dataset in names else len(names)
    hist.view(flow=True)[(*(slice(None),) * place, number)] = part.hist.view(flow=True)
    return replace(part, hist=hist)


Rows = dict[str, tuple[CutflowRow, ...]]
"""Dataset → one row per cut."""


@dataclass(frozen=True, slots=True)
class Cutflow:
    """Counts after each cut, per dataset.

    Attributes
    ----------
    rows : dict of str to tuple of CutflowRow
        Dataset → one row per cut. All datasets have the same cuts.
    weighted : bool
        Whether events have weights; without weights, the sums of weights equal the counts.
    nan : int
        Number of events with a NaN or infinite weight. They are in the counts, but not in the sums of weights. They are
        counted for each variation of the weight.
    variations : dict of str to dict
        Systematic variation → dataset to which it applies → rows.
    """

    rows: Rows = field(default_factory=dict)
    weighted: bool = False
    nan: int = 0
    variations: dict[str, Rows] = field(default_factory=dict)


def in_order(cutflow: Cutflow, datasets: Iterable[str]) -> Cutflow:
    """Return the same cutflow with its datasets in the order of `datasets`."""
    names = list(datasets)

    def ordered(rows: Rows) -> Rows:
        return {name: rows[name] for name in names if name in rows}

    variations = {variation: ordered(rows) for variation, rows in cutflow.variations.items()}
    return replace(cutflow, rows=ordered(cutflow.rows), variations=variations)


def merge_cutflows(a: Cutflow, b: Cutflow) -> Cutflow:
    """Return the sum of two cutflows with the datasets of both."""
    variations = {
        name: _sum(a.variations.get(name, {}), b.variations.get(name, {})) for name in {**a.variations, **b.variations}
    }
    return Cutflow(_sum(a.rows, b.rows), a.weighted or b.weighted, a.nan + b.nan, variations)


def _sum(a: Rows, b: Rows) -> Rows:
    rows = dict(a)
    for dataset, cuts in b.items():
        mine = rows.get(dataset)
        rows[dataset] = cuts if mine is None else tuple(x + y for x, y in zip(mine, cuts, strict=True))
    return rows
