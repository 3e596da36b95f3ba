"""A value that fits none of several types is one mistake, and so is what is wrong inside the type that is meant."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fasthep_parsl.workflow.translate import problems_of


class Both(BaseModel):
    model_config = ConfigDict(extra="forbid")

    up: str | int | float
    down: str | int | float


class Given(BaseModel):
    model_config = ConfigDict(extra="forbid")

    values: list[int | str] | dict[str, int | str | Both]
    other: float = Field(0, alias="float")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"values": {"a": {"up": 1}}}, [("E104", "values.a.down", "`down` is missing in `values.a`")]),
        ({"values": {"a": {"up": 1, "down": 2, "x": 3}}}, [("E102", "values.a.x", "unknown key `x` in `values.a`")]),
        ({"values": {"a": {"up": 1, "down": []}}}, [("E105", "values.a.down", "`down`: expected text, a whole number or a number, got a list")]),
        ({"values": {"int": []}}, [("E105", "values.int", "`int`: expected a whole number, text or a mapping (`key: value`), got a list")]),
        ({"values": {"a": {"up": 1, "x": 3}}}, [("E102", "values.a.x", "unknown key `x` in `values.a`, and `down` is missing")]),
        ({"values": {"a": {"up": 1, "donw": 3}}}, [("E102", "values.a.donw", "unknown key `donw` in `values.a`")]),
        ({"values": {"a": {"x": 1, "y": 3}}}, [
            ("E104", "values.a.up", "`up` is missing in `values.a`"), ("E104", "values.a.down", "`down` is missing in `values.a`"),
            ("E102", "values.a.x", "unknown key `x` in `values.a`"), ("E102", "values.a.y", "unknown key `y` in `values.a`")]),
        ({"values": {"a": []}}, [("E105", "values.a", "`a`: expected a whole number, text or a mapping (`key: value`), got a list")]),
        ({"values": [1, []]}, [("E105", "values[1]", "`values`: expected a whole number or text, got a list")]),
        ({"values": "x"}, [("E105", "values", "`values`: expected a list or a mapping (`key: value`), got text `x`")]),
        ({"values": [], "float": "x"}, [("E105", "float", "`float`: expected a number, got text `x`")]),
    ],
)  # fmt: skip
def test_one_mistake_is_one_problem(data, expected):
    with pytest.raises(ValidationError) as caught:
        Given.model_validate(data)
    found = problems_of(caught.value, Given, None)
    assert [(item.code, item.key, item.message) for item in found] == expected
