"""Infer the structure of an expression's result from the structures of its fields, without reading events."""

from __future__ import annotations

import ast
from collections.abc import Container, Mapping
from typing import Any

from fasthep_parsl.errors import Suggestion, suggest
from fasthep_parsl.interfaces import UNKNOWN, Schema, Shape
from fasthep_parsl.ops.columns.random_numbers import KEYS, check_seed
from fasthep_parsl.ops.columns.reductions import not_jagged
from fasthep_parsl.ops.columns.value_types import ExpressionError
from fasthep_parsl.ops.expressions.functions import Function, function
from fasthep_parsl.ops.expressions.grammar import CONSTANTS, dotted, literal_int, yields_bools


def unknown_field(name: str, schema: Container[str] | Mapping[str, Any]) -> ExpressionError:
    """Return the error for an unknown field; its hint names similar fields."""
    flat = name.replace(".", "_")
    known = list(schema) if isinstance(schema, Mapping) else []
    hint = Suggestion((flat,)) if flat != name and flat in schema else suggest(name, known, what="fields")
    return ExpressionError(f"unknown field `{name}`", hint, name)


def keywords_of(node: ast.Call) -> dict[str, ast.expr]:
    """Return the keyword arguments of a call."""
    return {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}


def shape_of(node: ast.expr, schema: Schema) -> Shape:  # noqa: PLR0911 - one per kind of node
    """Return the structure of `node` for fields with the structures in `schema`; raise `ExpressionError`."""
    match node:
        case ast.Constant():
            return ()
        case ast.Name() | ast.Attribute():
            return _shape_of_name(dotted(node) or "", schema)
        case ast.BinOp(left=left, right=right):
            return _broadcast([left, right], schema)
        case ast.UnaryOp(operand=operand):
            return shape_of(operand, schema)
        case ast.BoolOp(values=values):
            return _broadcast(values, schema)
        case ast.Compare(left=left, comparators=others):
            return _broadcast([left, *others], schema)
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


def _broadcast(nodes: list[ast.expr], schema: Schema) -> Shape:
    """Return the structure of an element-wise combination. One value per event combines with every structure."""
    broadcast: Shape = ()
    owner: ast.expr | None = None
    for node in nodes:
        shape = shape_of(node, schema)
        if not shape:
            continue
        if not _alike(shape, broadcast):
            one, other = ast.unparse(owner) if owner else "", ast.unparse(node)
            raise ExpressionError(
                f"`{one}` and `{other}` belong to different objects ({' '.join(broadcast)} and {' '.join(shape)})",
                "reduce one of them to one value per event first, e.g. with sum(…), max(…) or nth(…, 0)",
            )
        if _rank(shape) > _rank(broadcast):
            broadcast, owner = shape, node
    return broadcast


def _alike(a: Shape, b: Shape) -> bool:
    """Whether one structure is the other or a prefix of it; ``*`` matches every name."""
    return all(one == other or "*" in (one, other) for one, other in zip(a, b, strict=False))


def _rank(shape: Shape) -> tuple[int, int]:
    """Return a key that is larger for deeper structures and for more known names."""
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
        if yields_bools(index):
            raise ExpressionError(
                f"`{inner}` has one value per event and cannot be the mask of `{text}`",
                f"to select events use a selection; to blank values use where({inner}, {text}, …)",
            )
        return base[1:]
    if len(picked) > len(base):
        raise ExpressionError(f"the index `{inner}` has deeper lists than `{text}`", "use an index of the same depth")
    if yields_bools(index) and not _alike(base, picked):
        raise ExpressionError(
            f"the mask `{inner}` and `{text}` belong to different objects ({' '.join(picked)} and {' '.join(base)})",
            "a mask must come from fields of the same objects",
        )
    return _renamed(base, len(picked) - 1, inner)


def _renamed(shape: Shape, level: int, how: str) -> Shape:
    """Return the structure with a new name at `level`, because its lists have other entries; ``*`` is kept."""
    name = shape[level]
    return (*shape[:level], name if name == "*" else f"{name}[{how}]", *shape[level + 1 :])


def _shape_of_call(found: Function, args: dict[str, ast.expr], schema: Schema) -> Shape:
    nodes = list(args.values())
    if found.rule == "elementwise":
        _check_fill_none(found, nodes, schema)
        return _broadcast(nodes, schema)
    if found.rule == "random":
        return _shape_of_random(found, args, schema)
    first = nodes[0]
    if found.name == "take" and literal_int(nodes[1]) is None:
        return _shape_of_index(first, nodes[1], schema)
    shape = shape_of(first, schema)
    if shape == ():
        error = not_jagged(found.name)
        raise ExpressionError(f"`{found.name}({ast.unparse(first)})`: {error.message}", error.hint)
    if found.rule == "object" and len(shape_of(nodes[1], schema) if found.name == "nth" else ()):
        raise ExpressionError(f"{found.usage}: the index must be one number per event")
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


def _shape_of_random(found: Function, args: dict[str, ast.expr], schema: Schema) -> Shape:
    check_seed(found.name, literal_int(args["seed"]))
    for key in KEYS:
        if shape_of(args[key], schema) not in ((), UNKNOWN):
            what = ast.unparse(args[key])
            raise ExpressionError(f"{found.usage}: `{what}` has a list per event, not one integer that identifies it")
    objects = shape_of(args["objects"], schema) if "objects" in args else None
    if objects == ():
        what = ast.unparse(args["objects"])
        hint = "leave it out for one number per event"
        raise ExpressionError(f"{found.usage}: `{what}` has one value per event, not a list of objects", hint)
    return objects or ()


def _check_default(found: Function, shape: Shape, default: ast.expr, schema: Schema) -> None:
    if len(shape_of(default, schema)) > len(shape):
        hint = "reduce the default to one value per event, e.g. with nth(…, 0)"
        raise ExpressionError(f"{found.usage}: the default has a list per event, the result does not", hint)


def _check_fill_none(found: Function, nodes: list[ast.expr], schema: Schema) -> None:
    """Raise if lists would replace single values."""
    if found.name != "fill_none":
        return
    shape, value = (shape_of(node, schema) for node in nodes)
    if len(value) > len(shape):
        what, other = (ast.unparse(node) for node in nodes)
        hint = f"use one value per event, e.g. nth({other}, 0)"
        raise ExpressionError(f"fill_none: `{what}` has one value per event, `{other}` has a list per event", hint)
