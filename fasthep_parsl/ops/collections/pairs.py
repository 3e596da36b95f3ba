"""Kernels for pairs of objects: which there are, and their invariant mass."""

from __future__ import annotations

import math
from typing import Any

from fasthep_parsl.kernels import float64, kernel


@kernel
def list_pairs(i: int, offsets: Any, pair_offsets: Any, events: Any, first: Any, second: Any) -> None:
    """Write all pairs of the objects of event `i`: their event, and the positions of both objects in flat columns."""
    k = pair_offsets[i]
    for a in range(offsets[i], offsets[i + 1]):
        for b in range(a + 1, offsets[i + 1]):
            events[k] = i
            first[k] = a
            second[k] = b
            k += 1


@kernel
def pair_mass(k: int, first: Any, second: Any, pt: Any, eta: Any, phi: Any, mass: Any, out: Any) -> None:
    """Write the invariant mass of pair `k` of the objects at `first` and `second`; see `kinematics.invariant_mass`."""
    a, b = first[k], second[k]
    pt_1, pt_2 = float64(pt[a]), float64(pt[b])
    sinh = math.sinh(0.5 * (float64(eta[a]) - float64(eta[b])))
    sin = math.sin(0.5 * (float64(phi[a]) - float64(phi[b])))
    square_1, square_2 = float64(mass[a]) * float64(mass[a]), float64(mass[b]) * float64(mass[b])
    total = square_1 + square_2 + 4.0 * pt_1 * pt_2 * (sinh * sinh + sin * sin)
    if square_1 > 0.0 or square_2 > 0.0:
        p_1, p_2 = pt_1 * math.cosh(float64(eta[a])), pt_2 * math.cosh(float64(eta[b]))
        energy = math.sqrt(p_1 * p_1 + square_1) * math.sqrt(p_2 * p_2 + square_2)
        above = square_1 * (p_2 * p_2) + square_2 * (p_1 * p_1) + square_1 * square_2
        below = energy + p_1 * p_2
        if below != 0.0:  # else it is a massless object at rest
            total += 2.0 * above / below
    if total < 0.0:  # noqa: PLR1730  # on a GPU max() would make 0 of NaN
        total = 0.0
    out[k] = math.sqrt(total)
