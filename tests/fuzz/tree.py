"""Expressions as trees, and how they are written.

A tree is a tuple: ``("name", field)``, ``("const", number or text)``, ``("unary", operator, a)``,
``("binary", operator, a, b)``, ``("compare", operators, parts)``, ``("logic", "and" or "or", a, b)``,
``("call", function, args, keywords)``, ``("index", a, b)``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Tree = tuple[Any, ...]


def write(tree: Tree) -> str:
    """Return the text of `tree`, with parentheses around each part."""
    match tree:
        case ("name", name):
            return name
        case ("const", value):
            return (
                f"({value!r})" if isinstance(value, int | float) and value < 0 else repr(value)
            )  # -2 ** x is -(2 ** x)
        case ("unary", operator, a):
            return f"({operator} {write(a)})"
        case ("binary", operator, a, b):
            return f"({write(a)} {operator} {write(b)})"
        case ("compare", operators, parts):
            first, *others = map(write, parts)
            return f"({first} {' '.join(f'{o} {part}' for o, part in zip(operators, others, strict=True))})"
        case ("logic", operator, a, b):
            return f"({write(a)} {operator} {write(b)})"
        case ("call", name, args, keywords):
            given = [*map(write, args), *(f"{key}={write(value)}" for key, value in keywords)]
            return f"{name}({', '.join(given)})"
        case ("index", a, b):
            return f"{write(a)}[{write(b)}]"
    raise AssertionError(tree)


def parts_of(tree: Tree) -> list[Tree]:
    """Return the trees right below `tree`."""
    match tree:
        case ("unary", _, a):
            return [a]
        case ("binary" | "logic", _, a, b) | ("index", a, b):
            return [a, b]
        case ("compare", _, parts):
            return list(parts)
        case ("call", _, args, keywords):
            return [*args, *(value for _, value in keywords)]
    return []


def fields_of(tree: Tree) -> set[str]:
    """Return the fields that `tree` names."""
    if tree[0] == "name":
        return {tree[1]}
    return {field for part in parts_of(tree) for field in fields_of(part)}


def smaller(tree: Tree) -> Iterator[Tree]:
    """Yield trees that are a little smaller than `tree`: a part of it, or one with a smaller part."""
    below = parts_of(tree)
    yield from below
    for number, part in enumerate(below):
        for less in smaller(part):
            yield _with(tree, number, less)


def _with(tree: Tree, number: int, part: Tree) -> Tree:
    parts = parts_of(tree)
    parts[number] = part
    match tree:
        case ("unary", operator, _):
            return ("unary", operator, parts[0])
        case ("binary" | "logic" as kind, operator, _, _):
            return (kind, operator, *parts)
        case ("index", _, _):
            return ("index", *parts)
        case ("compare", operators, _):
            return ("compare", operators, tuple(parts))
        case ("call", name, args, keywords):
            values = parts[len(args) :]
            return (
                "call",
                name,
                tuple(parts[: len(args)]),
                tuple((key, value) for (key, _), value in zip(keywords, values, strict=True)),
            )
    raise AssertionError(tree)
