"""Expressions over fields: a subset of Python syntax, checked before the run, computed on flat NumPy or CuPy arrays."""

from fasthep_parsl.ops.columns.value_types import ExpressionError
from fasthep_parsl.ops.expressions.expression import (
    Expression,
    ExpressionAnalysis,
    analyse_expression,
    expression,
    with_prefix,
)

__all__ = ["Expression", "ExpressionAnalysis", "ExpressionError", "analyse_expression", "expression", "with_prefix"]
