"""Evaluate the syntax tree of an expression on the columns of events."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from fasthep_parsl.errors import suggest, summary_of
from fasthep_parsl.interfaces import Context
from fasthep_parsl.ops import device
from fasthep_parsl.ops.columns.broadcast import elementwise
from fasthep_parsl.ops.columns.dtypes import as_expression_type
from fasthep_parsl.ops.columns.indexing import select
from fasthep_parsl.ops.columns.layouts import from_column
from fasthep_parsl.ops.columns.operators import leaf_function
from fasthep_parsl.ops.columns.value_types import (
    FOREIGN,
    ExpressionError,
    MissingError,
    Value,
    innermost,
    is_scalar,
)
from fasthep_parsl.ops.expressions.functions import function
from fasthep_parsl.ops.expressions.grammar import BINARY, COMPARE, CONSTANTS, UNARY, dotted
from fasthep_parsl.ops.expressions.structure import keywords_of, unknown_field
from fasthep_parsl.ops.stream import Column


def _called(name: str, args: list[Value], keywords: dict[str, Value]) -> Value:
    """Call a function. If it cannot run on the GPU, name it in the error."""
    if device.cupy() is None:
        return function(name).call(*args, **keywords)
    try:
        return function(name).call(*args, **keywords)
    except FOREIGN as error:
        if not any(device.on_gpu(innermost(value)) for value in (*args, *keywords.values())):
            raise
        raise MissingError(f"{name}() cannot run on the GPU: {summary_of(error)}") from error


class Evaluation:
    """Evaluates nodes of a syntax tree on one set of events.

    Parameters
    ----------
    events : mapping of str to column
        Fields, all of the same number of events.
    context : Context, optional
        Needed for ``dataset.<key>``.
    """

    def __init__(self, events: Mapping[str, Column], context: Context | None) -> None:
        self.events = events
        self.context = context
        self.columns: dict[str, Value] = {}

    def of(self, node: ast.expr) -> Value:  # noqa: PLR0911 - one per kind of node
        """Return the value of a node."""
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name() | ast.Attribute():
                return self.name(dotted(node) or "")
            case ast.BinOp(left=left, op=operator, right=right):
                return self.binary(BINARY[type(operator)], left, right)
            case ast.UnaryOp(op=operator, operand=operand):
                return self.unary(UNARY[type(operator)], operand)
            case ast.BoolOp(op=operator, values=values):
                name = "logical_and" if isinstance(operator, ast.And) else "logical_or"
                return self.fold(name, [self.of(value) for value in values])
            case ast.Compare(left=left, ops=operators, comparators=others):
                values = [self.of(part) for part in (left, *others)]
                pairs = zip(operators, values[:-1], values[1:], strict=True)
                return self.fold(
                    "logical_and", [elementwise(leaf_function(COMPARE[type(o)]), a, b) for o, a, b in pairs]
                )
            case ast.Subscript(value=value, slice=index):
                return select(self.of(value), self.of(index))
            case ast.Call():
                keywords = {key: self.of(part) for key, part in keywords_of(node).items()}
                return _called(dotted(node.func) or "", [self.of(part) for part in node.args], keywords)
        raise ExpressionError(f"`{ast.unparse(node)}`: not allowed in an expression")

    def name(self, name: str, *, alone: bool = False) -> Value:
        """Return a field, a constant or a value of the dataset. With `alone`, a field keeps its type."""
        if name in self.columns:
            return self.columns[name]
        if name in self.events:
            value = from_column(self.events[name])
            if not alone:
                value = self.columns[name] = as_expression_type(value, name)
            return value
        if name in CONSTANTS:
            return CONSTANTS[name]
        if name.startswith("dataset."):
            return self.dataset_value(name.partition(".")[2])
        raise unknown_field(name, self.events)

    def dataset_value(self, key: str) -> Any:
        """Return ``dataset.<key>``."""
        if self.context is None:
            raise ExpressionError(f"`dataset.{key}` is not available: no dataset was given")
        dataset = self.context.dataset
        values = dataset.facts
        if key not in values:
            hint = suggest(key, values, what="known")
            raise ExpressionError(f"dataset `{dataset.name}` has no `{key}` in its meta", hint)
        if not is_scalar(values[key]):
            raise ExpressionError(f"`dataset.{key}` is not a number, a bool or text")
        return values[key]

    def binary(self, name: str, left: ast.expr, right: ast.expr) -> Value:
        """Return the result of a binary operator."""
        return elementwise(leaf_function(name), self.of(left), self.of(right))

    def unary(self, name: str, operand: ast.expr) -> Value:
        """Return the result of a unary operator."""
        return elementwise(leaf_function(name), self.of(operand))

    @staticmethod
    def fold(name: str, values: list[Value]) -> Value:
        """Return values combined by a binary operator, from left to right."""
        result = values[0]
        for value in values[1:]:
            result = elementwise(leaf_function(name), result, value)
        return result
