"""Broadcasting: apply functions element by element, repeating values per event for the objects of lists."""

from __future__ import annotations

from collections.abc import Callable

from fasthep_parsl.ops.arrays import np
from fasthep_parsl.ops.columns.gather import repeat
from fasthep_parsl.ops.columns.value_types import ExpressionError, Jagged, Value, all_valid, same_device, same_offsets

Leaf = Callable[..., Value]
"""A function of constants, arrays, `Masked` and text of equal length, which returns one of them."""


def elementwise(leaf: Leaf, *args: Value) -> Value:
    """Apply a function to the innermost entries of values, without warnings.

    Raises
    ------
    ExpressionError
        Lists have different structure.
    """
    with np.errstate(all="ignore"):
        return _apply(leaf, same_device(*args))


def _apply(leaf: Leaf, args: tuple[Value, ...]) -> Value:
    lists = [arg for arg in args if isinstance(arg, Jagged)]
    if not lists:
        return leaf(*args)
    content = _apply(leaf, broadcast_all_to(args, lists[0]))
    return Jagged(lists[0].offsets, content, all_valid(*(arg.present for arg in lists)))


def broadcast_all_to(args: tuple[Value, ...], to: Jagged) -> tuple[Value, ...]:
    """Return values broadcast to the objects of `to`."""
    return tuple(broadcast_to(arg, to) for arg in args)


def broadcast_to(value: Value, to: Jagged) -> Value:
    """Return `value` per object of `to`: its content if it is jagged, else repeated values."""
    if not isinstance(value, Jagged):
        return repeat(value, to.offsets, len(to.content))
    if not same_offsets(value.offsets, to.offsets):
        raise ExpressionError(
            "jagged fields of different structure cannot be combined element by element",
            "reduce one of them to one value per event first, e.g. with sum(…), max(…) or nth(…, 0)",
        )
    return value.content
