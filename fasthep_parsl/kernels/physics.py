"""Functions for kernels: what a pair of objects weighs, and how far apart it is.

They are plain functions of numbers in float64. A kernel calls them by their own names; they are compiled with it.
"""

from __future__ import annotations

import math

TWO_PI = 2 * math.pi


def azimuth_between(phi_1: float, phi_2: float) -> float:
    """Return ``phi_1 - phi_2`` wrapped to [-π, π), rounded as the array functions of the ops round it."""
    difference = phi_1 - phi_2
    difference -= TWO_PI * round(difference / TWO_PI)
    if difference >= math.pi:
        difference -= TWO_PI
    if difference < -math.pi:  # noqa: PLR1730  # on a GPU max() would lose NaN
        difference = -math.pi
    return difference


def mass_of_two(
    pt_1: float, eta_1: float, phi_1: float, mass_1: float, pt_2: float, eta_2: float, phi_2: float, mass_2: float
) -> float:
    """Return the invariant mass of two objects, without the cancellation of E² - p², in the unit of pt and mass.

    See `fasthep_parsl.ops.kinematics.invariant_mass` for the formula. Exponentials serve for all functions of η: they
    are three times as fast as cosh and sinh where measured.
    """
    exp_1, exp_2 = math.exp(eta_1), math.exp(eta_2)
    half = 0.5 * (eta_1 - eta_2)
    if abs(half) < 0.005:  # the difference of the exponentials would have lost digits
        square = half * half
        half *= 1.0 + square * (1.0 / 6.0 + square / 120.0)
        sinh2 = half * half
    else:
        sinh2 = (exp_1 - exp_2) * (exp_1 - exp_2) / (4.0 * exp_1 * exp_2)
    sin = math.sin(0.5 * (phi_1 - phi_2))
    square_1, square_2 = mass_1 * mass_1, mass_2 * mass_2
    total = square_1 + square_2 + 4.0 * pt_1 * pt_2 * (sinh2 + sin * sin)
    if square_1 > 0.0 or square_2 > 0.0:
        p_1, p_2 = 0.5 * pt_1 * (exp_1 + 1.0 / exp_1), 0.5 * pt_2 * (exp_2 + 1.0 / exp_2)
        p2_1, p2_2 = p_1 * p_1, p_2 * p_2
        below = math.sqrt((p2_1 + square_1) * (p2_2 + square_2)) + p_1 * p_2
        if below != 0.0:  # else it is a massless object at rest
            total += 2.0 * (square_1 * p2_2 + square_2 * p2_1 + square_1 * square_2) / below
    if total < 0.0:  # noqa: PLR1730  # on a GPU max() would make 0 of NaN
        total = 0.0
    return math.sqrt(total)
