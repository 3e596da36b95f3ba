"""Kernels that list the pairs of objects of each event and compute their invariant masses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fasthep_parsl.kernels import float64, kernel
from fasthep_parsl.kernels.physics import mass_of_two
from fasthep_parsl.kernels.target import active
from fasthep_parsl.ops import device
from fasthep_parsl.ops.gpu import cuda_kernels


@kernel
def list_pairs(i: int, offsets: Any, pair_offsets: Any, events: Any, first: Any, second: Any) -> None:
    """Write all pairs of objects of event `i`: the event, and the positions of both objects in flat columns."""
    k = pair_offsets[i]
    for a in range(offsets[i], offsets[i + 1]):
        for b in range(a + 1, offsets[i + 1]):
            events[k] = i
            first[k] = a
            second[k] = b
            k += 1


@kernel
def pair_mass(k: int, first: Any, second: Any, pt: Any, eta: Any, phi: Any, mass: Any, out: Any) -> None:
    """Write the invariant mass of pair `k`, made of the objects at positions ``first[k]`` and ``second[k]``."""
    a, b = first[k], second[k]
    out[k] = mass_of_two(
        float64(pt[a]), float64(eta[a]), float64(phi[a]), float64(mass[a]),
        float64(pt[b]), float64(eta[b]), float64(phi[b]), float64(mass[b]),
    )  # fmt: skip


def find_pairs(offsets: Any, pair_offsets: Any, parents: Any, first: Any, second: Any) -> None:
    """Write the pairs of all events; see `list_pairs`."""
    if _use_cuda(offsets):
        cuda_kernels.list_pairs(offsets, pair_offsets, (parents, first, second))
    else:
        list_pairs(len(offsets) - 1, offsets, pair_offsets, parents, first, second)


def pair_masses(first: Any, second: Any, fields: Sequence[Any], out: Any) -> None:
    """Write the masses of all pairs; see `pair_mass`."""
    if _use_cuda(first):
        cuda_kernels.pair_mass(first, second, fields, out)
    else:
        pair_mass(len(first), first, second, *fields, out)


def _use_cuda(array: Any) -> bool:
    """Whether to use the handwritten CUDA kernels: on a GPU, unless ``cuda.jit`` asks for Numba's.

    Importing Numba and compiling with it takes seconds in a new process.
    """
    return device.on_gpu(array) and not active()
