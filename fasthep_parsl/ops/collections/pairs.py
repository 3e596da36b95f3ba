"""Kernels for pairs of objects: which there are, and their invariant mass."""

from __future__ import annotations

import sys
from typing import Any

from fasthep_parsl.kernels import float64, kernel
from fasthep_parsl.kernels.physics import mass_of_two


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
    """Write the invariant mass of pair `k`, of the objects at `first` and `second`."""
    a, b = first[k], second[k]
    out[k] = mass_of_two(
        float64(pt[a]), float64(eta[a]), float64(phi[a]), float64(mass[a]),
        float64(pt[b]), float64(eta[b]), float64(phi[b]), float64(mass[b]),
    )  # fmt: skip


def compile_for_gpu() -> None:
    """Compile both for columns of a GPU as they come from files, float32, before the first are there."""
    cupy = sys.modules["cupy"]
    whole, real = cupy.zeros(3, dtype="int64"), cupy.zeros(3, dtype="float32")
    list_pairs(2, whole, whole.copy(), whole.copy(), whole.copy(), whole.copy())
    pair_mass(2, whole, whole.copy(), *(real.copy() for _ in range(4)), cupy.zeros(3, dtype="float64"))
