"""What all input formats share: their error, and columns as ops want them."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np

from fasthep_parsl.errors import FastHepError
from fasthep_parsl.ops.stream import Column


class InputFileError(FastHepError):
    """An input file cannot be used.

    Parameters
    ----------
    path : str
        The file.
    message : str
        What is wrong with it.
    hint : str
        What would be right.
    """

    def __init__(self, path: str, message: str, hint: str = "") -> None:
        super().__init__(path, message, hint)
        self.path, self.message, self.hint = path, message, hint

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" + (f" ({self.hint})" if self.hint else "")


def tidy(arrays: dict[str, Any]) -> dict[str, Column]:
    """Turn flat columns into numpy arrays, and let jagged columns with equal offsets share them."""
    shared: list[Any] = []
    found: dict[str, Column] = {}
    for name, array in arrays.items():
        layout = array.layout
        while isinstance(layout, ak.contents.UnmaskedArray):
            layout = layout.content
        if isinstance(layout, ak.contents.NumpyArray) and layout.data.ndim == 1:
            found[name] = layout.data
        elif isinstance(layout, ak.contents.ListOffsetArray):
            offsets = next((known for known in shared if _same(known, layout.offsets)), None)
            if offsets is None:
                shared.append(layout.offsets)
                found[name] = array
            else:
                found[name] = ak.Array(ak.contents.ListOffsetArray(offsets, layout.content))
        else:
            found[name] = array
    return found


def _same(a: Any, b: Any) -> bool:
    return len(a) == len(b) and bool(np.array_equal(a.data, b.data))


def first_line(error: BaseException) -> str:
    """Return the class and the first line of an error of a library."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
