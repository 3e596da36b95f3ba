"""Work element by element: one value per event counts for each object of its list, a list for each list inside it."""

from __future__ import annotations

from collections.abc import Callable

from fasthep_parsl.ops.arrays import np
from fasthep_parsl.ops.columns.gather import repeat
from fasthep_parsl.ops.columns.value_types import ExpressionError, Jagged, Value, all_valid, same_device, same_offsets

Leaf = Callable[..., Value]
"""Takes constants, arrays, `Masked` and text of equal length; returns one of them."""


def elementwise(leaf: Leaf, *args: Value) -> Value:
    """Apply a function to the innermost entries of values; never warns.

    Raises
    ------
    ExpressionError
        Lists of different structure.
    """
    with np.errstate(all="ignore"):
        return _inside(leaf, same_device(*args))


def _inside(leaf: Leaf, args: tuple[Value, ...]) -> Value:
    lists = [arg for arg in args if isinstance(arg, Jagged)]
    if not lists:
        return leaf(*args)
    content = _inside(leaf, broadcast_all_to(args, lists[0]))
    return Jagged(lists[0].offsets, content, all_valid(*(arg.present for arg in lists)))


def broadcast_all_to(args: tuple[Value, ...], to: Jagged) -> tuple[Value, ...]:
    """Return values for the objects of `to`."""
    return tuple(broadcast_to(arg, to) for arg in args)


def broadcast_to(value: Value, to: Jagged) -> Value:
    """Return the content of `value` for the objects of `to`; one value per event is repeated for each."""
    if not isinstance(value, Jagged):
        return repeat(value, to.offsets, len(to.content))
    if not same_offsets(value.offsets, to.offsets):
        raise ExpressionError(
            "jagged fields of different structure cannot be combined element by element",
            "reduce one of them to one value per event first, e.g. with sum(…), max(…) or nth(…, 0)",
        )
    return value.content
