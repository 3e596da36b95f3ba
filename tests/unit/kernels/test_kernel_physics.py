"""Functions for kernels against the array functions of the ops."""

import math

import numpy as np
import pytest

from fasthep_parsl.kernels.physics import azimuth_between, mass_of_two
from fasthep_parsl.ops import kinematics


def objects(size, spread, rng):
    """Pairs of objects, `spread` apart in η and φ."""
    pt = rng.exponential(30, (2, size)) + 0.1
    eta, phi = rng.normal(0, 2, size), rng.uniform(-math.pi, math.pi, size)
    eta = np.stack([eta, eta + spread * rng.normal(0, 1, size)])
    phi = np.stack([phi, phi + spread * rng.normal(0, 1, size)])
    mass = rng.choice([0, 0.00051, 0.10566, 91.2], (2, size))
    return pt, eta, phi, mass


@pytest.mark.parametrize("spread", [3.0, 0.1, 0.01, 0.003, 1e-6, 0.0])
def test_mass_of_two(spread):
    pt, eta, phi, mass = objects(2000, spread, np.random.default_rng(4))
    expected = kinematics.invariant_mass(pt, eta, phi, mass)
    found = [mass_of_two(*np.stack([pt, eta, phi, mass])[:, 0, k], *np.stack([pt, eta, phi, mass])[:, 1, k])
             for k in range(2000)]  # fmt: skip
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((0, 0, 0, 0), (0, 0, 0, 0), 0),
        ((0, 0, 0, 3), (0, 0, 0, 4), 7),
        ((50, 0, 0, 0), (50, 0, math.pi, 0), 100),
        ((50, 0, 0, -3), (50, 0, 0, 0), math.sqrt(9 + 2 * (50 * math.sqrt(2509) - 2500))),
        ((math.nan, 0, 0, 0), (50, 0, 0, 0), math.nan),
    ],
)
def test_special_pairs(first, second, expected):
    assert mass_of_two(*map(float, first), *map(float, second)) == pytest.approx(expected, rel=1e-12, nan_ok=True)


def test_azimuth_is_that_of_the_ops_to_the_bit():
    rng = np.random.default_rng(6)
    a, b = rng.uniform(-10, 10, (2, 5000))
    edges = np.array([math.pi, -math.pi, math.nextafter(math.pi, 4), 0.0, 3 * math.pi, math.nextafter(-math.pi, 0)])
    a, b = np.concatenate([a, edges, edges]), np.concatenate([b, np.zeros(6), -edges])
    found = np.array([azimuth_between(float(x), float(y)) for x, y in zip(a, b, strict=True)])
    np.testing.assert_array_equal(found, kinematics.delta_phi(a, b))
    assert (found >= -math.pi).all()
    assert (found < math.pi).all()
