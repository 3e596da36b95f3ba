"""Operations: the built-in ``hep.*`` family, one module each, and what authors of other ops need.

An op that takes expressions checks them with `analyse_expression` or `analyse_selection` before the run, and computes
them with `expression` or `selection_mask` on workers. The built-in ops do the same.

>>> from fasthep_parsl.ops import Effects, analyse_expression, expression, op
>>> def analyse(params, schema):
...     found = analyse_expression(params.expr, ("expr",), schema)
...     return Effects(found.reads, {params.output: found.shape}, tuple(found.problems))
>>> @op("custom.double", analyse=analyse)
... def double(events, *, expr: str, output: str, context=None):
...     return {output: 2 * expression(expr)(events, context)}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fasthep_parsl.interfaces import Context, Effects, InputFile, InputFolder, OpProblem, Schema, Shape
    from fasthep_parsl.ops.declare import op
    from fasthep_parsl.ops.expressions.expression import ExpressionError, analyse_expression, expression
    from fasthep_parsl.ops.steps import analyse_selection, selection_mask
    from fasthep_parsl.ops.stream import Events

__all__ = [
    "Context",
    "Effects",
    "Events",
    "ExpressionError",
    "InputFile",
    "InputFolder",
    "OpProblem",
    "Schema",
    "Shape",
    "analyse_expression",
    "analyse_selection",
    "expression",
    "op",
    "selection_mask",
]

_MODULES = {
    **dict.fromkeys(("Context", "Effects", "InputFile", "InputFolder", "OpProblem", "Schema", "Shape"), "interfaces"),
    **dict.fromkeys(("ExpressionError", "analyse_expression", "expression"), "ops.expressions"),
    **dict.fromkeys(("analyse_selection", "selection_mask"), "ops.steps"),
    "Events": "ops.stream",
    "op": "ops.declare",
}


def __getattr__(name: str) -> Any:
    """Import a public name at its first use: declaring an op needs no array library."""
    import importlib

    if name in _MODULES:
        return getattr(importlib.import_module(f"fasthep_parsl.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
