"""Products that ops hand to the results: histograms and cutflows. Small, picklable, mergeable."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from fasthep_parsl.ops.axes import add_histograms


@dataclass(frozen=True, slots=True)
class Histogram:
    """A filled histogram and what could not be put in a bin.

    Attributes
    ----------
    hist : hist.Hist
        Storage ``Weight`` or ``Int64``/``Double``; axis ``name`` and ``label`` are set (label with unit).
    none : int
        Entries that were missing and not filled.
    nan : int
        Entries that were NaN and went to overflow, or whose weight was no finite number and were not filled.
    title : str
        For pictures; empty if not given.
    """

    hist: Any
    none: int = 0
    nan: int = 0
    title: str = ""


def merge_histograms(a: Histogram, b: Histogram) -> Histogram:
    """Return the sum of two histograms with equal axes; categories that were added as they came are in order."""
    return replace(a, hist=add_histograms(a.hist, b.hist), none=a.none + b.none, nan=a.nan + b.nan)


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


@dataclass(frozen=True, slots=True)
class Cutflow:
    """Cuts in their order, per dataset.

    Attributes
    ----------
    rows : dict of str to tuple of CutflowRow
        Dataset → one row per cut; all datasets have the same cuts.
    weighted : bool
        Whether the sums of weights differ from the counts by intent.
    nan : int
        Events whose weight is no finite number; they are counted, and in no sum of weights.
    """

    rows: dict[str, tuple[CutflowRow, ...]] = field(default_factory=dict)
    weighted: bool = False
    nan: int = 0


def in_order(cutflow: Cutflow, datasets: Iterable[str]) -> Cutflow:
    """Return the same cutflow with its datasets in the order of `datasets`, whatever order they were merged in."""
    return replace(cutflow, rows={name: cutflow.rows[name] for name in datasets if name in cutflow.rows})


def merge_cutflows(a: Cutflow, b: Cutflow) -> Cutflow:
    """Return the sum of two cutflows; datasets that only one of them has are kept."""
    rows = dict(a.rows)
    for dataset, cuts in b.rows.items():
        mine = rows.get(dataset)
        rows[dataset] = cuts if mine is None else tuple(x + y for x, y in zip(mine, cuts, strict=True))
    return Cutflow(rows, a.weighted or b.weighted, a.nan + b.nan)
