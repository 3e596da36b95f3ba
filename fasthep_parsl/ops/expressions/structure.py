"""The structure of an expression's result, found from the structures of its fields without reading an event."""

from __future__ import annotations

import ast
from collections.abc import Container, Mapping
from typing import Any

from fasthep_parsl.errors import suggest
from fasthep_parsl.interfaces import Schema, Shape
from fasthep_parsl.ops.columns.reductions import not_jagged
from fasthep_parsl.ops.columns.value_types import ExpressionError
from fasthep_parsl.ops.expressions.functions import Function, function
from fasthep_parsl.ops.expressions.grammar import CONSTANTS, dotted, literal_int, looks_boolean

UNKNOWN: Shape = ("*",)


def unknown_field(name: str, schema: Container[str] | Mapping[str, Any]) -> ExpressionError:
    """Return the error for a field that is not there, naming close ones."""
    flat = name.replace(".", "_")
    known = list(schema) if isinstance(schema, Mapping) else []
    hint = f"did you mean `{flat}`?" if flat != name and flat in schema else suggest(name, known, what="fields")
    return ExpressionError(f"unknown field `{name}`", hint)


def keywords_of(node: ast.Call) -> dict[str, ast.expr]:
    """Return the keyword arguments of a call."""
    return {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}


def shape_of(node: ast.expr, schema: Schema) -> Shape:  # noqa: PLR0911 - one per kind of node
    """Return the structure of `node` on fields of structure `schema`; raises `ExpressionError`."""
    match node:
        case ast.Constant():
            return ()
        case ast.Name() | ast.Attribute():
            return _shape_of_name(dotted(node) or "", schema)
        case ast.BinOp(left=left, right=right):
            return _join([left, right], schema)
        case ast.UnaryOp(operand=operand):
            return shape_of(operand, schema)
        case ast.BoolOp(values=values):
            return _join(values, schema)
        case ast.Compare(left=left, comparators=others):
            return _join([left, *others], schema)
        case ast.Subscript(value=value, slice=index):
            return _shape_of_index(value, index, schema)
        case ast.Call():
            found = function(dotted(node.func) or "")
            return _shape_of_call(found, found.bind(list(node.args), keywords_of(node)), schema)
    raise ExpressionError(f"`{ast.unparse(node)}`: not allowed in an expression")


def _shape_of_name(name: str, schema: Schema) -> Shape:
    if name in schema:
        return schema[name]
    if name in CONSTANTS or name.startswith("dataset."):
        return ()
    raise unknown_field(name, schema)


def _join(nodes: list[ast.expr], schema: Schema) -> Shape:
    """Return the structure of an element-wise combination; one value per event goes with everything."""
    joined: Shape = ()
    owner: ast.expr | None = None
    for node in nodes:
        shape = shape_of(node, schema)
        if not shape:
            continue
        if not _alike(shape, joined):
            one, other = ast.unparse(owner) if owner else "", ast.unparse(node)
            raise ExpressionError(
                f"`{one}` and `{other}` belong to different objects ({' '.join(joined)} and {' '.join(shape)})",
                "reduce one of them to one value per event first, e.g. with sum(…), max(…) or nth(…, 0)",
            )
        if _rank(shape) > _rank(joined):
            joined, owner = shape, node
    return joined


def _alike(a: Shape, b: Shape) -> bool:
    """Whether lists of one structure can lie in, or be, lists of the other; ``*`` can be any."""
    return all(one == other or "*" in (one, other) for one, other in zip(a, b, strict=False))


def _rank(shape: Shape) -> tuple[int, int]:
    """Return how much is known of a structure: its depth, and the names in it."""
    return len(shape), sum(name != "*" for name in shape)


def _shape_of_index(value: ast.expr, index: ast.expr, schema: Schema) -> Shape:
    base, picked = shape_of(value, schema), shape_of(index, schema)
    text, inner = ast.unparse(value), ast.unparse(index)
    if base == ():
        raise ExpressionError(
            f"`{text}` has one value per event and cannot be indexed",
            f"to select events use a selection; to blank values use where({inner}, {text}, …)",
        )
    if picked == ():
        if looks_boolean(index):
            raise ExpressionError(
                f"`{inner}` has one value per event and cannot be the mask of `{text}`",
                f"to select events use a selection; to blank values use where({inner}, {text}, …)",
            )
        return base[1:]
    if len(picked) > len(base):
        raise ExpressionError(
            f"`{inner}` has deeper lists than `{text}`", "an index goes as deep as what it is applied to"
        )
    if looks_boolean(index) and not _alike(base, picked):
        raise ExpressionError(
            f"the mask `{inner}` and `{text}` belong to different objects ({' '.join(picked)} and {' '.join(base)})",
            "a mask must come from fields of the same objects",
        )
    return _renamed(base, len(picked) - 1, inner)


def _renamed(shape: Shape, level: int, how: str) -> Shape:
    """Return the structure of lists of which those at `level` have other entries; what is unknown stays so."""
    name = shape[level]
    return (*shape[:level], name if name == "*" else f"{name}[{how}]", *shape[level + 1 :])


def _shape_of_call(found: Function, args: dict[str, ast.expr], schema: Schema) -> Shape:
    nodes = list(args.values())
    if found.rule == "elementwise":
        _check_filling(found, nodes, schema)
        return _join(nodes, schema)
    first = nodes[0]
    if found.name == "take" and literal_int(nodes[1]) is None:
        return _shape_of_index(first, nodes[1], schema)
    shape = shape_of(first, schema)
    if shape == ():
        error = not_jagged(found.name)
        raise ExpressionError(f"`{found.name}({ast.unparse(first)})`: {error.message}", error.hint)
    if found.rule == "object" and len(shape_of(nodes[1], schema) if found.name == "nth" else ()):
        raise ExpressionError(f"{found.usage}: the index is one number per event")
    if found.rule == "object" and "default" in args:
        _check_default(found, shape[1:], args["default"], schema)
    text = f"{found.name}({', '.join(ast.unparse(node) for node in nodes[1:])})"
    results: dict[str, Shape] = {
        "reduce": shape[:-1],
        "number": (),
        "object": shape[1:],
        "index": shape[:1],
        "shorter": _renamed(shape, 0, text),
        "sorted": _renamed(shape, len(shape) - 1, text),
        "positions": shape,
    }
    return results[found.rule]


def _check_default(found: Function, shape: Shape, default: ast.expr, schema: Schema) -> None:
    if len(shape_of(default, schema)) > len(shape):
        hint = "reduce the default to one value per event, e.g. with nth(…, 0)"
        raise ExpressionError(f"{found.usage}: the default has a list per event, what it replaces has not", hint)


def _check_filling(found: Function, nodes: list[ast.expr], schema: Schema) -> None:
    """Refuse lists in place of single values."""
    if found.name != "fill_none":
        return
    shape, value = (shape_of(node, schema) for node in nodes)
    if len(value) > len(shape):
        what, other = (ast.unparse(node) for node in nodes)
        hint = f"reduce it to one, e.g. nth({other}, 0)"
        raise ExpressionError(f"`{what}` has no lists that `{other}` could fill: it has one value per event", hint)
