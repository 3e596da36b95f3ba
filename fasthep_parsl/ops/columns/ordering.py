"""Orders of the objects of each list: sorting, positions, lists of a given length."""

from __future__ import annotations

from typing import Any

from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import ak, np
from fasthep_parsl.ops.columns import segments
from fasthep_parsl.ops.columns.bounds import note
from fasthep_parsl.ops.columns.layouts import from_column, to_awkward
from fasthep_parsl.ops.columns.rows import rows
from fasthep_parsl.ops.columns.values import ExpressionError, Jagged, Masked, is_text


def local_index(lists: Jagged) -> Jagged:
    """Return the position of each object in its list."""
    number = len(lists.content)
    positions = device.module_of(lists.offsets).arange(number) - device.repeat(
        lists.offsets[:-1], lists.offsets, number
    )
    return Jagged(lists.offsets, note(positions, (0, number)), lists.present)


def sort(lists: Jagged, *, ascending: bool) -> Jagged:
    """Return the innermost lists sorted, stable: NaN first and missing ones last, whatever the direction."""
    if isinstance(lists.content, Jagged):
        return Jagged(lists.offsets, sort(lists.content, ascending=ascending), lists.present)
    _refuse_text(lists)
    if _plain(lists):
        found = from_column(ak.sort(to_awkward(Jagged(lists.offsets, lists.content)), axis=1, ascending=ascending))
        return Jagged(lists.offsets, found.content, lists.present)
    return Jagged(lists.offsets, rows(lists.content, _order(lists, ascending)), lists.present)


def argsort(lists: Jagged, *, ascending: bool) -> Jagged:
    """Return the positions that sort the innermost lists."""
    if isinstance(lists.content, Jagged):
        return Jagged(lists.offsets, argsort(lists.content, ascending=ascending), lists.present)
    _refuse_text(lists)
    if _plain(lists):
        found = from_column(ak.argsort(to_awkward(Jagged(lists.offsets, lists.content)), axis=1, ascending=ascending))
        return Jagged(lists.offsets, found.content, lists.present)
    order = _order(lists, ascending)
    positions = order - device.repeat(lists.offsets[:-1], lists.offsets, len(order))
    return Jagged(lists.offsets, note(positions, (0, len(order))), lists.present)


def _refuse_text(lists: Jagged) -> None:
    if is_text(lists.content):
        raise ExpressionError("text cannot be sorted")


def _plain(lists: Jagged) -> bool:
    return isinstance(lists.content, np.ndarray)


def _order(lists: Jagged, ascending: bool) -> Any:
    content = lists.content
    if isinstance(content, Masked):
        return missing_last(lists.offsets, content, ascending=ascending)
    return segments.order(lists, ascending=ascending, nan_first=True)


def missing_last(offsets: Any, content: Masked, *, ascending: bool) -> Any:
    """Return positions that sort the objects of each list, missing ones at the end; stable."""
    values = np.where(content.valid, content.values, content.values.dtype.type(0))  # what lies there does not count
    lists = Jagged(offsets, values)
    order = segments.order(lists, ascending=ascending, nan_first=True)
    order = order[np.argsort(~content.valid[order], kind="stable")]
    return order[np.argsort(segments.parents_of(lists)[order], kind="stable")]


def heads(lists: Jagged, number: int) -> Jagged:
    """Return the first `number` entries of the outer lists; for a negative one all but so many."""
    counts = lists.counts
    left = np.minimum(counts, number) if number >= 0 else np.maximum(counts + number, 0)
    offsets = device.offsets_of(left)
    return Jagged(offsets, rows(lists.content, _positions(lists, offsets)[0]), lists.present)


def padded(lists: Jagged, target: int, *, clip: bool) -> Jagged:
    """Return outer lists of at least (`clip`: exactly) `target` entries, with missing ones at the end."""
    if _plain(lists) and lists.present is None:
        return from_column(ak.pad_none(to_awkward(lists), target, axis=1, clip=clip))  # type: ignore[no-any-return]
    counts = lists.counts
    wanted = np.full_like(counts, target) if clip else np.maximum(counts, target)
    if lists.present is not None:
        wanted = np.where(lists.present, wanted, 0)
    offsets = device.offsets_of(wanted)
    index, local = _positions(lists, offsets)
    valid = local < device.repeat(counts, offsets, len(local))
    return Jagged(offsets, rows(lists.content, index, valid), lists.present)


def _positions(lists: Jagged, offsets: Any) -> tuple[Any, Any]:
    """Return where in the content the first objects of each list lie, for new lists, and their positions in the list."""
    number = device.number(offsets[-1])
    local = device.module_of(offsets).arange(number) - device.repeat(offsets[:-1], offsets, number)
    return local + device.repeat(lists.offsets[:-1], offsets, number), local
