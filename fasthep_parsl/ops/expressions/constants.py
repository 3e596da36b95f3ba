"""Constant folding: replace ``2 ** 10`` or ``-1`` in a syntax tree by its value, computed as Python does.

The size of intermediate integers is limited, so ``10 ** 10 ** 10`` is an error at once. Results must fit in 64 bits.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from typing import Any

from fasthep_parsl.ops.columns.operators import FLOATS
from fasthep_parsl.ops.columns.value_types import ExpressionError

LARGEST = 2**63 - 1
"""Largest integer that expressions compute with."""
_MAX_BITS = 4096
"""Maximum size of intermediate integers, in bits."""
_FLOATS = frozenset((*FLOATS, "mean", "std", "prod", "random", "random_normal", "delta_phi", "delta_r"))
_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: operator.invert,
    ast.Not: operator.not_,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


def fold_constants(tree: ast.expr) -> ast.expr:
    """Return `tree` with each subtree of constants replaced by its value.

    Raises
    ------
    ExpressionError
        An integer does not fit in 64 bits, or an integer is divided by a literal 0.
    """
    found: ast.expr = _Fold().visit(tree)
    for node in ast.walk(found):
        if isinstance(node, ast.Constant) and type(node.value) is int and not -LARGEST - 1 <= node.value <= LARGEST:
            raise _too_large()
    return found


def _too_large() -> ExpressionError:
    return ExpressionError("an integer does not fit in 64 bits", "write it as a float, e.g. 1e19 for 10**19")


def _is_number(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float)


class _Fold(ast.NodeTransformer):
    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        left, right = node.left, node.right
        zero = isinstance(right, ast.Constant) and isinstance(right.value, int) and right.value == 0
        if zero and isinstance(node.op, ast.FloorDiv | ast.Mod) and not is_float(left):
            raise ExpressionError(f"`{ast.unparse(node)}` divides by zero", "for floats, write 0.0")
        if isinstance(node.op, ast.BitAnd | ast.BitOr | ast.BitXor) and (is_float(left) or is_float(right)):
            raise _bitwise_on_floats()
        if not (_is_number(left) and _is_number(right)):
            return node
        return _constant(_binary(node.op, left.value, right.value), node)  # type: ignore[attr-defined]

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.op, ast.Invert) and is_float(node.operand):
            raise _bitwise_on_floats()
        if not _is_number(node.operand):
            return node
        value = node.operand.value  # type: ignore[attr-defined]
        if isinstance(node.op, ast.Invert) and isinstance(value, bool):
            return _constant(not value, node)
        return _constant(_OPERATORS[type(node.op)](value), node)

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        self.generic_visit(node)
        parts = [node.left, *node.comparators]
        if not all(map(_is_number, parts)):
            return node
        values = [part.value for part in parts]  # type: ignore[attr-defined]
        pairs = zip(node.ops, values[:-1], values[1:], strict=True)
        return _constant(all(_OPERATORS[type(op)](a, b) for op, a, b in pairs), node)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        self.generic_visit(node)
        if not all(map(_is_number, node.values)):
            return node
        truths = (bool(part.value) for part in node.values)  # type: ignore[attr-defined]
        return _constant(all(truths) if isinstance(node.op, ast.And) else any(truths), node)


def _constant(value: Any, node: ast.expr) -> ast.expr:
    return ast.copy_location(ast.Constant(value), node)


def is_float(node: ast.expr) -> bool:
    """Whether `node` yields floats whatever its fields are."""
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Div) or is_float(node.left) or is_float(node.right)
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.USub | ast.UAdd) and is_float(node.operand)
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in _FLOATS
    return isinstance(node, ast.Constant) and isinstance(node.value, float)


def _bitwise_on_floats() -> ExpressionError:
    return ExpressionError(
        "& | ^ ~ take bools or integers, not floats", "to combine cuts, compare first: (x > 1) & (y < 2)"
    )


def _binary(op: ast.operator, a: Any, b: Any) -> Any:
    """Return the result for two numbers: floats follow IEEE 754, integers are exact."""
    if isinstance(op, ast.Pow):
        return _power(a, b)
    try:
        found = _OPERATORS[type(op)](a, b)
    except ZeroDivisionError:
        return _by_zero(op, float(a), float(b))
    except OverflowError:
        raise _too_large() from None
    if isinstance(found, int) and found.bit_length() > _MAX_BITS:
        raise _too_large()
    return found


def _power(a: Any, b: Any) -> Any:
    if isinstance(a, int) and isinstance(b, int) and b >= 0:
        if abs(a) > 1 and b * abs(a).bit_length() > _MAX_BITS:
            raise _too_large()
        return a**b
    try:
        found = float(a) ** float(b)
    except ZeroDivisionError:
        odd = float(b).is_integer() and b % 2
        return math.copysign(math.inf, a) if odd else math.inf
    except OverflowError:
        odd = float(b).is_integer() and b % 2
        return -math.inf if a < 0 and odd else math.inf
    return math.nan if isinstance(found, complex) else found


def _by_zero(op: ast.operator, a: float, b: float) -> float:
    if isinstance(op, ast.Mod) or a == 0 or math.isnan(a):
        return math.nan
    return math.copysign(math.inf, a) * math.copysign(1, b)
