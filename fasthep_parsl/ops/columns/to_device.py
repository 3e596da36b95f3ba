"""Copy columns between host memory and a GPU, as CuPy arrays or awkward arrays with the backend ``cuda``."""

from __future__ import annotations

from typing import Any

from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import ak, np
from fasthep_parsl.ops.columns import value_types
from fasthep_parsl.ops.columns.layouts import from_column, to_awkward
from fasthep_parsl.ops.columns.value_types import Jagged, Masked, Value, innermost


def to_gpu(column: Any) -> Any:
    """Return a copy of a column on the GPU, or the column itself if it does not contain numbers."""
    value = from_column(column)
    numbers = innermost(value)
    if not isinstance(numbers, np.ndarray) or not device.gpu_supports(numbers):
        return column
    return to_awkward(value_types.to_gpu(value))


def to_host(column: Any) -> Any:
    """Return a copy of a column in host memory."""
    return device.download(column) if device.is_array(column) else to_awkward(_on_host(from_column(column)))


def value_to_host(value: Value) -> Value:
    """Return a value of an expression in host memory."""
    return _on_host(value) if device.on_gpu(innermost(value)) else value


def _on_host(value: Value) -> Value:
    if isinstance(value, Jagged):
        present = None if value.present is None else device.download(value.present)
        return Jagged(device.download_offsets(value.offsets), _on_host(value.content), present)
    if isinstance(value, Masked):
        return Masked(device.download(value.values), device.download(value.valid))
    if isinstance(value, ak.Array):  # e.g. records
        form, length, buffers = ak.to_buffers(value)
        return ak.from_buffers(form, length, {name: device.download(part) for name, part in buffers.items()})
    return device.download(value)


def product_to_host(value: Any) -> Any:
    """Return a product with all its arrays in host memory."""
    if device.cupy() is None:
        return value
    if device.on_gpu(value):
        found = to_host(value)
        return found[()] if isinstance(found, np.ndarray) else found  # a scalar, not an array of shape ()
    if type(value) is dict:
        return {key: product_to_host(part) for key, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(product_to_host, value))
    return value
