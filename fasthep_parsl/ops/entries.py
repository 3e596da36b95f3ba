"""The entries that a histogram is filled with: values of equal number, one per event or per object."""

from __future__ import annotations

from typing import Any

from fasthep_parsl.errors import OpError
from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import ak, np
from fasthep_parsl.ops.columns.broadcast import broadcast_all_to
from fasthep_parsl.ops.columns.value_types import Jagged, Masked, Value, all_valid, same_device, same_offsets
from fasthep_parsl.ops.counts import count_true

Flat = tuple[Any, Any]
"""Entries of one field: numbers (an array, or a scalar for all of them), and where they are valid (None: all are)."""


def flat_entries(values: list[tuple[str, Value]], events: int, *, weighted: bool) -> tuple[list[Flat], int]:
    """Return entries of equal number, one per innermost object if a value is jagged, and how many lists are missing.

    With `weighted` the last value is the weight.
    """
    flat = same_device(*(value for _, value in values))
    absent, number = 0, events
    while lists := next(
        ((text, value) for (text, _), value in zip(values, flat, strict=True) if _has_lists(value)), None
    ):
        first, reference = lists
        if weighted and not any(map(_has_lists, flat[:-1])):
            raise OpError(": ".join(weight_per_object(values[-1][0], values[0][0])))
        present = all_valid(*(value.present for value in flat if isinstance(value, Jagged)))
        if present is not None:
            absent += len(present) - device.to_python(count_true(present))
        for (text, _), value in zip(values, flat, strict=True):
            if isinstance(value, Jagged) and not same_offsets(value.offsets, reference.offsets):
                raise OpError(
                    f"`{first}` and `{text}` have different structure in one histogram: fill two, or make one of "
                    "them one value per event, e.g. nth(…, 0)"
                )
        flat, number = broadcast_all_to(flat, reference), len(reference.content)
    entries = [_entry(value) for value in flat]
    if np.ndim(entries[0][0]) == 0 and not any(device.on_gpu(array) for array, _ in entries):
        entries[0] = (np.full(number, entries[0][0]), entries[0][1])
    return _on_one_side(entries), absent


def weight_per_object(weight: str, axis: str) -> tuple[str, str]:
    """Return message and hint for a weight per object where the axes have one value per event."""
    return (
        f"the weight `{weight}` has one value per object and `{axis}` one per event, which would count once per object",
        f"make the weight one value per event, e.g. nth({weight}, 0), or fill a field of the same objects",
    )


def _has_lists(value: Value) -> bool:
    return isinstance(value, Jagged)


def _entry(value: Value) -> Flat:
    """Return values and where they are valid; text of an awkward array as numpy."""
    if isinstance(value, Masked):
        return value.values, value.valid
    if not isinstance(value, ak.Array):
        return value, None
    if value.ndim > 1 or ak.fields(value):
        raise OpError(f"a histogram takes one value per event or a list per event, not {value.type}")
    text = ak.to_numpy(value, allow_missing=True)
    return (text.data, ~np.ma.getmaskarray(text)) if isinstance(text, np.ma.MaskedArray) else (text, None)


def _on_one_side(flat: list[Flat]) -> list[Flat]:
    """Return entries all on the GPU if some are."""
    both = device.same_device(tuple(part for pair in flat for part in pair))
    return list(zip(both[::2], both[1::2], strict=True))
