"""``ops list`` and ``ops show``: print the operations, what they do and the parameters that they take."""

from __future__ import annotations

import inspect
import re
import textwrap
import types
import typing
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from rich.table import Table
from rich.text import Text

from fasthep_parsl import registry
from fasthep_parsl.analysis_code.modules import OpTable
from fasthep_parsl.cli.console import Screen
from fasthep_parsl.interfaces import Op
from fasthep_parsl.interfaces.file_parameters import file_type, full_annotation, has_files

WIDTH = 100
"""Maximum width of text: longer lines are hard to read."""
_YAML_TYPES: dict[Any, str] = {
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
_PYTHON_TYPES = {"str": str, "int": int, "float": float, "bool": bool}
_PARAMETER_LINE = re.compile(r"^(\w+(?:, \w+)*) : (.*)$")


@dataclass(frozen=True)
class Parameter:
    """A parameter as `ops show` prints it.

    Attributes
    ----------
    name : str
        Its name.
    type : str
        The values that it takes, in the terms of YAML: ``list of text``.
    default : str
        Its default; empty if it is required or the default is empty.
    required : bool
        Whether a workflow must give it.
    meaning : str
        Its description.
    """

    name: str
    type: str
    default: str
    required: bool
    meaning: str


def list_ops() -> None:
    """Print the installed ops, one line each."""
    table = Table(box=None, pad_edge=False)
    for column in ("op", "yields", "what it does"):
        table.add_column(column, no_wrap=column != "what it does")
    for name in registry.names("ops"):
        op = OpTable().get(name)
        table.add_row(name, _yields(op), Text(" ".join(description(op)[:1])))
    Screen().print(table)


def show_op(name: str) -> None:
    """Print the description and the parameters of an op.

    Raises
    ------
    ConfigError
        The op does not exist.
    """
    op = OpTable().get(name)
    screen = Screen()
    width = min(screen.width, WIDTH)
    lines = [Text.assemble((name, "bold"), f"  yields {_yields(op)}")]
    for paragraph in description(op):
        lines += [Text(line) for line in ("", *textwrap.wrap(paragraph, width))]
    lines.append(Text())
    for item in parameters(op):
        tail = "required" if item.required else f"default {item.default}" if item.default else ""
        head = textwrap.wrap(f"{item.type}{', ' if tail else ''}{tail}", width - 4, break_on_hyphens=False)
        lines.append(Text(item.name, style="bold"))
        lines += [Text(f"    {line}", style="cyan") for line in head]
        lines += [Text(f"    {line}") for line in textwrap.wrap(item.meaning, width - 4, break_on_hyphens=False)]
    for line in lines:
        screen.print(line, soft_wrap=True, highlight=False)


def _yields(op: Op) -> str:
    return " + ".join(part for part in ("stream" if op.stream else "", op.product or "") if part)


def description(op: Op) -> list[str]:
    """Return the paragraphs of an op's docstring before its first section."""
    text = inspect.getdoc(op.call) or ""
    before = re.split(r"^\w+\n-{3,}$", text, maxsplit=1, flags=re.MULTILINE)[0]
    return [" ".join(part.split()).replace("``", "`") for part in before.strip().split("\n\n") if part.strip()]


def parameters(op: Op) -> list[Parameter]:
    """Return an op's parameters. Descriptions come from its model, else from its docstring."""
    documented = _documented(inspect.getdoc(op.call) or "")
    found = []
    for key, field in op.params.model_fields.items():
        kind, meaning = documented.get(key, ("", ""))
        kind = kind.removesuffix(", optional")
        default = "" if field.is_required() else _default(field.get_default(call_default_factory=True))
        kind = "" if has_files(full_annotation(field)) else kind
        shown = _YAML_TYPES.get(_PYTHON_TYPES.get(kind), kind)
        found.append(
            Parameter(
                field.alias or key,
                shown or yaml_type(full_annotation(field)),
                default,
                field.is_required(),
                (field.description or meaning).replace("``", "`"),
            )
        )
    return found


def yaml_type(annotation: Any) -> str:  # noqa: PLR0911 - one line per kind of type
    """Return the values that a parameter takes, in the terms of YAML: ``list of {name, expr}``."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    mark = file_type(annotation)
    if mark is not None:
        return f"path of a {mark.noun}"
    if origin is typing.Annotated:
        return yaml_type(args[0])
    if origin is typing.Literal:
        return " or ".join(map(_default, args))
    if origin in (list, tuple, set, frozenset) and args:
        return f"list of {yaml_type(args[0])}"
    if origin is dict:
        return f"mapping {yaml_type(args[0])} → {yaml_type(args[1])}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(yaml_type(arg) for arg in args if arg is not type(None)))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "{" + ", ".join(field.alias or key for key, field in annotation.model_fields.items()) + "}"
    return _YAML_TYPES.get(origin or annotation) or str(getattr(annotation, "__name__", annotation))


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
    """Return name → (type, meaning) from the ``Parameters`` section of a numpydoc docstring."""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\w+\n-{3,}$|\Z)", text, re.MULTILINE | re.DOTALL)
    found: dict[str, tuple[str, str]] = {}
    names: list[str] = []
    for line in section[1].splitlines() if section else []:
        entry = _PARAMETER_LINE.match(line)
        if entry:
            names = entry[1].split(", ")
            found |= dict.fromkeys(names, (entry[2], ""))
        elif line.strip():
            for name in names:
                kind, meaning = found[name]
                found[name] = (kind, f"{meaning} {line.strip()}".strip())
    return found
