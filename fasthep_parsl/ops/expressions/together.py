"""The common structure of several expressions whose values are used together."""

from __future__ import annotations

from collections.abc import Iterable

from fasthep_parsl.interfaces import OpProblem, ParamPath, Schema, Shape
from fasthep_parsl.ops.expressions.expression import analyse_expression, expression


def common_structure(texts: Iterable[tuple[str, ParamPath]], schema: Schema) -> tuple[Shape, list[OpProblem]]:
    """Return the structure of expressions that are combined element by element, and why they cannot be.

    Parameters
    ----------
    texts : iterable of (str, path)
        Expressions without mistakes of their own, and their places in the parameters.
    schema : mapping
        Fields of the stream.
    """
    shape: Shape = ()
    owner = ""  # the expression that has this structure
    for text, path in texts:
        if expression(text).constant is not None:
            continue
        found = analyse_expression(f"({owner}) + ({text})" if owner else text, path, schema)
        if found.problems:
            return shape, found.problems
        if found.shape != shape or not owner:
            owner = text
        shape = found.shape
    return shape, []
