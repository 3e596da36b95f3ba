"""Parameters of an op in the words of a person who writes workflows."""

from __future__ import annotations

import inspect
import re
import types
import typing
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from fasthep_parsl.interfaces import Op

_SIMPLE: dict[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    dict: "mapping",
    list: "list",
    tuple: "list",
    type(None): "null",
    Any: "anything",
}
_BUILTIN = {"str": str, "int": int, "float": float, "bool": bool}
_ENTRY = re.compile(r"^(\w+(?:, \w+)*) : (.*)$")


@dataclass(frozen=True)
class Parameter:
    """A parameter: its name, what it takes, its default (empty if it is required or there is none), its meaning."""

    name: str
    kind: str
    default: str
    required: bool
    meaning: str


def about(op: Op) -> list[str]:
    """Return what an op does, as paragraphs."""
    text = inspect.getdoc(op.call) or ""
    before = re.split(r"^\w+\n-{3,}$", text, maxsplit=1, flags=re.MULTILINE)[0]
    return [" ".join(part.split()).replace("``", "`") for part in before.strip().split("\n\n") if part.strip()]


def parameters(op: Op) -> list[Parameter]:
    """Return an op's parameters: what its model says, else what its documentation says."""
    documented = _documented(inspect.getdoc(op.call) or "")
    found = []
    for key, field in op.params.model_fields.items():
        kind, meaning = documented.get(key, ("", ""))
        kind = kind.removesuffix(", optional")
        default = "" if field.is_required() else _default(field.get_default(call_default_factory=True))
        shown = _SIMPLE.get(_BUILTIN.get(kind), kind)
        found.append(
            Parameter(
                field.alias or key,
                shown or type_words(field.annotation),
                default,
                field.is_required(),
                (field.description or meaning).replace("``", "`"),
            )
        )
    return found


def type_words(annotation: Any) -> str:  # noqa: PLR0911 - one line per kind of type
    """Return what a parameter takes: ``list of {name, expr}``."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return type_words(args[0])
    if origin is typing.Literal:
        return " or ".join(map(_default, args))
    if origin in (list, tuple, set, frozenset) and args:
        return f"list of {type_words(args[0])}"
    if origin is dict:
        return f"mapping {type_words(args[0])} → {type_words(args[1])}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(type_words(arg) for arg in args if arg is not type(None)))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "{" + ", ".join(field.alias or key for key, field in annotation.model_fields.items()) + "}"
    return _SIMPLE.get(origin or annotation) or str(getattr(annotation, "__name__", annotation))


def _default(value: Any) -> str:
    if isinstance(value, BaseModel):
        content = value.model_dump(exclude_defaults=True)
        return _default(content) if content else ""
    if value is None or value in ("", (), [], {}):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_default(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_default, value)) + "]"
    return str(value)


def _documented(text: str) -> dict[str, tuple[str, str]]:
    """Return name → (type, meaning) from the section ``Parameters`` of a numpydoc text."""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\w+\n-{3,}$|\Z)", text, re.MULTILINE | re.DOTALL)
    found: dict[str, tuple[str, str]] = {}
    names: list[str] = []
    for line in section[1].splitlines() if section else []:
        entry = _ENTRY.match(line)
        if entry:
            names = entry[1].split(", ")
            found |= dict.fromkeys(names, (entry[2], ""))
        elif line.strip():
            for name in names:
                kind, meaning = found[name]
                found[name] = (kind, f"{meaning} {line.strip()}".strip())
    return found
