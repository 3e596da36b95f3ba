"""Reduce lists to one value each: sum, prod, mean, std, min, max, argmin, argmax, any, all, counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import ak, np
from fasthep_parsl.ops.columns import gpu_reductions
from fasthep_parsl.ops.columns.bounds import INT64, as_int64, find_bounds, fits_int64, known_bounds, set_bounds
from fasthep_parsl.ops.columns.dtypes import as_float64
from fasthep_parsl.ops.columns.gather import compress
from fasthep_parsl.ops.columns.integers import overflow
from fasthep_parsl.ops.columns.layouts import to_awkward
from fasthep_parsl.ops.columns.ordering import local_index
from fasthep_parsl.ops.columns.value_types import ExpressionError, Jagged, Masked, Value, all_valid, is_text
from fasthep_parsl.ops.counts import any_true


def reduce_value(name: str, value: Value) -> Value:
    """Reduce the innermost lists with the reduction `name`, one of `REDUCTIONS`. Missing items are ignored.

    Sums of integers and bools are int64; other sums, products, means and std are float64. An empty list has sum 0, prod 1,
    any false, all true, mean and std NaN; its min, max, argmin and argmax are missing. If all items are missing, mean and std are
    missing too. A missing list gives a missing value.

    Raises
    ------
    ExpressionError
        `value` is not jagged, or a sum does not fit in int64.
    """
    if not isinstance(value, Jagged):
        raise not_jagged(name)
    if name == "num":
        return _mask_missing(_with_bounds(value.counts, value), value.present)
    if isinstance(value.content, Jagged):
        return Jagged(value.offsets, reduce_value(name, value.content), value.present)
    if is_text(value.content) and name != "count":
        raise ExpressionError(f"{name}() does not take text", "use num(), count() or a comparison with ==")
    with np.errstate(all="ignore"):
        return _mask_missing(_REDUCTIONS[name](value), value.present)


def _mask_missing(found: Value, present: Any) -> Value:
    """Return values that are missing for missing lists."""
    if present is None:
        return found
    if isinstance(found, Masked):
        return Masked(found.values, all_valid(found.valid, present))
    return Masked(found, present)


def not_jagged(name: str) -> ExpressionError:
    """Return the error for a reduction of a field with one value per event."""
    two = f"; for two fields, use {name}imum(a, b)" if name in ("min", "max") else ""
    return ExpressionError(
        f"{name}(x) needs a list per event, but x has one value per event",
        f"use the field without {name}(){two}",
    )


def _drop_missing(value: Jagged) -> Jagged:
    """Return lists without their missing items, as plain numbers."""
    content = value.content
    return _compress(Jagged(value.offsets, content.values), content.valid) if isinstance(content, Masked) else value


def _compress(value: Jagged, mask: Any) -> Jagged:
    if device.on_gpu(mask):
        device.count_wait()
    return Jagged(device.cumulative_count(mask)[value.offsets].astype(np.int64), compress(value.content, mask))


def _with_bounds(counts: Any, lists: Jagged) -> Any:
    return set_bounds(counts, (0, len(lists.content)))


# --- counts and sums --------------------------------------------------------------------------------------


def _count(value: Jagged) -> Any:
    content = value.content
    if isinstance(content, Masked):
        return count_true(Jagged(value.offsets, content.valid))
    if isinstance(content, ak.Array):
        return count_true(Jagged(value.offsets, ~ak.to_numpy(ak.is_none(content))))
    return _with_bounds(value.counts, value)


def count_true(value: Jagged) -> Any:
    """Return the number of nonzero items of each list, int64, shape (events,)."""
    value = _drop_missing(value)
    true = value.content if value.content.dtype == bool else value.content != 0
    before = device.cumulative_count(true)[value.offsets]
    return _with_bounds((before[1:] - before[:-1]).astype(np.int64), value)


def _all(value: Jagged) -> Any:
    value = _drop_missing(value)
    return count_true(value) == value.counts


def _sum(value: Jagged) -> Any:
    value = _drop_missing(value)
    kind = value.content.dtype.kind
    if kind == "b":
        return count_true(value)
    if kind == "f":
        return _total(value, as_float64(value.content))
    number = len(value.content)
    low, high = known_bounds(value.content) or INT64
    if not fits_int64((low * number, high * number)):
        low, high = find_bounds(value.content)
    if not fits_int64((low * number, high * number)):
        _check_total(value)
    return set_bounds(_total(value, as_int64(value.content)), (min(low, 0) * number, max(high, 0) * number))


def _total(value: Jagged, content: Any) -> Any:
    lists = Jagged(value.offsets, content)
    if device.on_gpu(content):
        return gpu_reductions.total(lists)
    return _numpy(ak.sum(to_awkward(lists), axis=1))


def _product(value: Jagged) -> Any:
    lists = _drop_missing(value)
    lists = Jagged(lists.offsets, as_float64(lists.content))
    if device.on_gpu(lists.content):
        return gpu_reductions.product(lists)
    return _numpy(ak.prod(to_awkward(lists), axis=1))


def _numpy(array: Any) -> Any:
    return array if isinstance(array, np.ndarray) else ak.to_numpy(array)


def _check_total(value: Jagged) -> None:
    """Raise if a sum does not fit in int64. The upper and lower 32 bits are summed separately."""
    content = as_int64(value.content)
    upper, lower = _total(value, content >> 32), _total(value, content & 0xFFFFFFFF)
    upper = upper + (lower >> 32)
    if any_true((upper < -(2**31)) | (upper >= 2**31)):
        raise overflow()


def _mean(value: Jagged) -> Value:
    lists = _drop_missing(value)
    return _unless_all_missing(value, lists, _mean_of(lists))


def _mean_of(lists: Jagged) -> Any:
    return _total(lists, as_float64(lists.content)) / lists.counts


def _std(value: Jagged) -> Value:
    lists = _drop_missing(value)
    off = as_float64(lists.content) - device.repeat(_mean_of(lists), lists.offsets, len(lists.content))
    return _unless_all_missing(value, lists, np.sqrt(_mean_of(Jagged(lists.offsets, off * off))))


def _unless_all_missing(value: Jagged, lists: Jagged, found: Any) -> Value:
    """Return results for `lists`, which are `value` without missing items; missing if all items were missing."""
    if not isinstance(value.content, Masked):
        return found
    return Masked(found, (lists.counts > 0) | (value.counts == 0))


# --- extrema: NaN only if all items are NaN ---------------------------------------------------------------


def _extreme(name: str) -> Callable[[Jagged], Value]:
    def extreme(value: Jagged) -> Value:
        lists = _drop_missing(value)
        found = lists.counts > 0
        if device.on_gpu(found):
            best = gpu_reductions.extreme(lists, np.less if name == "min" else np.greater)
        else:
            best = _extreme_on_host(name, lists, found)
        return Masked(as_int64(best) if best.dtype.kind in "iu" else best, found)

    return extreme


def _extreme_on_host(name: str, lists: Jagged, found: Any) -> Any:
    best = _numpy(getattr(ak, name)(to_awkward(lists), axis=1, mask_identity=False))
    if best.dtype.kind == "f":
        # For a list of NaN, awkward returns the initial value of the reduction.
        doubtful = found & (best == (np.inf if name == "min" else -np.inf))
        if doubtful.any():
            numbers = count_true(Jagged(lists.offsets, ~np.isnan(lists.content)))
            best = np.where(doubtful & (numbers == 0), best.dtype.type(np.nan), best)
    return np.where(found, best, np.zeros((), best.dtype))


def _position(name: str) -> Callable[[Jagged], Value]:
    def position(value: Jagged) -> Value:
        lists = _drop_missing(value)
        found = lists.counts > 0
        if device.on_gpu(found):
            best = gpu_reductions.position_of_extreme(lists, np.less if name == "argmin" else np.greater)
        else:
            best = _position_on_host(name, lists, found)
        if lists is not value:
            best = _positions_with_missing(best, found, value)
        return Masked(set_bounds(best, (-1, len(value.content))), found)

    return position


def _position_on_host(name: str, lists: Jagged, found: Any) -> Any:
    best = _numpy(getattr(ak, name)(to_awkward(lists), axis=1, mask_identity=False))
    best = np.where(found, best, 0)
    if lists.content.dtype.kind != "f" or not len(lists.content) or not np.isnan(lists.content.max()):
        return best
    chosen = lists.content[np.where(found, lists.offsets[:-1] + best, 0)]
    if not (np.isnan(chosen) & found).any():
        return best
    # A NaN at the start of a list wins in awkward: search again without NaN.
    number = ~np.isnan(lists.content)
    numbers = _compress(lists, number)
    some = numbers.counts > 0
    again = _numpy(getattr(ak, name)(to_awkward(numbers), axis=1, mask_identity=False))
    again = _positions_with_missing(
        np.where(some, again, 0), some, Jagged(lists.offsets, Masked(lists.content, number))
    )
    return np.where(some, again, best)


def _positions_with_missing(best: Any, found: Any, value: Jagged) -> Any:
    """Return positions in the list with its missing items, for positions without them."""
    positions = _compress(local_index(value), value.content.valid)
    if not len(positions.content):
        return best
    return np.where(found, positions.content[np.where(found, positions.offsets[:-1] + best, 0)], 0)


_REDUCTIONS: dict[str, Callable[[Jagged], Value]] = {
    "sum": _sum,
    "prod": _product,
    "mean": _mean,
    "std": _std,
    "min": _extreme("min"),
    "max": _extreme("max"),
    "argmin": _position("argmin"),
    "argmax": _position("argmax"),
    "any": lambda value: count_true(value) > 0,
    "all": _all,
    "count": _count,
    "count_nonzero": count_true,
}
REDUCTIONS = frozenset((*_REDUCTIONS, "num"))
