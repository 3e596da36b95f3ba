"""Physics functions for kernels: invariant mass and azimuthal distance of two objects.

They are plain functions of float64 numbers. A kernel calls them by name, and they are compiled with it.
"""

from __future__ import annotations

import math

TWO_PI = 2 * math.pi


def azimuth_between(phi_1: float, phi_2: float) -> float:
    """Return ``phi_1 - phi_2`` wrapped to [-π, π), with the rounding of the array functions of ops."""
    difference = phi_1 - phi_2
    difference -= TWO_PI * round(difference / TWO_PI)
    if difference >= math.pi:
        difference -= TWO_PI
    if difference < -math.pi:  # noqa: PLR1730  # on a GPU, max() would drop NaN
        difference = -math.pi
    return difference


def mass_of_two(
    pt_1: float, eta_1: float, phi_1: float, mass_1: float, pt_2: float, eta_2: float, phi_2: float, mass_2: float
) -> float:
    """Return the invariant mass of two objects in the unit of pt and mass, without the cancellation of E² - p².

    See `fasthep_parsl.ops.kinematics.invariant_mass` for the formula. All functions of η use exponentials, which were
    measured to be three times as fast as cosh and sinh.
    """
    exp_1, exp_2 = math.exp(eta_1), math.exp(eta_2)
    half = 0.5 * (eta_1 - eta_2)
    if abs(half) < 0.005:  # the difference of exponentials would lose digits
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
        if below != 0.0:  # zero for a massless object at rest
            total += 2.0 * (square_1 * p2_2 + square_2 * p2_1 + square_1 * square_2) / below
    if total < 0.0:  # noqa: PLR1730  # on a GPU, max() would turn NaN into 0
        total = 0.0
    return math.sqrt(total)
