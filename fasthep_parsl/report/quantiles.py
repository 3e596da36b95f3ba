"""Quantiles of many values."""

from __future__ import annotations

import math
from collections.abc import Iterable

from fasthep_parsl.report.models import Quantiles


def quantiles(values: Iterable[float]) -> Quantiles:
    """Return the distribution of values. A quantile is one of them: the nearest rank, not an interpolation."""
    found = sorted(values)
    if not found:
        return Quantiles()

    def at(share: float) -> float:
        return found[max(0, math.ceil(share * len(found)) - 1)]

    return Quantiles(len(found), at(0.5), at(0.95), at(0.99), found[-1])


def histogram(values: Iterable[float], reach: float, number: int) -> tuple[int, ...]:
    """Return the number of values in equal bins from 0 to `reach`; larger values are in the last bin."""
    counts = [0] * number
    for value in values:
        counts[min(int(value / reach * number), number - 1)] += 1
    return tuple(counts)
