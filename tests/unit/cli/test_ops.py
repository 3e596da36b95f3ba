from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel

from fasthep_parsl import registry
from fasthep_parsl.analysis_code.modules import OpTable
from fasthep_parsl.cli.ops import description, parameters, yaml_type


class Axis(BaseModel):
    name: str
    bins: int = 1


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (int, "whole number"),
        (float | None, "number"),
        (str | list[str], "text or list of text"),
        (Annotated[bool, "x"], "true or false"),
        (Literal["a", False], "a or false"),
        (tuple[Axis, ...], "list of {name, bins}"),
        (dict[str, float], "mapping text → number"),
        (list, "list"),
        (Any, "anything"),
    ],
)
def test_types_in_words(annotation, words):
    assert yaml_type(annotation) == words


@pytest.mark.parametrize("name", registry.names("ops"))
def test_every_op_can_be_shown_in_plain_words(name):
    op = OpTable().get(name)
    assert description(op)
    for item in parameters(op):
        shown = f"{item.type} {item.default} {item.meaning}"
        assert not any(word in shown for word in ("Optional", "Union", "typing", "NoneType", "Annotated", "``"))
