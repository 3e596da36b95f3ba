"""Fill a histogram from the columns of events."""

from __future__ import annotations

from typing import Any

from fasthep_parsl.errors import OpError
from fasthep_parsl.interfaces import Context
from fasthep_parsl.ops import binning, device
from fasthep_parsl.ops.arrays import np
from fasthep_parsl.ops.axes import DATASET, MAX_INTEGER, VARIATION, Axis, book
from fasthep_parsl.ops.columns.value_types import Value
from fasthep_parsl.ops.counts import count_true
from fasthep_parsl.ops.entries import Entries, flat_entries
from fasthep_parsl.ops.expressions import ExpressionError, expression
from fasthep_parsl.ops.stream import Events
from fasthep_parsl.ops.weights import numbers


class HistogramFiller:
    """Fills a new histogram with `events`, once per weight variation.

    Parameters
    ----------
    axes : tuple of Axis
        Axes of the histogram. Dataset and variation axes have their categories as bins.
    storage : "count", "double" or "weighted"
        See ``hep.hist``.

    Attributes
    ----------
    hist : hist.Hist
        The histogram.
    none, nan : int
        Number of entries that are missing, or NaN on an axis, counted once for all weights. Entries with a missing, NaN
        or infinite weight are counted for each weight. They are not filled.
    """

    def __init__(self, axes: tuple[Axis, ...], storage: str, events: Events, context: Context | None) -> None:
        self.hist = book(axes, storage).copy(deep=False)
        self.none = 0
        self.nan = 0
        self._axes = axes
        self._storage = storage
        self._events = events
        self._context = context
        self._plain = tuple(axis for axis in axes if axis.source not in (DATASET, VARIATION))
        self._values = [(axis.text, self._value(axis.text)) for axis in self._plain]
        self._counted = False

    def fill(self, weight: str | None, variation: str) -> None:
        """Fill with a weight expression. `variation` is the category on the variation axis.

        Raises
        ------
        OpError
            Jagged fields have different structure.
        """
        values = self._values if weight is None else [*self._values, (weight, self._value(weight))]
        flat, absent = flat_entries(values, len(self._events), weights=int(weight is not None))
        keep = self._usable(flat, absent)
        if device.on_gpu(keep):
            device.count_wait()
            keep = np.flatnonzero(keep)
        arrays = [array if keep is None or np.ndim(array) == 0 else array[keep] for array, _ in flat]
        weights = None if weight is None else numbers(weight, arrays.pop())
        if any(map(device.on_gpu, (*arrays, weights))):
            if binning.fits(self._plain):
                self._add(self._binned(arrays, weights), variation)
                return
            arrays = [_to_host(array) for array in arrays]
            weights = _to_host(weights)
        if weights is not None and not _sum_is_finite(weights):
            arrays, weights = self._finite(arrays, weights)
        entries = [fillable(axis, array) for axis, array in zip(self._plain, arrays, strict=True)]
        if any(np.ndim(entry) and not len(entry) for entry in entries):
            return  # boost-histogram does not take empty lists of str
        self._into(entries, weights, variation)

    def _value(self, text: str) -> Value:
        try:
            return expression(text).value(self._events, self._context)
        except ExpressionError as error:
            raise type(error)(f"in `{text}`: {error.message}", error.hint) from None

    def _binned(self, arrays: list[Any], weights: Any) -> Any:
        """Return the content filled on a GPU. Finite sums show that the weights are finite, without another wait."""
        part = binning.fill(self._plain, self._storage, arrays, weights)
        sums = part["value"] if part.dtype.names else part
        if weights is None or np.isfinite(sums).all():
            return part
        return binning.fill(self._plain, self._storage, *self._finite(arrays, weights))

    def _finite(self, arrays: list[Any], weights: Any) -> tuple[list[Any], Any]:
        """Return the entries with a finite weight, and count the others."""
        number = next(len(array) for array in arrays if np.ndim(array))
        finite = np.isfinite(weights)
        if np.ndim(weights) == 0:
            if finite:
                return arrays, weights
            self.nan += number - self._nan_among(arrays)
            return [array[:0] if np.ndim(array) else array for array in arrays], weights
        self.nan += number - device.to_python(count_true(finite))
        self.nan -= self._nan_among([array[~finite] if np.ndim(array) else array for array in arrays])
        return [array[finite] if np.ndim(array) else array for array in arrays], weights[finite]

    @staticmethod
    def _nan_among(arrays: list[Any]) -> int:
        """Return the number of entries with a NaN on an axis, which are counted already."""
        nan = [np.isnan(array) for array in arrays if np.ndim(array) and array.dtype.kind == "f"]
        return device.to_python(count_true(device.any_of(nan))) if nan else 0

    def _usable(self, flat: list[Entries], absent: int) -> Any:
        """Return the mask of entries that can be filled (None: all). Count the others, and the missing lists `absent`."""
        masks = [valid for _, valid in flat if valid is not None]
        valid = device.all_of(masks) if masks else None
        on_axes = [part for _, part in flat[: len(self._plain)] if part is not None]
        nan_any = nan_dropped = None
        for axis, (array, _) in zip(self._plain, flat, strict=False):
            if getattr(array, "dtype", None) is None or array.dtype.kind != "f":
                continue
            nan = np.isnan(array)
            if device.on_gpu(nan) or nan.any():  # on a GPU, looking at `nan` would wait
                nan_any = nan if nan_any is None else nan_any | nan
                if axis.kind not in ("regular", "variable"):
                    nan_dropped = nan if nan_dropped is None else nan_dropped | nan
        missing = _count_false(valid)
        if not self._counted:
            self.none = missing + absent
            there = None if nan_any is None else nan_any if not on_axes else nan_any & device.all_of(on_axes)
            self.nan = 0 if there is None else device.to_python(count_true(there))
            self._counted = True
        else:
            self.none += missing - _count_false(device.all_of(on_axes) if on_axes else None)
        if nan_dropped is None:
            return valid if missing else None
        return ~nan_dropped if valid is None else valid & ~nan_dropped

    def _into(self, entries: list[Any], weights: Any, variation: str) -> None:
        """Fill; the category of a whole call costs nothing per entry (a string would be looked up each time)."""
        plain = iter(entries)
        place = {DATASET: self._context.dataset.name if self._context else "", VARIATION: variation}
        if len(self._plain) == len(self._axes):
            self.hist.fill(*entries, weight=weights)
        elif any(axis.grows for axis in self._plain):
            everything = [place[axis.source] if axis.source in place else next(plain) for axis in self._axes]
            self.hist.fill(*everything, weight=weights)
        else:
            part = book(self._plain, self._storage).copy(deep=False).fill(*entries, weight=weights)
            self._add(np.asarray(part.view(flow=True)), variation)

    def _add(self, part: Any, variation: str, target: Any = None) -> None:
        """Add the content of a histogram of the plain axes to `target` (default: the histogram)."""
        place = {DATASET: self._context.dataset.name if self._context else "", VARIATION: variation}
        where = tuple(
            category_of(axis, place[axis.source]) if axis.source in place else slice(None) for axis in self._axes
        )
        _add(np.asarray((self.hist if target is None else target).view(flow=True)), where, part)


def _count_false(mask: Any) -> int:
    return 0 if mask is None else len(mask) - device.to_python(count_true(mask))


def _sum_is_finite(weights: Any) -> bool:
    with np.errstate(all="ignore"):
        return bool(np.isfinite(weights.sum() if np.ndim(weights) else weights))


def _to_host(array: Any) -> Any:
    return device.download(array) if device.on_gpu(array) else array


def category_of(axis: Axis, name: str) -> int:
    """Return the bin of `name`. The bin after the last one is the overflow."""
    names = [str(category) for category in axis.categories]
    return names.index(name) if name in names else len(names)


def _add(total: Any, where: tuple[Any, ...], part: Any) -> None:
    if total.dtype.names is None:
        total[where] += part
    for field in total.dtype.names or ():
        total[field][where] += part[field]


def fillable(axis: Axis, array: Any) -> Any:
    """Return entries in a type that boost-histogram fills without converting each entry."""
    array = np.asarray(array)
    if axis.kind == "category" and not axis.numeric:
        return array if array.dtype.kind == "U" else array.astype(str)
    if array.dtype.kind not in "biuf":
        raise OpError(f"`{axis.text}` is text, but an axis of type {axis.kind} takes numbers: use `type: category`")
    if axis.kind in ("regular", "variable"):
        return np.asarray(array, dtype=np.float64)  # float32 is four times slower
    return _integers(axis, array)


def _integers(axis: Axis, array: Any) -> Any:
    """Return integers as int32. Larger ones are replaced by the nearest integer in the same bin."""
    if array.dtype.kind == "f":
        array = np.floor(array, dtype=np.float64)  # float32 would round the limit below up
    # boost-histogram subtracts the start of the axis in int32: neither the number nor the difference may overflow
    start, stop = axis.integers or (0, 0)
    first, last = _range(array.dtype)
    if min(first, first - start) < -MAX_INTEGER - 1 or max(last, last - start) > MAX_INTEGER:
        if axis.grows:
            _check_range(axis, array)
        if array.dtype.kind == "u" or array.dtype.itemsize < 4:
            array = np.minimum(array, min(last, MAX_INTEGER)).astype(
                np.int64
            )  # its type may be too small for the limits
        low, high = (
            (max(start - 1, -MAX_INTEGER - 1), min(stop, MAX_INTEGER))
            if axis.integers
            else (-MAX_INTEGER - 1, MAX_INTEGER)
        )
        array = np.clip(array, low, high)
    return array.astype(np.int32)


def _check_range(axis: Axis, array: Any) -> None:
    """Raise for numbers that a growing axis would fill in one category."""
    beyond = array[(array > MAX_INTEGER) | (array < -MAX_INTEGER - 1)]
    if len(beyond):
        raise OpError(
            f"axis `{axis.name}` of type int takes integers up to ±2³¹, but `{axis.text}` has {beyond[0]}: "
            "use `type: category`, or give bins"
        )


def _range(dtype: Any) -> tuple[float, float]:
    """Return the smallest and largest number of a type."""
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return int(limits.min), int(limits.max)
    return (0, 1) if dtype.kind == "b" else (-np.inf, np.inf)
