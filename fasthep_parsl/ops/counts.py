"""Counts of bools and of small numbers, and what Python decides by them, in host memory or on a GPU.

CuPy's own `all`, `any`, `count_nonzero` and `bincount` do the same, but are built anew for each range of sizes, which
takes seconds.
"""

from __future__ import annotations

from typing import Any

from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import np
from fasthep_parsl.ops.gpu import cuda_kernels


def count_true(mask: Any) -> Any:
    """Return how many bools are true; on a GPU an array of shape (), to which nobody waits until it is read."""
    return cuda_kernels.count_true(mask) if device.on_gpu(mask) else int(np.count_nonzero(mask))


def all_true(mask: Any) -> bool:
    """Whether all bools are true; a wait if they lie on the GPU."""
    return bool(device.to_python(count_true(mask)) == mask.size) if device.on_gpu(mask) else bool(mask.all())


def any_true(mask: Any) -> bool:
    """Whether one of the bools is true; a wait if they lie on the GPU."""
    return bool(device.to_python(count_true(mask))) if device.on_gpu(mask) else bool(mask.any())


def equal(a: Any, b: Any) -> bool:
    """Whether two flat arrays hold the same, on one side or two; a wait if one lies on the GPU."""
    if len(a) != len(b):
        return False
    a, b = device.same_device((a, b))
    return not any_true(a != b) if device.on_gpu(a) else bool(np.array_equal(a, b))


def bincount(counts: Any) -> Any:
    """Return how often each number is in an array of numbers from 0 on, in host memory."""
    if not device.on_gpu(counts):
        return np.bincount(counts)
    if not len(counts):
        return np.zeros(0, np.int64)
    return device.download(cuda_kernels.counts(counts, device.to_python(counts.max()) + 1))
