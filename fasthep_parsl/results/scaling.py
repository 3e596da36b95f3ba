"""Multiply histograms and cutflows by normalisation factors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fasthep_parsl.ops.products import CutflowRow, Histogram

Factors = Mapping[str, Mapping[str, float | None]]
"""Stage or copy → dataset → normalisation factor, None if it is not known."""


def factor_of(factors: Factors, stage: str, dataset: str) -> float | None:
    """Return the factor of a dataset in a product; 1 if the stage is not normalised, None if it is not known."""
    return factors[stage].get(dataset) if stage in factors else 1.0


def scaled(histogram: Histogram, factor: float) -> Histogram:
    """Return a histogram with contents multiplied by `factor`, and sums of squares by its square.

    Counts become sums of weights with squares. With a factor of 1 the histogram itself is returned.
    """
    if factor == 1.0:
        return histogram
    made = weighted(histogram.hist) if is_count(histogram.hist) else histogram.hist.copy()
    made.view(flow=True)[...] = multiplied(made.view(flow=True), factor)
    return replace(histogram, hist=made)


def multiplied(content: Any, factor: float) -> Any:
    """Return the content of a histogram, or a part of it, multiplied by a factor.

    Counts get a sum of squares: that of weights of 1.
    """
    import numpy as np

    if factor == 1.0:
        return content
    if content.dtype.names is None and content.dtype.kind == "f":
        return content * factor
    result = np.empty(content.shape, dtype=[("value", "f8"), ("variance", "f8")])
    counts = content.dtype.names is None
    result["value"] = (content if counts else content["value"]) * factor
    result["variance"] = (content if counts else content["variance"]) * (factor * factor)
    return result


def is_count(hist: Any) -> bool:
    """Whether a histogram has integers as content."""
    import boost_histogram as bh

    return hist.storage_type in (bh.storage.Int64, bh.storage.AtomicInt64)


def weighted(hist: Any) -> Any:
    """Return a histogram of counts as sums of weights of 1 with their squares."""
    import boost_histogram as bh

    made = type(hist)(*hist.axes, storage=bh.storage.Weight())
    for name in ("value", "variance"):
        made.view(flow=True)[name] = hist.view(flow=True)
    return made


def scaled_row(row: CutflowRow, factor: float) -> CutflowRow:
    """Return a row of a cutflow with sums of weights multiplied by `factor`. Counts are those of events that were read."""
    square = factor * factor
    return replace(
        row,
        sumw_in=row.sumw_in * factor,
        sumw_out=row.sumw_out * factor,
        sumw2_in=row.sumw2_in * square,
        sumw2_out=row.sumw2_out * square,
    )
