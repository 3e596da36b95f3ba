"""Products of ops: histograms and cutflows, with functions that merge partial products."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from fasthep_parsl.ops.axes import add_histograms


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
    """

    hist: Any
    none: int = 0
    nan: int = 0
    title: str = ""


def merge_histograms(a: Histogram, b: Histogram) -> Histogram:
    """Return the sum of two histograms with equal axes. The categories of growing axes are sorted."""
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
    """Counts after each cut, per dataset.

    Attributes
    ----------
    rows : dict of str to tuple of CutflowRow
        Dataset → one row per cut. All datasets have the same cuts.
    weighted : bool
        Whether events have weights; without weights, the sums of weights equal the counts.
    nan : int
        Number of events with a NaN or infinite weight. They are in the counts, but not in the sums of weights.
    """

    rows: dict[str, tuple[CutflowRow, ...]] = field(default_factory=dict)
    weighted: bool = False
    nan: int = 0


def in_order(cutflow: Cutflow, datasets: Iterable[str]) -> Cutflow:
    """Return the same cutflow with its datasets in the order of `datasets`."""
    return replace(cutflow, rows={name: cutflow.rows[name] for name in datasets if name in cutflow.rows})


def merge_cutflows(a: Cutflow, b: Cutflow) -> Cutflow:
    """Return the sum of two cutflows with the datasets of both."""
    rows = dict(a.rows)
    for dataset, cuts in b.rows.items():
        mine = rows.get(dataset)
        rows[dataset] = cuts if mine is None else tuple(x + y for x, y in zip(mine, cuts, strict=True))
    return Cutflow(rows, a.weighted or b.weighted, a.nan + b.nan)
