"""Columns of input files: flat NumPy arrays, jagged arrays with shared offsets, constants for missing branches."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np

from fasthep_parsl.interfaces import TEXT
from fasthep_parsl.ops.stream import Column

_TEXTS = ("string", "char", "bytestring", "byte")
"""Names in awkward for lists of characters, and for characters."""


def tidy(arrays: dict[str, Any]) -> dict[str, Column]:
    """Return flat columns as NumPy arrays. Jagged columns with equal offsets share one array of offsets."""
    shared: list[Any] = []
    return {name: _tidy(array, shared) for name, array in arrays.items()}


def _tidy(array: Any, shared: list[Any]) -> Column:
    layout = _bare(array.layout)
    while isinstance(layout, ak.contents.UnmaskedArray):
        layout = layout.content
    if isinstance(layout, ak.contents.NumpyArray):
        return layout.data if layout.data.ndim == 1 else ak.Array(layout.to_RegularArray())
    if not isinstance(layout, ak.contents.ListOffsetArray) or layout.parameters:  # texts are lists of characters
        return ak.Array(layout)
    offsets = next((known for known in shared if _same(known, layout.offsets)), None)
    if offsets is not None:
        return ak.Array(ak.contents.ListOffsetArray(offsets, layout.content))
    shared.append(layout.offsets)
    return ak.Array(layout)


def _bare(layout: Any) -> Any:
    """Return a layout without the parameters that libraries set, such as `set`. Text remains text."""
    if layout.parameters and layout.parameter("__array__") not in _TEXTS:
        layout = layout.copy(parameters=None)
    if layout.is_list or layout.is_option or layout.is_indexed:
        content = _bare(layout.content)
        if content is not layout.content:
            layout = layout.copy(content=content)
    return layout


def constant(value: float | str, dtype: str, length: int) -> Column:
    """Return a column with the same value for all events."""
    if dtype != TEXT:
        return np.full(length, float(value) if np.dtype(dtype).kind == "f" else value, dtype)
    letters = np.frombuffer(str(value).encode(), np.uint8)
    offsets = ak.index.Index64(np.arange(length + 1, dtype=np.int64) * len(letters))
    content = ak.contents.NumpyArray(np.tile(letters, length), parameters={"__array__": "char"})
    return ak.Array(ak.contents.ListOffsetArray(offsets, content, parameters={"__array__": "string"}))


def _same(a: Any, b: Any) -> bool:
    return a is b or (len(a) == len(b) and bool(np.array_equal(a.data, b.data)))
