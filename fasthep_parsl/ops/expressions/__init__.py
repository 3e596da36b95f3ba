"""Expressions over fields: Python syntax on a grammar of our own, checked before the run, computed on flat buffers."""

from fasthep_parsl.ops.columns.value_types import ExpressionError
from fasthep_parsl.ops.expressions.expression import (
    Expression,
    ExpressionAnalysis,
    analyse_expression,
    expression,
    with_prefix,
)

__all__ = ["Expression", "ExpressionAnalysis", "ExpressionError", "analyse_expression", "expression", "with_prefix"]
