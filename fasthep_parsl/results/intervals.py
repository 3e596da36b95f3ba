"""Errors of counts and of efficiencies: central intervals of Poisson and binomial distributions, without SciPy."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

TAIL = math.erfc(math.sqrt(0.5)) / 2
"""Probability of each tail outside one standard deviation of a normal distribution: (1 - 0.6827) / 2."""
LARGE = 100_000
"""Counts from which on quantiles are those of Wilson and Hilferty."""
MANY = 1000
"""Counts from which on a quantile of a beta distribution with many events is that of Abramowitz and Stegun."""
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


def clopper_pearson(passed: float, total: float) -> tuple[float, float]:
    """Return the central 68.3 % confidence interval of the probability of a binomial distribution.

    C. Clopper and E. Pearson, Biometrika 26 (1934) 404; equation (40.83) of the review of statistics of the Particle Data
    Group (2024).

    Parameters
    ----------
    passed, total : float
        Numbers of events, 0 ≤ `passed` ≤ `total`, `total` > 0. They need not be integers.

    Returns
    -------
    low, high : float
        Limits, not distances to `passed` / `total`.
    """
    failed = total - passed
    low = _beta_quantile(passed, failed + 1, TAIL) if passed > 0 else 0.0
    high = 1 - _beta_quantile(failed, passed + 1, TAIL) if failed > 0 else 1.0
    return low, high


@lru_cache(maxsize=4096)
def _beta_quantile(a: float, b: float, probability: float) -> float:
    """Return x with I(x; a, b) = `probability`, the lower tail of one standard deviation of a beta distribution."""
    if a + b > LARGE and a < MANY:  # a gamma distribution with its first correction
        rare = _quantile(a, probability)
        return rare / (b + (a - 1 + rare) / 2)
    if a + b > LARGE and b < MANY:
        rare = _quantile(b, 1 - probability)
        return 1 - rare / (a + (b - 1 + rare) / 2)
    x = _beta_start(a, b)
    if a + b > LARGE:
        return x
    below, above = 0.0, 1.0
    constant = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    for _ in range(MAX_STEPS):  # Newton's method, within limits
        excess = _beta_share(a, b, x) - probability
        below, above = (below, x) if excess > 0 else (x, above)
        step = excess / math.exp(constant + (a - 1) * math.log(x) + (b - 1) * math.log1p(-x))
        if abs(step) < 1e-13 * x:
            break
        x = x - step if below < x - step < above else (below + above) / 2
    return x


def _beta_start(a: float, b: float) -> float:
    """Return the quantile one standard deviation below the median, by equation 26.5.22 of Abramowitz and Stegun."""
    u, v = 1 / (2 * a - 1 if a > 1 else a), 1 / (2 * b - 1 if b > 1 else b)
    h = 2 / (u + v)
    w = math.sqrt(max(h - 1 / 3, 1e-3)) / h - (v - u) * (0.5 - 2 / (3 * h))
    return min(max(a / (a + b * math.exp(min(2 * w, 500.0))), 1e-12), 1 - 1e-12)


def _beta_share(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function I(x; a, b), by its continued fraction (DLMF 8.17.22)."""
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta_share(b, a, 1 - x)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x) - math.log(a)
    )

    def numerator(k: int) -> float:
        m = k // 2
        if k % 2:
            return -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        return m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))

    return front / _fraction(numerator, lambda _: 1.0)


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
