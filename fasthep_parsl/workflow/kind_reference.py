"""References to kinds in workflow files: a name, or a mapping with ``kind:`` and its fields."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from fasthep_parsl.errors import suggest
from fasthep_parsl.resources.units import describe
from fasthep_parsl.resources.validation import wrong_value
from fasthep_parsl.workflow.values import Line, Model


def _kind(value: object) -> object:
    """Convert a name, or a mapping with `kind:` and fields, to kind and params."""
    if isinstance(value, str):
        return {"kind": value}
    if isinstance(value, dict) and "kind" in value:
        return {"kind": value["kind"], "params": {key: item for key, item in value.items() if key != "kind"}}
    if isinstance(value, dict) and not value:
        raise wrong_value("expected a name, or a mapping with `kind:`, got an empty mapping")
    if isinstance(value, dict):
        for key in map(str, value):
            hint = suggest(key, ["kind"])
            if hint.close:
                raise wrong_value(f"unknown key `{key}`", hint, name=key)
        raise wrong_value("`kind` is missing", "write its name, or `{kind: name, …}` with its fields")
    raise wrong_value(f"expected a name, or a mapping with `kind:`, got {describe(value)}")


class Kind(Model):
    """A backend, strategy, modifier …: its name, or a mapping with ``kind:`` and its fields."""

    kind: Line = Field(description="name of the kind")
    params: dict[str, Any] = Field(default_factory=dict, description="its fields; the kind checks them")


def _modifier(value: object) -> object:
    """Convert a modifier, also in the form ``{name, params}`` of fasthep-flow."""
    if isinstance(value, dict) and "name" in value and "kind" not in value:
        extra = sorted(set(value) - {"name", "params"})
        if extra:
            raise wrong_value(f"unknown key `{extra[0]}` in a modifier", "allowed: name, params; or `{kind: name, …}`")
        params = value.get("params") or {}
        if not isinstance(params, dict):
            raise wrong_value(f"`params` of a modifier must be a mapping, got {describe(params)}")
        return {"kind": value["name"], "params": params}
    return _kind(value)


KindOf = Annotated[Kind, BeforeValidator(_kind, json_schema_input_type=str | dict[str, Any])]
ModifierOf = Annotated[Kind, BeforeValidator(_modifier, json_schema_input_type=str | dict[str, Any])]
