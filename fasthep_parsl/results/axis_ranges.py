"""Axes that hold nothing: almost all entries are below or above their range."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fasthep_parsl.ops.axes import NOMINAL
from fasthep_parsl.ops.products import Histogram
from fasthep_parsl.results.histograms import categories_of

MIN_INSIDE = 0.01
"""Share of entries in range below which the range is probably in another unit than the values."""


def empty_axes(histogram: Histogram) -> Iterator[str]:
    """Yield a sentence for each axis that holds less than 1 % of what was filled.

    Contents of all datasets count with the absolute value of their sums of weights, at nominal.
    """
    import numpy as np

    hist = histogram.hist
    for position in reversed(range(hist.ndim)):
        categories = categories_of(hist.axes[position]) or []
        if NOMINAL in categories and hist.ndim > 1:
            hist = hist[{position: categories.index(NOMINAL)}]
    content = np.abs(np.asarray(hist.values(flow=True), dtype=np.float64))
    if not content.any():
        return
    for position, axis in enumerate(hist.axes):
        if categories_of(axis) is not None or not (axis.traits.underflow or axis.traits.overflow):
            continue
        line = content.sum(axis=tuple(other for other in range(hist.ndim) if other != position))
        first = int(axis.traits.underflow)
        inside = float(line[first : first + len(axis)].sum())
        total = float(line.sum())
        if inside < MIN_INSIDE * total:
            yield _sentence(axis, inside, total, line, histogram.nan)


def filled(histogram: Histogram) -> bool:
    """Return whether a histogram has any content, also outside of its axes."""
    return bool((histogram.hist.values(flow=True) != 0).any())


def _sentence(axis: Any, inside: float, total: float, line: Any, nan: int) -> str:
    """Return what an axis holds, in shares: counts of data and sums of weights have no common number."""
    low, high = float(axis.edges[0]), float(axis.edges[-1])
    held = "nothing" if inside == 0 else f"{inside / total:.1g} of what was filled"
    sides = []
    if axis.traits.underflow and line[0]:
        sides.append(f"{line[0] / total:.0%} is below {low:g}")
    if axis.traits.overflow and line[-1]:
        sides.append(
            f"{line[-1] / total:.0%} is above {high:g}" + (f" or NaN ({nan:,} entries are NaN)" if nan else "")
        )
    return f"axis `{axis.label or axis.name}` from {low:g} to {high:g} holds {held}: {', '.join(sides)}"


def range_warnings(results: Mapping[tuple[str, str], Any]) -> list[str]:
    """Return a warning for each histogram with an axis that holds nothing."""
    return [
        f"histogram `{stage}`: {line}; are its bins in the unit of the values?"
        for (stage, name), product in results.items()
        if isinstance(product, Histogram) and not name.endswith("-raw")
        for line in empty_axes(product)
    ]
