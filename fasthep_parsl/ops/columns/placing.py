"""Columns on a GPU: flat ones as arrays of CuPy, others as awkward arrays with the backend ``cuda``."""

from __future__ import annotations

from typing import Any

from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import ak, np
from fasthep_parsl.ops.columns.values import Jagged, Masked, from_column, to_awkward


def to_gpu(column: Any) -> Any:
    """Return a copy of a column on the GPU, or the column itself if it holds something else than numbers."""
    value = from_column(column)
    if isinstance(value, np.ndarray):
        return device.upload(value) if device.can_lie_on_gpu(value) else column
    if isinstance(value, Jagged) and device.can_lie_on_gpu(value.content):
        return to_awkward(Jagged(device.upload_offsets(value.offsets), device.upload(value.content)))
    if isinstance(value, Masked) and device.can_lie_on_gpu(value.values):
        return to_awkward(Masked(device.upload(value.values), device.upload(value.valid)))
    return column


def to_host(column: Any) -> Any:
    """Return a copy of a column in host memory."""
    if device.is_array(column):
        return device.download(column)
    value = from_column(column)
    if isinstance(value, Jagged):
        return to_awkward(Jagged(device.download_offsets(value.offsets), device.download(value.content)))
    if isinstance(value, Masked):
        return to_awkward(Masked(device.download(value.values), device.download(value.valid)))
    if isinstance(value, ak.Array):  # missing values in lists, deeper nesting: buffer by buffer
        form, length, buffers = ak.to_buffers(value)
        return ak.from_buffers(form, length, {name: device.download(part) for name, part in buffers.items()})
    return device.download(value)


def bring_back(value: Any) -> Any:
    """Return a product with everything that lies on a GPU brought to the host."""
    if device.cupy() is None:
        return value
    if device.on_gpu(value):
        found = to_host(value)
        return found[()] if isinstance(found, np.ndarray) else found  # a single value is no array
    if type(value) is dict:
        return {key: bring_back(part) for key, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(bring_back, value))
    return value
