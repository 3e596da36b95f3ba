"""Handwritten CUDA kernels: count bools, find histogram bins, sum weights per bin, build pairs.

CuPy compiles one kernel per function and combination of types. For counts, `all` and `any` it also compiles one per range
of sizes, which takes two seconds each because they use CUB. The kernels here take a tenth of a second together, once, and
are cached in CuPy's folder like all others.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from fasthep_parsl.ops.arrays import np

SOURCE: Final = Path(__file__).with_name("kernels.cu")
OPTIONS: Final = ("-fmad=false",)
"""Compiler options: no fused multiply-add, so results are rounded as in NumPy."""
NAMES: Final = (
    "count_true", "regular_bins", "variable_bins", "count_bins", "sum_bins", "list_pairs", "pair_mass",
)  # fmt: skip
TYPES: Final = ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")
"""Types of entries. Kernels identify a type by its position."""
THREADS: Final = 256
MAX_BLOCKS: Final = 1024
PER_THREAD: Final = 8
"""Minimum number of entries per thread before another block is used."""


@cache
def _module() -> Any:
    return sys.modules["cupy"].RawModule(code=SOURCE.read_text(), options=OPTIONS)


@cache
def _kernel(name: str) -> Any:
    return _module().get_function(name)


def compile_all() -> None:
    """Compile the kernels, or load them from CuPy's cache."""
    for name in NAMES:
        _kernel(name)


def forget() -> None:
    """Forget the compiled kernels (tests replace CuPy)."""
    _module.cache_clear()
    _kernel.cache_clear()


def _launch(name: str, number: int, *arguments: Any) -> None:
    if number:
        blocks = min(-(-number // (THREADS * PER_THREAD)), MAX_BLOCKS)
        _kernel(name)((blocks,), (THREADS,), arguments)


def _zeros(shape: Any, dtype: str) -> Any:
    return sys.modules["cupy"].zeros(shape, dtype=dtype)


def _contiguous(array: Any, dtype: str = "") -> Any:
    return sys.modules["cupy"].ascontiguousarray(array, dtype=dtype or array.dtype)


def _typed(entries: Any) -> tuple[Any, Any]:
    """Return entries of any type, and the number of their type."""
    return _contiguous(entries), np.int32(TYPES.index(entries.dtype.name))


def count_true(mask: Any) -> Any:
    """Return the number of true values, int64, shape (), on the GPU."""
    mask = _contiguous(mask)
    out = _zeros((), "int64")
    _launch("count_true", mask.size, mask, np.int64(mask.size), out)
    return out


class GpuBins:
    """Flat bin numbers of histogram entries, computed axis by axis.

    Parameters
    ----------
    number : int
        Number of entries.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._flat = _zeros(number, "int64")

    def regular(self, entries: Any, low: float, width: float, bins: int) -> None:
        """Add an axis with bins of equal width from `low` to ``low + width``, and flow bins."""
        axis = (np.float64(low), np.float64(width), np.int64(bins), np.int64(bins + 2))
        _launch("regular_bins", self._number, *_typed(entries), np.int64(self._number), *axis, self._flat)

    def variable(self, entries: Any, edges: Any) -> None:
        """Add an axis with `edges` (float64, on the GPU), and flow bins."""
        axis = (edges, np.int64(len(edges)), np.int64(len(edges) + 1))
        _launch("variable_bins", self._number, *_typed(entries), np.int64(self._number), *axis, self._flat)

    def other(self, bins: Any, extent: int) -> None:
        """Add an axis with `extent` bins (including flow bins), given the bin of each entry."""
        self._flat *= extent
        self._flat += bins

    def counts(self, size: int) -> Any:
        """Return the number of entries per bin, int64, shape (size,)."""
        return counts(self._flat, size)

    def sums(self, weights: Any, size: int, *, squares: bool) -> Any:
        """Return the sum of weights per bin, float64, shape (1, size); with `squares`, shape (2, size)."""
        out = _zeros((1 + squares, size), "float64")
        weights = _contiguous(weights, "float64")
        given = (self._flat, weights, np.int64(self._number), np.int64(size), np.int32(squares), out)
        _launch("sum_bins", self._number, *given)
        return out


def counts(bins: Any, size: int) -> Any:
    """Return how often each number in [0, size) occurs in `bins`, int64, shape (size,)."""
    bins = _contiguous(bins, "int64")
    out = _zeros(size, "int64")
    _launch("count_bins", bins.size, bins, np.int64(bins.size), np.int64(size), out)
    return out


def list_pairs(offsets: Any, pair_offsets: Any, out: tuple[Any, Any, Any]) -> None:
    """Write all pairs of objects of each event: the event and the positions of both objects, int64."""
    number = len(offsets) - 1
    _launch("list_pairs", number, _contiguous(offsets), _contiguous(pair_offsets), np.int64(number), *out)


def pair_mass(first: Any, second: Any, fields: Sequence[Any], out: Any) -> None:
    """Write the invariant masses of pairs into `out` (float64); `fields` are pt, eta, phi and mass of all objects."""
    typed = [part for values in fields for part in _typed(values)]
    _launch("pair_mass", len(first), _contiguous(first), _contiguous(second), np.int64(len(first)), *typed, out)
