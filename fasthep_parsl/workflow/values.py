"""Types that all parts of a workflow file are made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from fasthep_parsl.resources.units import UnitError, describe


class Model(BaseModel):
    """Base of everything in a workflow file: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def _text(value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise UnitError(f"expected text, got {describe(value)}")
    if not value.strip():
        raise UnitError("expected text, got nothing")
    return value.strip()


def _texts(value: object) -> object:
    return [value] if isinstance(value, str) else empty_list(value)


def empty_list(value: object) -> object:
    """Read a key without a value as an empty list."""
    return () if value is None else value


def empty_mapping(value: object) -> object:
    """Read a key without a value as an empty mapping."""
    return {} if value is None else value


Text = Annotated[str, BeforeValidator(_text, json_schema_input_type=str | float)]
"""Text that is not empty; a number counts as text (`name: 2018`)."""

Texts = Annotated[tuple[Text, ...], BeforeValidator(_texts, json_schema_input_type=str | list[str | float] | None)]
"""A list of texts; a single text counts as a list of one."""
