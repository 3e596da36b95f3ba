"""Validators: quantities with units as types of model fields, and the error that all validators raise."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Annotated, TypeVar

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from fasthep_parsl.errors import Hint
from fasthep_parsl.resources.units import UnitError, parse_count, parse_duration, parse_memory

T = TypeVar("T")
WRONG_VALUE = "wrong_value"
"""Type of these errors in pydantic's list."""


def wrong_value(message: str, hint: Hint = "", *, code: str = "E105", name: str = "") -> PydanticCustomError:
    """Return the error of a validator that refuses a value.

    Parameters
    ----------
    message, hint, name : str
        As in `Problem`.
    code : str
        ``E105`` for a wrong type, ``E106`` for a value that is not allowed, ``E102`` for an unknown key.
    """
    return PydanticCustomError(WRONG_VALUE, "{message}", {"message": message, "hint": hint, "code": code, "name": name})


def reading(parse: Callable[[object], T]) -> Callable[[object], T]:
    """Return `parse` as a validator: a `UnitError` becomes a `wrong_value`."""

    @wraps(parse)
    def read(value: object) -> T:
        try:
            return parse(value)
        except UnitError as error:
            raise wrong_value(error.message, error.hint) from None

    return read


Memory = Annotated[int, BeforeValidator(reading(parse_memory), json_schema_input_type=int | str)]
"""Bytes; read from ``"64GB"``, ``"4GiB"`` or a number."""

Duration = Annotated[float, BeforeValidator(reading(parse_duration), json_schema_input_type=float | str)]
"""Seconds; read from ``"2h"``, ``"30m"`` or a number."""

Count = Annotated[int, BeforeValidator(reading(parse_count), json_schema_input_type=int)]
"""A whole number."""
