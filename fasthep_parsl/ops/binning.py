"""Fill a histogram on a GPU with the bins of boost-histogram. Only the sums per bin are copied to the host."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import np
from fasthep_parsl.ops.axes import Axis, book
from fasthep_parsl.ops.gpu import cuda_kernels


def fits(axes: tuple[Axis, ...]) -> bool:
    """Whether histograms with these axes can be filled on a GPU. Text and growing axes cannot."""
    return all(axis.kind in ("regular", "variable") or (axis.numeric and not axis.grows) for axis in axes)


def fill(axes: tuple[Axis, ...], storage: str, entries: list[Any], weights: Any) -> Any:
    """Return the content of a new histogram with flow bins, in host memory; parameters as in `fill_all`."""
    return fill_all(axes, storage, entries, [weights])[0]


def fill_all(axes: tuple[Axis, ...], storage: str, entries: list[Any], weights: Sequence[Any]) -> list[Any]:
    """Return the content of one new histogram per weight, with flow bins, in host memory.

    Parameters
    ----------
    axes : tuple of Axis
        Axes for which `fits` is true.
    storage : "count", "double" or "weighted"
        See ``hep.hist``.
    entries : list of arrays on the GPU, or numbers
        Per axis, shape (entries,).
    weights : sequence of arrays of float64 on the GPU, numbers, or None
        Each with one weight per entry.
    """
    empty = np.asarray(book(axes, storage).view(flow=True))
    contents = [np.zeros_like(empty) for _ in weights]
    number = next(len(entry) for entry in (*entries, *weights) if np.ndim(entry))
    if not number:
        return contents
    flat = cuda_kernels.GpuBins(number)
    for axis, entry, extent in zip(axes, entries, empty.shape, strict=True):
        _add_axis(flat, axis, entry, extent)
    for content, sums in zip(contents, _sums(flat, weights, prod(empty.shape), storage), strict=True):
        for field, part in sums.items():
            target = content[field] if field else content
            target[...] = part.reshape(content.shape)
    return contents


def _add_axis(flat: cuda_kernels.GpuBins, axis: Axis, entry: Any, extent: int) -> None:
    """Add an axis to the flat bins. `entry` is an array on the GPU, or one number for all entries."""
    there = device.on_gpu(entry) and np.ndim(entry) > 0
    if there and axis.kind == "regular":
        flat.regular(entry, *_shape(axis))
    elif there and axis.kind == "variable":
        flat.variable(entry, device.upload(np.asarray(axis.bins.edges, dtype=np.float64)))  # type: ignore[union-attr]
    else:
        bins = _bins(axis, entry)
        flat.other(bins if device.on_gpu(bins) else int(bins), extent)


def _bins(axis: Axis, entry: Any) -> Any:
    """Return the bin of each entry, with flow bins; for regular and variable axes of a single number only."""
    if axis.kind == "regular":
        return _regular(axis, float(device.to_python(entry)))
    if axis.kind == "variable":
        edges = np.asarray(axis.bins.edges, dtype=np.float64)  # type: ignore[union-attr]
        return int(np.searchsorted(edges, device.to_python(entry), side="right"))
    if axis.integers:
        low, high = axis.integers
        return np.clip(_whole(entry) - low, -1, high - low) + 1
    whole, categories = _whole(entry), (0, 1) if axis.kind == "bool" else axis.categories
    found: Any = len(categories)
    for number, category in enumerate(categories):
        found = np.where(whole == category, number, found)
    return found


def _whole(entry: Any) -> Any:
    """Return integers as int64, clipped to ±2³¹ as in boost-histogram."""
    if not np.ndim(entry):
        return int(np.floor(np.clip(entry, -(2**31), 2**31)))
    if entry.dtype.kind == "f":
        entry = np.clip(np.floor(entry), -(2.0**31), 2.0**31)
    elif entry.dtype == np.uint64:
        entry = np.minimum(entry, 2**31)
    elif entry.dtype == np.int64:
        entry = np.clip(entry, -(2**31), 2**31)
    return entry.astype(np.int64)


def _regular(axis: Axis, entry: float) -> int:
    """Return the bin by the rule of boost-histogram. NaN goes to overflow."""
    low, width, number = _shape(axis)
    z = (entry - low) / width
    if z < 1:
        return int(z * number) + 1 if z >= 0 else 0
    return number + 1


def _shape(axis: Axis) -> tuple[float, float, int]:
    """Return the lower edge, the width and the number of bins of a regular axis."""
    low, high, number = axis.bins.low, axis.bins.high, axis.bins.nbins  # type: ignore[union-attr]
    return float(low), float(high) - float(low), int(number)  # type: ignore[arg-type]


def _sums(flat: cuda_kernels.GpuBins, weights: Sequence[Any], size: int, storage: str) -> list[dict[str, Any]]:
    """Return, for each weight, field of the storage → sums per bin, with one copy to host memory for each kind."""
    squares = storage == "weighted"
    arrays = [weight for weight in weights if weight is not None and np.ndim(weight)]
    found: Iterator[Any] = iter(())
    if arrays:
        sums = [flat.sums(weight, size, squares=squares) for weight in arrays]
        found = iter(device.download(np.stack(sums) if len(sums) > 1 else sums[0][None]))
    counts: Any = device.download(flat.counts(size)) if len(arrays) < len(weights) else None
    result = []
    for weight in weights:
        if weight is None or np.ndim(weight) == 0:
            factor = 1.0 if weight is None else float(device.to_python(weight))
            both: tuple[Any, ...] = (counts * factor, counts * factor**2) if squares else (counts * factor,)
        else:
            both = tuple(next(found))
        result.append(dict(zip(("value", "variance") if squares else ("",), both, strict=True)))
    return result
