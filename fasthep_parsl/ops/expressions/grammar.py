"""Parser of expressions: Python syntax restricted to the nodes and operators listed here."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import cast

from fasthep_parsl.ops.columns.value_types import ExpressionError

BINARY: dict[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "true_divide",
    ast.FloorDiv: "floor_divide",
    ast.Mod: "remainder",
    ast.Pow: "power",
    ast.BitAnd: "bitwise_and",
    ast.BitOr: "bitwise_or",
    ast.BitXor: "bitwise_xor",
}
COMPARE: dict[type[ast.cmpop], str] = {
    ast.Lt: "less",
    ast.LtE: "less_equal",
    ast.Gt: "greater",
    ast.GtE: "greater_equal",
    ast.Eq: "equal",
    ast.NotEq: "not_equal",
}
UNARY: dict[type[ast.unaryop], str] = {
    ast.USub: "negative",
    ast.UAdd: "positive",
    ast.Invert: "invert",
    ast.Not: "logical_not",
}
CONSTANTS = {"pi": 3.141592653589793, "e": 2.718281828459045, "inf": float("inf"), "nan": float("nan")}

_BITWISE = (ast.BitAnd, ast.BitOr, ast.BitXor)
_SYMBOLS = {ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^"}
_TOKENS = re.compile(r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(&&)|(\|\|)|(!(?!=))""")


def parse(text: str) -> ast.expr:
    """Return the syntax tree of `text`. ``&&``, ``||`` and ``!x`` are accepted too.

    Raises
    ------
    ExpressionError
        The text is not an expression, or contains something that is not allowed.
    """
    source, negations = _python_of(text)
    if not source:
        raise ExpressionError("the expression is empty")
    try:
        tree = ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ExpressionError(f"`{text}` is not an expression: {getattr(error, 'msg', error)}", _hint(text)) from None
    try:
        tree = cast("ast.expr", _Normalise(negations).visit(tree))
        _check(tree, source)
    except RecursionError:
        raise ExpressionError(
            "the expression is nested too deeply", "define parts of it as fields with hep.define"
        ) from None
    return tree


def dotted(node: ast.expr) -> str | None:
    """Return ``a`` or ``a.b.c`` if `node` is a name, else None."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        parent = dotted(node.value)
        return f"{parent}.{node.attr}" if parent else None
    return None


def literal_int(node: ast.expr) -> int | None:
    """Return the value of `node` if it is a literal integer with or without a sign, else None."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = literal_int(node.operand)
        return None if value is None else (-value if isinstance(node.op, ast.USub) else value)
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    return None


def yields_bools(node: ast.expr) -> bool:
    """Whether `node` yields bools whatever its fields are."""
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.Not) or (isinstance(node.op, ast.Invert) and yields_bools(node.operand))
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, _BITWISE) and yields_bools(node.left) and yields_bools(node.right)
    return isinstance(node, ast.Compare | ast.BoolOp)


def _python_of(text: str) -> tuple[str, frozenset[int]]:
    """Return the text in Python syntax, and the byte offsets of ``~+``, which replaces ``!`` (same precedence)."""
    parts: list[str] = []
    negations: list[int] = []
    text = text.replace("\n", " ").strip()
    end = 0
    for match in _TOKENS.finditer(text):
        string, land, lor, _ = match.groups()
        parts.append(text[end : match.start()])
        end = match.end()
        if not (string or land or lor):
            negations.append(len("".join(parts).encode()))
        parts.append(string or (" and " if land else " or " if lor else "~+"))
    return "".join((*parts, text[end:])).strip(), frozenset(negations)


class _Normalise(ast.NodeTransformer):
    """Replace ``~+x``, the marker of ``!x``, by ``not x``."""

    def __init__(self, negations: frozenset[int]) -> None:
        self._negations = negations

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        self.generic_visit(node)
        inner = node.operand
        if isinstance(node.op, ast.Invert) and node.col_offset in self._negations and isinstance(inner, ast.UnaryOp):
            return ast.copy_location(ast.UnaryOp(ast.Not(), inner.operand), node)
        return node


def _hint(text: str) -> str:
    if re.search(r"(?<![=!<>])=(?!=)", text):
        return "to compare, write `==`"
    if text.count("(") != text.count(")"):
        return "the parentheses are not balanced"
    return ""


def _error(node: ast.AST, what: str, hint: str = "") -> ExpressionError:
    return ExpressionError(f"`{ast.unparse(node)}`: {what}", hint)


def _check(node: ast.expr, source: str) -> None:
    check = _CHECKS.get(type(node))
    if check is None:
        raise _error(node, "not allowed in an expression", _FORBIDDEN_HINTS.get(type(node), ""))
    check(node, source)
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.keyword):
            _check(child.value, source)
        elif isinstance(child, ast.expr) and not (isinstance(node, ast.Call) and child is node.func):
            _check(child, source)


def _check_constant(node: ast.Constant, _source: str) -> None:
    if node.value is None:
        raise _error(node, "None is not allowed", "use is_none(x) or fill_none(x, value)")
    if not isinstance(node.value, bool | int | float | str):
        raise _error(node, "only numbers, text, True and False are allowed")


def _check_attribute(node: ast.Attribute, _source: str) -> None:
    if dotted(node) is None or "__" in (dotted(node) or "__"):
        raise _error(node, "attributes of values are not allowed")


def _check_call(node: ast.Call, _source: str) -> None:
    name = dotted(node.func)
    if name is None:
        raise _error(node, "only named functions can be called")
    if any(isinstance(arg, ast.Starred) for arg in node.args) or any(k.arg is None for k in node.keywords):
        raise _error(node, "arguments with `*` are not allowed")


def _check_binary(node: ast.BinOp, _source: str) -> None:
    if type(node.op) not in BINARY:
        raise _error(node, "this operator is not allowed")
    if not isinstance(node.op, _BITWISE):
        return
    for one, other in ((node.left, node.right), (node.right, node.left)):
        number = (
            isinstance(one, ast.Constant) and isinstance(one.value, int | float) and not isinstance(one.value, bool)
        )
        if number and (isinstance(one.value, float) or yields_bools(other)):  # type: ignore[attr-defined]
            raise _precedence(node)


def _check_unary(node: ast.UnaryOp, _source: str) -> None:
    if type(node.op) not in UNARY:
        raise _error(node, "this operator is not allowed")


def _check_compare(node: ast.Compare, source: str) -> None:
    for operator in node.ops:
        if type(operator) not in COMPARE:
            raise _error(node, "the comparisons are < <= > >= == !=", "for a list of values, write (x == 1) | (x == 2)")
    for operand in (node.left, *node.comparators):
        if isinstance(operand, ast.BinOp) and isinstance(operand.op, _BITWISE) and not _enclosed(operand, source):
            raise _precedence(operand, node)


def _precedence(node: ast.BinOp, whole: ast.expr | None = None) -> ExpressionError:
    symbol = _SYMBOLS[type(node.op)]
    return ExpressionError(
        f"`{symbol}` binds more tightly than comparisons: this means `{ast.unparse(whole or node)}`"
        + (f" with `({ast.unparse(node)})` computed first" if whole else ""),
        f"add parentheses: (a > 1) {symbol} (b < 2)",
    )


def _enclosed(node: ast.expr, source: str) -> bool:
    """Whether `node` is enclosed in parentheses."""
    raw = source.encode()  # offsets in the tree are in bytes
    before, after = raw[: node.col_offset].rstrip(), raw[node.end_col_offset :].lstrip()
    return before.endswith(b"(") and after.startswith(b")")


def _check_subscript(node: ast.Subscript, _source: str) -> None:
    value = ast.unparse(node.value)
    index = literal_int(node.slice)
    if index is not None:
        raise _error(node, "a number as index would select an event, not an object", f"use nth({value}, {index})")
    if isinstance(node.slice, ast.Slice | ast.Tuple):
        raise _error(
            node, "slices are not allowed", f"use nth({value}, 0) for one object, take({value}, n) for the first n"
        )


def _accept(_node: ast.expr, _source: str) -> None:
    """Accept the node."""


_CHECKS: dict[type[ast.expr], Callable[..., None]] = {
    ast.Name: _accept,
    ast.BoolOp: _accept,
    ast.Constant: _check_constant,
    ast.Attribute: _check_attribute,
    ast.Call: _check_call,
    ast.BinOp: _check_binary,
    ast.UnaryOp: _check_unary,
    ast.Compare: _check_compare,
    ast.Subscript: _check_subscript,
}
_FORBIDDEN_HINTS: dict[type[ast.expr], str] = {
    ast.IfExp: "use where(condition, a, b)",
    ast.List: "for a list of values, write (x == 1) | (x == 2)",
    ast.Tuple: "write one expression, without commas",
    ast.Lambda: "write your own op in a module listed in `use.modules`",
    ast.ListComp: "write your own op in a module listed in `use.modules`",
}
