"""``random`` and ``random_normal`` of expressions: numbers of events and objects."""

from __future__ import annotations

from typing import Any

from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import np
from fasthep_parsl.ops.columns import philox
from fasthep_parsl.ops.columns.dtypes import is_whole
from fasthep_parsl.ops.columns.value_types import (
    ExpressionError,
    Jagged,
    Masked,
    Value,
    all_valid,
    is_text,
    same_device,
)

KEYS = ("run", "luminosityBlock", "event")


def random_value(kind: str, name: str, seed: Value, keys: tuple[Value, Value, Value], objects: Value = None) -> Value:
    """Return a random number per event, or per object of the lists `objects`, float64.

    Parameters
    ----------
    kind : "uniform" or "normal"
        Distribution.
    name : str
        Name of the function, for errors.
    seed : int
        Written number.
    keys : run, luminosity block, event
        Whole numbers per event, or constants. They identify the event.
    objects : Jagged, optional
        The objects. Only their positions within the event count.

    Raises
    ------
    ExpressionError
        An argument has another type.
    """
    check_seed(name, seed)
    for key, value in zip(KEYS, keys, strict=True):
        if isinstance(value, Jagged) or is_text(value) or not is_whole(_flat(value)):
            raise ExpressionError(f"{name}(): `{key}` must be one integer per event", "it identifies the event")
    if objects is not None and not isinstance(objects, Jagged):
        raise ExpressionError(f"{name}(): `objects` must be a list per event", "leave it out for one number per event")
    run, block, event, lists = same_device(*keys, *((objects,) if objects is not None else (None,)))
    flat = device.same_device(tuple(map(_flat, (run, block, event))))
    valid = all_valid(*(value.valid for value in (run, block, event) if isinstance(value, Masked)))
    if lists is not None:
        return _per_object(kind, seed, flat, valid, lists)
    length = next((len(part) for part in flat if device.is_array(part)), None)
    words = [_bits(part, flat, 1 if length is None else length) for part in flat]
    found = philox.draw(kind, _counter(*words), (seed, 0))
    if length is None:
        return found[0].item()
    return found if valid is None else Masked(found, valid)


def check_seed(name: str, seed: Any) -> None:
    """Raise if a seed is not a number from 0 to 2³² − 1 that is written in the expression."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= philox.WORD:
        raise ExpressionError(
            f"{name}(): the seed must be an integer from 0 to 4294967295", "use another number for each purpose"
        )


def _per_object(kind: str, seed: int, flat: tuple[Any, ...], valid: Any, lists: Jagged) -> Jagged:
    """Return lists with the structure of `lists`."""
    offsets = _offsets_of_innermost(lists)
    number = device.to_python(offsets[-1])
    module = device.module_of(offsets)
    words = [_bits(part, (offsets,), len(lists)) for part in flat]
    each = [device.repeat(word, offsets, number) for word in words]
    position = (module.arange(number) - device.repeat(offsets[:-1], offsets, number)).view(np.uint64) + 1
    found = philox.draw(kind, _counter(*each), (seed, position))
    return _with_numbers(lists, found, None if valid is None else device.repeat(valid, offsets, number))


def _with_numbers(lists: Jagged, found: Any, valid: Any) -> Jagged:
    if isinstance(lists.content, Jagged):
        return Jagged(lists.offsets, _with_numbers(lists.content, found, valid), lists.present)
    there = all_valid(lists.content.valid if isinstance(lists.content, Masked) else None, valid)
    return Jagged(lists.offsets, found if there is None else Masked(found, there), lists.present)


def _offsets_of_innermost(lists: Jagged) -> Any:
    """Return where the innermost items of each event begin and end."""
    offsets = lists.offsets
    while isinstance(lists.content, Jagged):
        lists = lists.content
        offsets = lists.offsets[offsets]
    return offsets


def _counter(run: Any, block: Any, event: Any) -> philox.Words:
    """Return the words of 32 bits that identify an event."""
    return event & philox.WORD, event >> 32, block & philox.WORD, run & philox.WORD


def _bits(part: Any, beside: tuple[Any, ...], length: int) -> Any:
    """Return integers as uint64, shape (length,), on the device of the arrays `beside` it."""
    if device.is_array(part):
        return part.astype(np.int64).view(np.uint64)
    place = next((array for array in beside if device.is_array(array)), None)
    module = np if place is None else device.module_of(place)
    return module.full(length, int(part) & 0xFFFFFFFFFFFFFFFF, dtype=np.uint64)


def _flat(value: Value) -> Any:
    return value.values if isinstance(value, Masked) else value
