"""Errors of data points: central intervals of the mean of a Poisson distribution."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

TAIL = math.erfc(math.sqrt(0.5)) / 2
"""Probability of each tail outside one standard deviation of a normal distribution: (1 - 0.6827) / 2."""
LARGE = 100_000
"""Counts from which on quantiles are those of Wilson and Hilferty."""
MAX_STEPS = 60


def garwood(counts: Any) -> tuple[Any, Any]:
    """Return the central 68.3 % confidence interval of the means of Poisson distributions.

    F. Garwood, Biometrika 28 (1936) 437; equation (40.76) of the review of statistics of the Particle Data Group (2024):
    the lower limit is half of the quantile of χ² with 2n degrees of freedom at α/2, the upper one that with 2n + 2 at
    1 - α/2. The lower limit for n = 0 is 0.

    Parameters
    ----------
    counts : array of float64
        Numbers of events, n ≥ 0. They need not be integers: χ² has fractional degrees of freedom, too.

    Returns
    -------
    low, high : array of float64, shape of `counts`
        Limits, not distances to the count.
    """
    import numpy as np

    counts = np.asarray(counts, dtype=np.float64)
    unique, where = np.unique(counts, return_inverse=True)
    low = np.array([_quantile(n, TAIL) if n > 0 else 0.0 for n in unique.tolist()])
    high = np.array([_quantile(n + 1, 1 - TAIL) if n >= 0 else 0.0 for n in unique.tolist()])
    return low[where].reshape(counts.shape), high[where].reshape(counts.shape)


@lru_cache(maxsize=4096)
def _quantile(shape: float, probability: float) -> float:
    """Return x with P(shape, x) = `probability`, for tails of one standard deviation; P is the regularised Γ function."""
    side = 1.0 if probability > 0.5 else -1.0
    third = 1 / (9 * shape)
    start: float = (
        shape * max(1 - third + side * math.sqrt(third), 0.05) ** 3
    )  # Wilson and Hilferty, PNAS 17 (1931) 684
    if shape >= LARGE:
        return start
    x = start
    for _ in range(MAX_STEPS):  # Newton's method
        density = math.exp((shape - 1) * math.log(x) - x - math.lgamma(shape))
        step = (_regularised(shape, x) - probability) / density
        x = max(x - step, x / 10)
        if abs(step) < 1e-13 * x:
            break
    return x


def _regularised(shape: float, x: float) -> float:
    """Return P(shape, x), by its series or its continued fraction (DLMF 8.11.4 and 8.9.2)."""
    scale = math.exp(shape * math.log(x) - x - math.lgamma(shape))
    if x < shape + 1:
        return scale * _series(shape, x)
    return 1 - scale / _fraction(lambda k: k * (shape - k), lambda k: x + 2 * k + 1 - shape)


def _series(shape: float, x: float) -> float:
    total = term = 1 / shape
    while term > 1e-17 * total:
        shape += 1
        term *= x / shape
        total += term
    return total


def _fraction(numerator: Callable[[int], float], denominator: Callable[[int], float]) -> float:
    """Return b(0) + a(1) / (b(1) + a(2) / (b(2) + …)) by the method of Lentz."""
    tiny = 1e-300
    value = front = denominator(0) or tiny
    back = 0.0
    for k in range(1, 100_000):
        a, b = numerator(k), denominator(k)
        back = 1 / (b + a * back or tiny)
        front = b + a / front or tiny
        value *= front * back
        if abs(front * back - 1) < 1e-15:
            break
    return value
