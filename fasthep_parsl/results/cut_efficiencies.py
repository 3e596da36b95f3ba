"""Efficiencies of cuts, with their errors."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fasthep_parsl.interfaces import DatasetInfo
from fasthep_parsl.ops.products import Cutflow, CutflowRow
from fasthep_parsl.results.intervals import clopper_pearson
from fasthep_parsl.results.plot_layers import key_kind
from fasthep_parsl.results.plot_recipe import Drawing

NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Efficiency:
    """Share of events after a cut, of those before the first cut of its selection.

    Attributes
    ----------
    value : float
        The share; NaN if nothing came in.
    low, high : float
        Central 68.3 % confidence interval.
    """

    value: float = NAN
    low: float = NAN
    high: float = NAN


def efficiencies(cutflow: Cutflow, drawing: Drawing) -> dict[str, list[Efficiency]]:
    """Return dataset or group → efficiency after each cut. Data are one entry.

    Sums of weights are used if events are weighted, else numbers of events.
    """
    infos = {info.name: info for info in drawing.recipe.datasets}
    found: dict[str, list[tuple[CutflowRow, CutflowRow]]] = {}
    for dataset, rows in cutflow.rows.items():
        key, kind = key_kind(infos.get(dataset, DatasetInfo(dataset)), drawing.style)
        if not kind:
            continue
        first: dict[str, CutflowRow] = {}
        pairs = [(first.setdefault(row.selection, row), row) for row in rows]
        known = found.get(key)
        found[key] = pairs if known is None else [(a + c, b + d) for (a, b), (c, d) in zip(known, pairs, strict=True)]
    of = weighted_efficiency if cutflow.weighted else counted_efficiency
    return {key: [of(start, row) for start, row in pairs] for key, pairs in found.items()}


def counted_efficiency(start: CutflowRow, row: CutflowRow) -> Efficiency:
    """Return the share of events with the interval of Clopper and Pearson.

    Parameters
    ----------
    start, row : CutflowRow
        The first cut of the selection, and the one of interest.
    """
    if not start.n_in:
        return Efficiency()
    return Efficiency(row.n_out / start.n_in, *clopper_pearson(row.n_out, start.n_in))


def weighted_efficiency(start: CutflowRow, row: CutflowRow) -> Efficiency:
    """Return the share of the sum of weights with its binomial standard deviation.

    The variance is that of passed and failed events, which are independent: ((1 - ε)² Σw² of passed + ε² Σw² of failed
    events) / (Σw)². It vanishes where no event or each event passes. The interval of Clopper and Pearson of
    (Σw)² / Σw² events is then used.

    Parameters
    ----------
    start, row : CutflowRow
        The first cut of the selection, and the one of interest.
    """
    if not start.sumw_in:
        return Efficiency()
    value = row.sumw_out / start.sumw_in
    if not start.sumw2_in:
        return Efficiency(value)
    failed = max(start.sumw2_in - row.sumw2_out, 0.0)
    variance = (1 - value) ** 2 * row.sumw2_out + value**2 * failed
    if row.n_out not in (0, start.n_in):
        error = math.sqrt(variance) / abs(start.sumw_in)
        return Efficiency(value, value - error, value + error)
    effective = start.sumw_in**2 / start.sumw2_in
    return Efficiency(value, *clopper_pearson(effective if row.n_out else 0.0, effective))
