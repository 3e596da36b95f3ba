"""Work element by element: one value per event counts for each object of its list, a list for each list inside it."""

from __future__ import annotations

from collections.abc import Callable

from fasthep_parsl.ops.arrays import np
from fasthep_parsl.ops.columns.rows import repeated
from fasthep_parsl.ops.columns.values import ExpressionError, Jagged, Value, all_known, one_side, same_offsets

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
        return _inside(leaf, one_side(*args))


def _inside(leaf: Leaf, args: tuple[Value, ...]) -> Value:
    lists = [arg for arg in args if isinstance(arg, Jagged)]
    if not lists:
        return leaf(*args)
    content = _inside(leaf, aligned(args, lists[0]))
    return Jagged(lists[0].offsets, content, all_known(*(arg.present for arg in lists)))


def aligned(args: tuple[Value, ...], to: Jagged) -> tuple[Value, ...]:
    """Return values for the objects of `to`."""
    return tuple(spread(arg, to) for arg in args)


def spread(value: Value, to: Jagged) -> Value:
    """Return the content of `value` for the objects of `to`; one value per event is repeated for each."""
    if not isinstance(value, Jagged):
        return repeated(value, to.offsets, len(to.content))
    if not same_offsets(value.offsets, to.offsets):
        raise ExpressionError(
            "jagged fields of different structure cannot be combined element by element",
            "reduce one of them to one value per event first, e.g. with sum(…), max(…) or nth(…, 0)",
        )
    return value.content
