"""`all`, `any`, `count_nonzero`, `array_equal` and `bincount` for arrays in host memory or on a GPU.

CuPy's functions are compiled again for each range of sizes, which takes seconds. The kernels used here are not.
"""

from __future__ import annotations

from typing import Any

from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import np
from fasthep_parsl.ops.gpu import cuda_kernels


def count_true(mask: Any) -> Any:
    """Return the number of true values; on a GPU as an array of shape (), without waiting."""
    return cuda_kernels.count_true(mask) if device.on_gpu(mask) else int(np.count_nonzero(mask))


def all_true(mask: Any) -> bool:
    """Whether all values are true. Waits if they are on the GPU."""
    return bool(device.to_python(count_true(mask)) == mask.size) if device.on_gpu(mask) else bool(mask.all())


def any_true(mask: Any) -> bool:
    """Whether a value is true. Waits if they are on the GPU."""
    return bool(device.to_python(count_true(mask))) if device.on_gpu(mask) else bool(mask.any())


def equal(a: Any, b: Any) -> bool:
    """Whether two flat arrays are equal. Waits if one of them is on the GPU."""
    if len(a) != len(b):
        return False
    a, b = device.same_device((a, b))
    return not any_true(a != b) if device.on_gpu(a) else bool(np.array_equal(a, b))


def bincount(counts: Any) -> Any:
    """Return how often each number occurs in an array of non-negative integers, in host memory."""
    if not device.on_gpu(counts):
        return np.bincount(counts)
    if not len(counts):
        return np.zeros(0, np.int64)
    return device.download(cuda_kernels.counts(counts, device.to_python(counts.max()) + 1))
