"""Sort, number, truncate and pad the objects of each list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import ak, np
from fasthep_parsl.ops.columns.bounds import set_bounds
from fasthep_parsl.ops.columns.gather import take
from fasthep_parsl.ops.columns.layouts import from_column, to_awkward
from fasthep_parsl.ops.columns.value_types import ExpressionError, Jagged, Masked, is_text


def local_index(lists: Jagged) -> Jagged:
    """Return the position of each object in its list."""
    number = len(lists.content)
    positions = device.module_of(lists.offsets).arange(number) - device.repeat(
        lists.offsets[:-1], lists.offsets, number
    )
    return Jagged(lists.offsets, set_bounds(positions, (0, number)), lists.present)


def sort(lists: Jagged, *, ascending: bool) -> Jagged:
    """Return the innermost lists sorted, stable. NaN comes first and missing values last in both directions."""
    if isinstance(lists.content, Jagged):
        return Jagged(lists.offsets, sort(lists.content, ascending=ascending), lists.present)
    if _awkward_sorts(lists):
        return _with_awkward(ak.sort, lists, ascending)
    return Jagged(lists.offsets, take(lists.content, _argsort(lists, ascending)), lists.present)


def argsort(lists: Jagged, *, ascending: bool) -> Jagged:
    """Return the positions that sort the innermost lists as `sort` does."""
    if isinstance(lists.content, Jagged):
        return Jagged(lists.offsets, argsort(lists.content, ascending=ascending), lists.present)
    if _awkward_sorts(lists):
        return _with_awkward(ak.argsort, lists, ascending)
    order = _argsort(lists, ascending)
    positions = order - device.repeat(lists.offsets[:-1], lists.offsets, len(order))
    return Jagged(lists.offsets, set_bounds(positions, (0, len(order))), lists.present)


def _awkward_sorts(lists: Jagged) -> bool:
    """Whether awkward can sort the lists: plain numbers in host memory."""
    if is_text(lists.content):
        raise ExpressionError("text cannot be sorted")
    return isinstance(lists.content, np.ndarray)


def _with_awkward(function: Callable[..., Any], lists: Jagged, ascending: bool) -> Jagged:
    found = from_column(function(to_awkward(Jagged(lists.offsets, lists.content)), axis=1, ascending=ascending))
    return Jagged(lists.offsets, found.content, lists.present)


def _argsort(lists: Jagged, ascending: bool) -> Any:
    content = lists.content
    if isinstance(content, Masked):
        return argsort_missing_last(lists.offsets, content, ascending=ascending)
    return argsort_content(lists, ascending=ascending, nan_first=True)


def argsort_content(lists: Jagged, *, ascending: bool, nan_first: bool) -> Any:
    """Return positions in the content that sort the objects of each list; stable."""
    key = lists.content
    if not ascending:
        key = -key if key.dtype.kind == "f" else ~key  # reverses the order of integers without overflow
    order = np.argsort(key, kind="stable")
    if key.dtype.kind == "f":
        nan = np.isnan(key)
        order = order[np.argsort((~nan if nan_first else nan)[order], kind="stable")]
    return order[np.argsort(parents_of(lists)[order], kind="stable")]


def argsort_missing_last(offsets: Any, content: Masked, *, ascending: bool) -> Any:
    """Return positions in the content that sort the objects of each list, missing ones last; stable."""
    values = np.where(content.valid, content.values, content.values.dtype.type(0))  # ignore values under the mask
    lists = Jagged(offsets, values)
    order = argsort_content(lists, ascending=ascending, nan_first=True)
    order = order[np.argsort(~content.valid[order], kind="stable")]
    return order[np.argsort(parents_of(lists)[order], kind="stable")]


def parents_of(lists: Jagged) -> Any:
    """Return the event of each object."""
    if device.on_gpu(lists.offsets):
        return device.parents(lists.offsets, len(lists.content))
    return np.repeat(np.arange(len(lists)), lists.counts)


def truncate(lists: Jagged, number: int) -> Jagged:
    """Return the first `number` entries of the outer lists; a negative `number` drops so many from the end."""
    counts = lists.counts
    left = np.minimum(counts, number) if number >= 0 else np.maximum(counts + number, 0)
    offsets = device.offsets_of(left)
    return Jagged(offsets, take(lists.content, _positions(lists, offsets)[0]), lists.present)


def pad(lists: Jagged, target: int, *, clip: bool) -> Jagged:
    """Return outer lists padded with missing entries to at least (`clip`: exactly) `target` entries."""
    if isinstance(lists.content, np.ndarray) and lists.present is None:
        return from_column(ak.pad_none(to_awkward(lists), target, axis=1, clip=clip))  # type: ignore[no-any-return]
    counts = lists.counts
    wanted = np.full_like(counts, target) if clip else np.maximum(counts, target)
    if lists.present is not None:
        wanted = np.where(lists.present, wanted, 0)
    offsets = device.offsets_of(wanted)
    index, local = _positions(lists, offsets)
    valid = local < device.repeat(counts, offsets, len(local))
    return Jagged(offsets, take(lists.content, index, valid), lists.present)


def _positions(lists: Jagged, offsets: Any) -> tuple[Any, Any]:
    """Return for lists with new `offsets` the positions of their entries in the old content, and in the list."""
    number = device.to_python(offsets[-1])
    local = device.module_of(offsets).arange(number) - device.repeat(offsets[:-1], offsets, number)
    return local + device.repeat(lists.offsets[:-1], offsets, number), local
