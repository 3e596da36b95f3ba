"""Filling a histogram on a GPU: the bins that boost-histogram would find, and their sums, a small block, on the host."""

from __future__ import annotations

from math import prod
from typing import Any

from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import np
from fasthep_parsl.ops.axes import Axis, book


def fits(axes: tuple[Axis, ...]) -> bool:
    """Whether histograms of these axes are filled on a GPU; others (text, categories added as they come) on the CPU."""
    return all(axis.kind in ("regular", "variable") or (axis.numeric and not axis.grows) for axis in axes)


def fill(axes: tuple[Axis, ...], storage: str, entries: list[Any], weights: Any) -> Any:
    """Return the content of a new histogram as its view with flow bins, in host memory.

    Parameters
    ----------
    axes : tuple of Axis
        All of which it `fits`.
    storage : "count", "double" or "weighted"
        See ``hep.hist``.
    entries : list of arrays on the GPU, or numbers
        Per axis, shape (entries,).
    weights : array of float64 on the GPU, number, or None
        Per entry.
    """
    content = np.zeros_like(np.asarray(book(axes, storage).view(flow=True)))
    number = next(len(entry) for entry in (*entries, weights) if np.ndim(entry))
    if not number:
        return content
    flat: Any = 0
    for axis, entry, extent in zip(axes, entries, content.shape, strict=True):
        flat = flat * extent + _bins(axis, entry)
    if np.ndim(flat) == 0:
        flat = device.cupy().full(number, flat)
    for field, part in _sums(flat, weights, prod(content.shape), storage).items():
        target = content[field] if field else content
        target[...] = part.reshape(content.shape)
    return content


def _bins(axis: Axis, entry: Any) -> Any:
    """Return the bin of each entry, counted with flow bins."""
    if axis.kind == "regular":
        return _regular(axis, entry)
    if axis.kind == "variable":
        return _variable(axis, entry)
    if axis.integers:
        low, high = axis.integers
        return np.clip(_whole(entry) - low, -1, high - low) + 1
    whole, categories = _whole(entry), (0, 1) if axis.kind == "bool" else axis.categories
    found: Any = len(categories)
    for number, category in enumerate(categories):
        found = np.where(whole == category, number, found)
    return found


def _whole(entry: Any) -> Any:
    """Return whole numbers as int64, so that none wraps around; boost-histogram's own go to 2³¹."""
    if not np.ndim(entry):
        return int(np.floor(np.clip(entry, -(2**31), 2**31)))
    if entry.dtype.kind == "f":
        entry = np.clip(np.floor(entry), -(2.0**31), 2.0**31)
    elif entry.dtype == np.uint64:
        entry = np.minimum(entry, 2**31)
    elif entry.dtype == np.int64:
        entry = np.clip(entry, -(2**31), 2**31)
    return entry.astype(np.int64)


def _regular(axis: Axis, entry: Any) -> Any:
    """Return bins by the rule of boost-histogram, in float64; NaN is overflow as there."""
    low, high, number = axis.bins.low, axis.bins.high, axis.bins.nbins  # type: ignore[union-attr]
    z = (device.as_float64(entry) - low) / (float(high) - low)  # type: ignore[arg-type,operator]
    z = np.where(z < 1, z, 1.0)
    return np.where(z >= 0, (np.maximum(z, 0) * number).astype(np.int64) + 1, 0)


def _variable(axis: Axis, entry: Any) -> Any:
    edges = np.asarray(axis.bins.edges, dtype=np.float64)  # type: ignore[union-attr]
    if not device.on_gpu(entry):
        return int(np.searchsorted(edges, entry, side="right"))
    return np.searchsorted(device.upload(edges), device.as_float64(entry), side="right")  # NaN is behind all edges


def _sums(flat: Any, weights: Any, size: int, storage: str) -> dict[str, Any]:
    """Return field of the storage → its sums in host memory; one copy."""

    def sums(values: Any) -> Any:
        device.waited(2)  # bincount asks for the extremes
        return np.bincount(flat, weights=values, minlength=size)

    if weights is None or np.ndim(weights) == 0:
        counts = device.download(sums(None))
        factor = 1 if weights is None else float(weights)
        if storage == "weighted":
            return {"value": counts * factor, "variance": counts * factor**2}
        return {"": counts * factor}
    if storage != "weighted":
        return {"": device.download(sums(weights))}
    value, variance = device.download(np.stack([sums(weights), sums(weights * weights)]))
    return {"value": value, "variance": variance}
