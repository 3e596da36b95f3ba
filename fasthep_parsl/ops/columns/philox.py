"""Random numbers that are functions of a counter and a key: equal in every order, on every machine and on GPUs.

The bits are those of Philox-4x32-10: J. Salmon, M. Moraes, R. Dror and D. Shaw, *Parallel random numbers: as easy as 1, 2,
3*, Proc. SC11 (2011), doi:10.1145/2063384.2063405. Normal numbers are quantiles of the normal distribution: M. Wichura,
algorithm AS 241 (PPND16), Appl. Stat. 37 (1988) 477, accurate to 1e-15. Both use only operations that IEEE 754 rounds
exactly, so results agree to the last bit everywhere. `numpy.log` and `numpy.cos` do not.
"""

from __future__ import annotations

from typing import Any

from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import np

WORD = 0xFFFFFFFF
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
BLOCK = 16384
"""Numbers that are computed together: their words stay in the cache."""

Words = tuple[Any, Any, Any, Any]
"""Four arrays of uint64 with 32 bits each."""


def philox(counter: Words, key: tuple[int, Any]) -> Words:
    """Return four words of 32 bits for each counter.

    Parameters
    ----------
    counter : four arrays of uint64, shape (n,)
        Words of 32 bits.
    key : (int, int or array of uint64)
        Two words of 32 bits; the second can differ between counters.
    """
    a, b, c, d = counter
    first, second = key
    for _ in range(ROUNDS):
        one, two = a * MULTIPLIERS[0], c * MULTIPLIERS[1]
        a, b, c, d = (two >> 32) ^ b ^ first, two & WORD, (one >> 32) ^ d ^ second, one & WORD
        first, second = (first + WEYL[0]) & WORD, (second + WEYL[1]) & WORD
    return a, b, c, d


def uniform(words: Words) -> Any:
    """Return numbers in [0, 1), multiples of 2⁻⁵³, made of the first two words."""
    return ((words[0] << 21) | (words[1] >> 11)).astype(np.float64) * 2.0**-53


def normal(words: Words) -> Any:
    """Return numbers of the standard normal distribution, made of the last two words. The largest is 8.2."""
    return quantile((((words[2] << 20) | (words[3] >> 12)).astype(np.float64) + 0.5) * 2.0**-52)


def draw(kind: str, counter: Words, key: tuple[int, Any]) -> Any:
    """Return ``uniform`` or ``normal`` numbers, float64, shape (n,)."""
    function = uniform if kind == "uniform" else normal
    if device.on_gpu(counter[0]) or len(counter[0]) <= BLOCK:
        return function(philox(counter, key))
    found = np.empty(len(counter[0]))
    for start in range(0, len(found), BLOCK):
        part = slice(start, start + BLOCK)
        a, b, c, d = (word[part] for word in counter)
        second = key[1][part] if device.is_array(key[1]) else key[1]
        found[part] = function(philox((a, b, c, d), (key[0], second)))
    return found


# --- the normal distribution ----------------------------------------------------------------------------------

_CENTRE = (
    (2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457,
     13731.693765509461125, 1971.5909503065514427, 133.14166789178437745, 3.387132872796366608),
    (5226.495278852854561, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867,
     5394.1960214247511077, 687.1870074920579083, 42.313330701600911252, 1.0),
)  # fmt: skip
_TAIL = (
    (7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258,
     3.64784832476320460504, 5.76949722146069140550, 4.63033784615654529590, 1.42343711074968357734),
    (1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1,
     6.89767334985100004550e-1, 1.67638483018380384940, 2.05319162663775882187, 1.0),
)  # fmt: skip
_FAR_TAIL = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3, 2.65321895265761230930e-2,
     2.96560571828504891230e-1, 1.78482653991729133580, 5.46378491116411436990, 6.65790464350110377720),
    (2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5, 7.86869131145613259100e-4,
     1.48753612908506148525e-2, 1.36929880922735805310e-1, 5.99832206555887937690e-1, 1.0),
)  # fmt: skip
"""Numerators and denominators of AS 241, highest power first."""


def quantile(p: Any) -> Any:
    """Return the quantiles of the standard normal distribution for probabilities in [2⁻⁵³, 1 − 2⁻⁵³], float64."""
    q = p - 0.5
    found = q * _ratio(_CENTRE, 0.180625 - q * q)
    outer = np.flatnonzero(np.abs(q) > 0.425)
    if device.on_gpu(outer):
        device.count_wait()
    side = q[outer]
    r = np.sqrt(-logarithm(np.where(side < 0, p[outer], 0.5 - side)))
    tail = np.where(r <= 5.0, _ratio(_TAIL, r - 1.6), _ratio(_FAR_TAIL, r - 5.0))
    found[outer] = np.where(side < 0, -tail, tail)
    return found


def _ratio(coefficients: tuple[tuple[float, ...], tuple[float, ...]], r: Any) -> Any:
    above, below = (_polynomial(part, r) for part in coefficients)
    return above / below


def _polynomial(coefficients: tuple[float, ...], r: Any) -> Any:
    found = r * coefficients[0] + coefficients[1]
    for coefficient in coefficients[2:]:
        found = found * r + coefficient
    return found


_LN2 = 0.6931471805599453
_ROOT_HALF = 0.7071067811865476


def logarithm(x: Any) -> Any:
    """Return the natural logarithm of positive float64 to 1e-15, with the same bits on every machine.

    With x = m · 2ᵉ and s = (m − 1) / (m + 1), it is e · ln 2 + 2 (s + s³/3 + s⁵/5 + …); |s| < 0.172.
    """
    bits = x.view(np.int64)
    exponent = (bits >> 52) - 1022
    m = ((bits & 0x000FFFFFFFFFFFFF) | 0x3FE0000000000000).view(np.float64)  # 0.5 ≤ m < 1
    small = m < _ROOT_HALF
    m, exponent = np.where(small, m * 2.0, m), exponent - small
    s = (m - 1.0) / (m + 1.0)
    series = _polynomial(tuple(1.0 / (2 * k + 1) for k in range(11, -1, -1)), s * s)
    return exponent * _LN2 + 2.0 * s * series
