"""Turn pydantic's errors into problems with a place in the file."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeGuard, get_args, get_origin

from pydantic import BaseModel, ValidationError

from fasthep_parsl.errors import Hint, Problem, Suggestion, suggest
from fasthep_parsl.resources.model import Resource
from fasthep_parsl.resources.units import describe
from fasthep_parsl.resources.validation import WRONG_VALUE
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, problem, show_path

_ALTERNATIVE = re.compile(r"<|function-|tagged-union|(list|tuple|dict|set|frozenset|literal)\[.*\]$")
"""Steps that pydantic adds to a path for the alternatives of a type."""

_LABELS = {
    "string_type": "str", "int_type": "int", "int_parsing": "int", "int_from_float": "int", "float_type": "float",
    "float_parsing": "float", "bool_type": "bool", "bool_parsing": "bool",
}  # fmt: skip
"""Type of a mistake → the step that pydantic adds to its path if the type is one of several alternatives."""

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
        The error of validating the data at `base`.
    model : type of BaseModel
        The model that refused them.
    document : Document or None
        The file with the data.
    base : tuple of str and int, or callable
        Key path of the data in `document`. If they come from several places, a function from a path in the data to
        the key path of their part.
    """
    placed: list[tuple[KeyPath, Problem]] = []
    for loc, detail in _by_place(error, model):
        at = base(loc) if callable(base) else base
        placed.append((loc, _problem(detail, loc, model, document, at)))
    placed = _renamed(_without_alternatives(placed))
    meant = {(*loc[:-1], name) for loc, item in placed if item.code == "E102" for name in item.suggestions[:1]}
    # a misspelt key is also missing under its right name: one mistake
    found = [item for loc, item in placed if not (item.code == "E104" and loc in meant)]
    return list(dict.fromkeys(found))


def _renamed(placed: list[tuple[KeyPath, Problem]]) -> list[tuple[KeyPath, Problem]]:
    """Return problems with one instead of two where one key is unknown and one is missing: it has another name."""
    keys: dict[KeyPath, dict[str, list[tuple[KeyPath, Problem]]]] = {}
    for loc, item in placed:
        keys.setdefault(loc[:-1], {}).setdefault(item.code, []).append((loc, item))
    merged: dict[Problem, Problem | None] = {}
    for codes in keys.values():
        if len(codes.get("E102", ())) != 1 or len(codes.get("E104", ())) != 1:
            continue
        ((_, unknown),), ((gone, missing),) = codes["E102"], codes["E104"]
        if not unknown.suggestions and isinstance(unknown.hint, Suggestion):
            name = str(gone[-1])
            hint = replace(unknown.hint, close=(name,))
            merged[unknown] = replace(unknown, message=f"{unknown.message}, and `{name}` is missing", hint=hint)
            merged[missing] = None
    found = ((loc, merged.get(item, item)) for loc, item in placed)
    return [(loc, item) for loc, item in found if item is not None]


def location_of(loc: KeyPath, kind: str, model: type[BaseModel]) -> KeyPath:
    """Return the key path in pydantic's `loc`, without its names of alternatives and validators.

    Parameters
    ----------
    loc : tuple of str and int
        Where pydantic found a mistake.
    kind : str
        Pydantic's type of the mistake.
    model : type of BaseModel
        The model that refused the data.
    """
    steps: KeyPath = ()
    for step in loc:
        if not _ALTERNATIVE.match(str(step)) and not _is_label(model, steps, step):
            steps = (*steps, step)
    return steps[:-1] if steps and _LABELS.get(kind) == steps[-1] and not _is_key(model, steps) else steps


def _is_key(model: type[BaseModel], steps: KeyPath) -> bool:
    """Return whether the last step can be a key of the data."""
    at = _annotation(model, steps[:-1])
    return at is dict or get_origin(at) is dict or (_is_model(at) and _field(at, str(steps[-1])) is not None)


def _is_model(at: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(at, type) and issubclass(at, BaseModel)


def _is_label(model: type[BaseModel], before: KeyPath, step: str | int) -> bool:
    """Return whether a step is the name of a model, one of several alternatives, and no key."""
    if not isinstance(step, str) or not before or not step[:1].isupper():
        return False
    at = _annotation(model, before)
    return _is_model(at) and at.__name__ == step and _field(at, step) is None


def _by_place(error: ValidationError, model: type[BaseModel]) -> list[tuple[KeyPath, dict[str, Any]]]:
    """Return the mistakes with their key paths. A value that no alternative accepts as it is counts once."""
    found: list[tuple[KeyPath, dict[str, Any]]] = []
    types: dict[KeyPath, dict[str, None]] = {}
    for given in error.errors(include_url=False):
        loc, kind = location_of(given["loc"], given["type"], model), given["type"]
        if kind in _EXPECTED:
            fresh = loc not in types
            types.setdefault(loc, {})[_EXPECTED[kind]] = None
            if not fresh:
                continue
        found.append((loc, dict(given)))
    for loc, detail in found:
        if loc in types and detail["type"] in _EXPECTED:
            *most, last = types[loc]
            detail["expected"] = f"{', '.join(most)} or {last}" if most else last
    return found


def _without_alternatives(placed: list[tuple[KeyPath, Problem]]) -> list[tuple[KeyPath, Problem]]:
    """Return problems without those that say that a value could also be something else, where a part of it is wrong."""

    def explained(loc: KeyPath) -> bool:
        inside = (pair for pair in placed if pair[0][: len(loc)] == loc)
        return any(len(place) > len(loc) or item.code == "E113" for place, item in inside)

    return [(loc, item) for loc, item in placed if item.code not in ("E105", "E106") or not explained(loc)]


def _problem(
    detail: dict[str, Any], loc: KeyPath, model: type[BaseModel], document: Document | None, base: KeyPath
) -> Problem:
    kind = detail["type"]
    on_key = loc[-1:] == ("[key]",)  # the key of a mapping is wrong, not its value
    loc = loc[:-1] if on_key else loc
    path = (*base, *loc)
    name = str(loc[-1]) if loc else ""
    inside = f" in `{show_path(path[:-1])}`" if path[:-1] else ""
    if kind == "extra_forbidden":
        hint = unknown_key_hint(name, allowed_keys(model, loc[:-1]), loc, detail["input"])
        return problem(document, path, "E102", f"unknown key `{name}`{inside}", hint, on="key", name=name)
    if kind == "missing":
        about = described(model, loc)
        return problem(document, path, "E104", f"`{name}` is missing{inside}", about, on="key", name=name)
    key = next((f"`{step}`" for step in reversed(path) if isinstance(step, str)), "the file")
    found = _wrong_value(detail, model, loc)
    return problem(
        document, path, found.code, f"{key}: {found.message}", found.hint, on="key" if on_key else "value",
        name=found.name,
    )  # fmt: skip


def _wrong_value(detail: dict[str, Any], model: type[BaseModel], loc: KeyPath) -> Problem:
    """Return code, message and hint for a value of the wrong type or size, without a place."""
    kind, context, given = detail["type"], detail.get("ctx") or {}, detail["input"]
    about = described(model, loc)
    if kind == WRONG_VALUE:
        return Problem(context["code"], context["message"], hint=context["hint"] or about, name=context["name"])
    if kind in {"literal_error", "enum"}:
        values = _choices(model, loc)
        hint: Hint = suggest(str(given), values, what="allowed") if values else f"allowed: {context['expected']}"
        return Problem("E106", f"{describe(given)} is not allowed", hint=hint)
    if kind in _BOUNDS:
        limit, relation = _BOUNDS[kind]
        return Problem("E106", f"must be {relation} {context[limit]}, got `{given}`", hint=about)
    if kind == "too_short":
        return Problem("E106", "must not be empty", hint=about)
    return Problem("E105", _wrong_type(detail), hint=about)


def _wrong_type(detail: dict[str, Any]) -> str:
    kind, context, given = detail["type"], detail.get("ctx") or {}, detail["input"]
    if kind in _EXPECTED:
        return f"expected {detail.get('expected', _EXPECTED[kind])}, got {describe(given)}"
    if "error" in context:  # raised by the validator of a plug-in
        return str(context["error"])
    return f"got {describe(given)}: {detail['msg']}"


def unknown_key_hint(name: str, allowed: Iterable[str], loc: KeyPath = (), value: object = None) -> Hint:
    """Return what to write instead of a key that is not known: similar names, and all that are allowed."""
    if loc[:2] == ("execution", "pools") and len(loc) == 4 and name in Resource.model_fields:
        return f"put quantities under `resources`: `resources: {{{name}: {value}}}`"
    if loc[:2] == ("systematics", "variations") and loc[3:4] == ("replace",) and len(loc) == 5:
        return f"put fields under `fields`: `replace: {{fields: {{{name}: {value}}}}}`"
    return suggest(name, allowed, what="allowed", complete=True)


def allowed_keys(model: type[BaseModel], loc: KeyPath) -> list[str]:
    """Return the valid keys of the mapping at `loc` below `model`, as written in a file."""
    at = _annotation(model, loc)
    if not _is_model(at):
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
    if _is_model(parent):
        field = _field(parent, str(steps[-1]))
        return f"{steps[-1]}: {field.description}" if field is not None and field.description else ""
    return ""


def _field(model: type[BaseModel], key: str) -> Any:
    return next((f for name, f in model.model_fields.items() if key in {f.alias, name}), None)


def _choices(model: type[BaseModel], loc: KeyPath) -> list[str]:
    at = _annotation(model, loc)
    return [str(value) for value in get_args(at)] if get_origin(at) is typing.Literal else []


def _annotation(model: Any, loc: KeyPath) -> Any:
    """Return the type at `loc` below `model`, None if it is not known."""
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
