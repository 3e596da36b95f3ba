"""Bins with round edges that hold nearly all values of a sample."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

BINS = 50
"""Number of bins that is aimed at."""
FEW_INTEGERS = 60
"""Largest range of integers with a bin for each."""
TAIL = 1.0
"""Percentage of the values that may be below the first bin, and above the last one."""
LARGEST = 1e150
"""Larger values are left out: the squares of bin centres must be finite, for mean and width in ROOT files."""
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


class NiceBins(NamedTuple):
    """Bins of equal width."""

    nbins: int
    low: float
    high: float


def nice_bins(values: Any) -> NiceBins:
    """Return bins for a flat array of numbers up to `LARGEST`, at least one."""
    numbers = np.asarray(values, dtype=np.float64)
    integers = np.asarray(values).dtype.kind in "iub" and np.all(np.abs(numbers) < 2.0**52)
    low = float(np.percentile(numbers, TAIL, method="lower"))
    high = float(np.percentile(numbers, 100 - TAIL, method="higher"))
    if integers and high - low <= FEW_INTEGERS:
        return NiceBins(int(high - low) + 1, low, high + 1)
    if high - low <= 1e-9 * max(abs(low), abs(high)) or high - low < 1e-290:
        return _around((low + high) / 2)
    if 0 < low < 0.3 * high:
        low = 0.0
    step = _nice((high - low) / BINS)
    step = max(1.0, float(round(step))) if integers else step
    round_by = 4 if f"{step:e}".startswith("2.5") else 5
    first = math.floor(low / step / round_by) * round_by
    last = (math.floor(high / step / round_by) + 1) * round_by
    return NiceBins(last - first, first * step, last * step)


def _nice(step: float) -> float:
    """Return the next round number: 1, 2, 2.5 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * factor for factor in _STEPS if power * factor >= step * 0.999)


def _around(value: float) -> NiceBins:
    """Return bins around the only value."""
    half = 0.5 if abs(value) < 1e6 else abs(value) * 1e-3
    low = math.floor(value) - half if abs(value) < 1e6 else value - half
    return NiceBins(10, low, low + 4 * half)


def rounded_down(value: float) -> float:
    """Return a number with two digits that is not larger."""
    if value == 0 or not math.isfinite(value):
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    found = float(f"{math.floor(value / unit) * unit:.3g}")
    return min(found, value)


def number_text(value: float) -> str:
    """Return a number as YAML and expressions read it, without digits that say nothing: ``2.5``, ``1.0e-05``."""
    text = f"{value:.15g}"
    mantissa, exponent, power = text.partition("e")
    return f"{mantissa}{'' if '.' in mantissa else '.0'}e{power}" if exponent else text
