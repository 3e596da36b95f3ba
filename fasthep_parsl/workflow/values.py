"""Types of values in workflow files and site profiles."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from fasthep_parsl.names import harmful, meant_name, same_text, wrong_with
from fasthep_parsl.resources.units import describe
from fasthep_parsl.resources.validation import wrong_value


class Model(BaseModel):
    """Base of the models of workflow files. Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def _text(value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise wrong_value(f"expected text, got {describe(value)}")
    if not value.strip():
        raise wrong_value("expected text, got an empty text")
    if harmful(re.sub(r"[\n\r\t]", "", value)):
        raise wrong_value(f"{describe(ascii(value)[1:-1])} has a control character", "remove it", code="E106")
    return value.strip()


def _single_line(value: str) -> str:
    if len(value.splitlines()) > 1:
        shown = describe(ascii(value)[1:-1])
        raise wrong_value(
            f"expected a single line of text, got {shown}", "write a list with one entry per line", code="E106"
        )
    return value


def _name(value: str) -> str:
    wrong = wrong_with(value)
    if wrong:
        hint = meant_name(value)
        also = f"; for example `{hint}`" if hint else ""
        raise wrong_value(f"{describe(value)} cannot be the name of a folder", wrong + also, code="E106")
    return value


def _texts(value: object) -> object:
    return [value] if isinstance(value, str) else empty_list(value)


def empty_list(value: object) -> object:
    """Return an empty list for a key without a value."""
    return () if value is None else value


def empty_mapping(value: object) -> object:
    """Return an empty mapping for a key without a value."""
    return {} if value is None else value


Text = Annotated[str, BeforeValidator(_text, json_schema_input_type=str | float)]
"""Text, not empty. A number becomes text (`name: 2018`)."""

Line = Annotated[Text, AfterValidator(_single_line)]
"""One line of text. A number becomes text."""

Reference = Annotated[Line, AfterValidator(same_text)]
"""A name that is defined elsewhere."""

Name = Annotated[Reference, AfterValidator(_name)]
"""A name that is also a file or folder name: letters, digits, ``_``, ``-`` and ``.``, not beginning with ``.``."""

Texts = Annotated[tuple[Text, ...], BeforeValidator(_texts, json_schema_input_type=str | list[str | float] | None)]
"""A list of texts. A single text becomes a list."""

References = Annotated[
    tuple[Reference, ...], BeforeValidator(_texts, json_schema_input_type=str | list[str | float] | None)
]
"""A list of references. A single one becomes a list."""
