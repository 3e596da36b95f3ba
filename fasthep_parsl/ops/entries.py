"""Entries of a histogram: broadcast axes and weights to arrays of equal length, one entry per event or object."""

from __future__ import annotations

from typing import Any

from fasthep_parsl.errors import OpError
from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import ak, np
from fasthep_parsl.ops.columns.broadcast import broadcast_all_to
from fasthep_parsl.ops.columns.value_types import Jagged, Masked, Value, all_valid, same_device, same_offsets
from fasthep_parsl.ops.counts import count_true

Entries = tuple[Any, Any]
"""Entries of one field: an array, or a scalar for all entries, and a mask of valid entries (None: all are valid)."""


def flat_entries(values: list[tuple[str, Value]], events: int, *, weights: int) -> tuple[list[Entries], int]:
    """Return the entries of all values, and the number of missing lists.

    There is one entry per event, or one per innermost object if a value is jagged. The last `weights` values are weights.
    """
    flat = same_device(*(value for _, value in values))
    absent, number = 0, events
    while lists := next(
        ((text, value) for (text, _), value in zip(values, flat, strict=True) if _has_lists(value)), None
    ):
        first, reference = lists
        if weights and not any(map(_has_lists, flat[:-weights])):
            raise OpError(": ".join(weight_per_object(first, values[0][0])))
        present = all_valid(*(value.present for value in flat if isinstance(value, Jagged)))
        if present is not None:
            absent += len(present) - device.to_python(count_true(present))
        for (text, _), value in zip(values, flat, strict=True):
            if isinstance(value, Jagged) and not same_offsets(value.offsets, reference.offsets):
                raise OpError(
                    f"`{first}` and `{text}` have different structure in one histogram: fill two histograms, or reduce "
                    "one of them to one value per event, e.g. with nth(…, 0)"
                )
        flat, number = broadcast_all_to(flat, reference), len(reference.content)
    entries = [_entry(value) for value in flat]
    if np.ndim(entries[0][0]) == 0 and not any(device.on_gpu(array) for array, _ in entries):
        entries[0] = (np.full(number, entries[0][0]), entries[0][1])
    return _on_same_device(entries), absent


def weight_per_object(weight: str, axis: str) -> tuple[str, str]:
    """Return the error message and hint for a weight per object if the axes have one value per event."""
    return (
        f"the weight `{weight}` has one value per object, but `{axis}` has one per event",
        f"use a weight per event, e.g. nth({weight}, 0), or fill a field of the same objects",
    )


def _has_lists(value: Value) -> bool:
    return isinstance(value, Jagged)


def _entry(value: Value) -> Entries:
    """Return values and their mask. Text becomes a numpy array."""
    if isinstance(value, Masked):
        return value.values, value.valid
    if not isinstance(value, ak.Array):
        return value, None
    if value.ndim > 1 or ak.fields(value):
        raise OpError(f"a histogram takes one value or one list of values per event, not {value.type}")
    text = ak.to_numpy(value, allow_missing=True)
    return (text.data, ~np.ma.getmaskarray(text)) if isinstance(text, np.ma.MaskedArray) else (text, None)


def _on_same_device(flat: list[Entries]) -> list[Entries]:
    """Return all entries on the GPU if some are there."""
    both = device.same_device(tuple(part for pair in flat for part in pair))
    return list(zip(both[::2], both[1::2], strict=True))
