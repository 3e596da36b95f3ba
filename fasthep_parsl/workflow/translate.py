"""Say in plain words, and with the place in the file, what validation found."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterable
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

from fasthep_parsl.errors import Problem, suggest
from fasthep_parsl.resources.units import NotAllowedError, describe
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, problem, show_path

_EXPECTED = {
    "list_type": "a list", "tuple_type": "a list", "set_type": "a list", "iterable_type": "a list",
    "dict_type": "a mapping (`key: value`)", "model_type": "a mapping (`key: value`)",
    "model_attributes_type": "a mapping (`key: value`)", "mapping_type": "a mapping (`key: value`)",
    "string_type": "text", "string_sub_type": "text",
    "int_type": "a whole number", "int_parsing": "a whole number", "int_from_float": "a whole number",
    "float_type": "a number", "float_parsing": "a number", "decimal_type": "a number",
    "bool_type": "`true` or `false`", "bool_parsing": "`true` or `false`",
    "none_required": "nothing", "finite_number": "a finite number",
}  # fmt: skip
_BOUNDS = {
    "greater_than_equal": ("ge", "at least"), "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"), "less_than": ("lt", "less than"),
}  # fmt: skip


def problems_of(
    error: ValidationError,
    model: type[BaseModel],
    document: Document | None,
    base: KeyPath | Callable[[KeyPath], KeyPath] = (),
) -> list[Problem]:
    """Return one problem per mistake that pydantic found.

    Parameters
    ----------
    error : ValidationError
        What was raised when the data at `base` were validated.
    model : type of BaseModel
        The model that they were validated with.
    document : Document or None
        Where the data stand.
    base : tuple of str and int, or callable
        Path of the validated data in `document`; where they were put together from several places, a function
        from a path in the data to the one below which it stands.
    """
    found: dict[tuple[str, str], Problem] = {}
    for detail in error.errors(include_url=False):
        loc = tuple(step for step in detail["loc"] if not str(step).startswith(("<", "function-", "tagged-union")))
        item = _problem(dict(detail), loc, model, document, base(loc) if callable(base) else base)
        found[(item.code, item.key + item.message)] = item
    return _without_consequences(list(found.values()))


def _without_consequences(problems: list[Problem]) -> list[Problem]:
    """Drop ``x is missing`` where the same mapping has a misspelt ``x``."""
    misspelt = {item.key.rpartition(".")[0] + item.hint.split("`")[1] for item in problems
                if item.code == "E102" and item.hint.startswith("did you mean")}  # fmt: skip
    return [
        item for item in problems if not (item.code == "E104" and item.key + item.message.split("`")[1] in misspelt)
    ]


def _problem(
    detail: dict[str, Any], loc: KeyPath, model: type[BaseModel], document: Document | None, base: KeyPath
) -> Problem:
    kind = detail["type"]
    on: Literal["key", "value"] = "value"
    if loc[-1:] == ("[key]",):  # of a mapping, not what is below it
        loc, on = loc[:-1], "key"
    path = (*base, *loc)
    context = detail.get("ctx") or {}
    name = str(loc[-1]) if loc else ""
    inside = _inside(path)
    if kind == "extra_forbidden":
        hint = unknown_key_hint(name, allowed_keys(model, loc[:-1]), loc, detail["input"])
        return problem(document, path, "E102", f"unknown key `{name}`{inside}", hint, on="key")
    if kind == "missing":
        about = described(model, loc)
        return problem(document, path[:-1], "E104", f"`{name}` is missing{inside}", about, on="key")
    at = next((f"`{step}`" for step in reversed(path) if isinstance(step, str)), "the file")
    if kind in {"literal_error", "enum"}:
        values = _choices(model, loc)
        hint = suggest(str(detail["input"]), values, what="allowed") if values else f"allowed: {context['expected']}"
        return problem(document, path, "E106", f"{at}: {describe(detail['input'])} is not allowed", hint)
    message, hint = _value_message(detail, context, described(model, loc))
    refused = kind in _BOUNDS or kind == "too_short" or isinstance(context.get("error"), NotAllowedError)
    return problem(document, path, "E106" if refused else "E105", f"{at}: {message}", hint, on=on)


def _value_message(detail: dict[str, Any], context: dict[str, Any], about: str) -> tuple[str, str]:
    """Return message and hint for a value of the wrong type or size."""
    kind = detail["type"]
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"must be {words} {context[key]}, got `{detail['input']}`", about
    if kind == "too_short":
        return "must not be empty", about
    if "error" in context:
        cause = context["error"]
        return str(cause), getattr(cause, "hint", "") or about
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}, got {describe(detail['input'])}", about
    return str(detail["msg"]).lower(), about


def _inside(path: KeyPath) -> str:
    """Return `` in pool `gpu` `` for the thing that a key stands in."""
    parent = path[:-1]
    return f" in `{show_path(parent)}`" if parent else ""


def unknown_key_hint(name: str, allowed: Iterable[str], loc: KeyPath = (), value: object = None) -> str:
    """Return ``did you mean `x`?; allowed: …`` for a key that is not known."""
    names = sorted(set(allowed))
    if loc[:2] == ("execution", "pools") and len(loc) == 4 and name in {"cpus", "memory", "gpus", "disk", "walltime"}:
        return f"quantities stand under `resources`: write `resources: {{{name}: {value}}}`"
    hint = suggest(name, names, what="allowed")
    if hint.startswith("did you mean") and names:
        hint += "; allowed: " + ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return hint


def allowed_keys(model: type[BaseModel], loc: KeyPath) -> list[str]:
    """Return the keys that may stand at `loc` below `model`, as written in a file."""
    at = _annotation(model, loc)
    if not (isinstance(at, type) and issubclass(at, BaseModel)):
        return []
    keys = [field.alias or name for name, field in at.model_fields.items()]
    return [*keys, "include"] if not loc and "analysis" in keys else keys


def described(model: type[BaseModel], loc: KeyPath) -> str:
    """Return the description of the field at `loc` below `model`, empty if it has none."""
    steps = list(loc)
    while steps and isinstance(steps[-1], int):
        steps.pop()
    if not steps:
        return ""
    parent = _annotation(model, tuple(steps[:-1]))
    if isinstance(parent, type) and issubclass(parent, BaseModel):
        field = _field(parent, str(steps[-1]))
        return f"{steps[-1]}: {field.description}" if field is not None and field.description else ""
    return ""


def _field(model: type[BaseModel], key: str) -> Any:
    return next((f for name, f in model.model_fields.items() if key in {f.alias, name}), None)


def _choices(model: type[BaseModel], loc: KeyPath) -> list[str]:
    at = _annotation(model, loc)
    return [str(value) for value in get_args(at)] if get_origin(at) is typing.Literal else []


def _annotation(model: Any, loc: KeyPath) -> Any:
    """Return the type at `loc` below `model`, None if it cannot be told."""
    at = model
    for step in loc:
        at = _bare(at, isinstance(step, int))
        if isinstance(at, type) and issubclass(at, BaseModel):
            field = _field(at, str(step))
            at = field.annotation if field is not None else None
        elif get_origin(at) is dict:
            at = get_args(at)[1]
        elif get_origin(at) in {list, tuple}:
            at = get_args(at)[0]
        else:
            return None
    return _bare(at, False)


def _bare(at: Any, sequence: bool) -> Any:
    """Strip Annotated and alternatives; of several, the structured one."""
    while get_origin(at) is typing.Annotated:
        at = get_args(at)[0]
    if get_origin(at) in {typing.Union, types.UnionType}:
        options = [_bare(option, sequence) for option in get_args(at) if option is not type(None)]
        wanted = {list, tuple} if sequence else {dict}
        structured = [
            o for o in options if get_origin(o) in wanted or (isinstance(o, type) and issubclass(o, BaseModel))
        ]
        return (structured or options)[0]
    return at
