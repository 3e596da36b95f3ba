from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel

from fasthep_parsl import InputFile, InputFolder, op, registry
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
        (InputFile, "path of a file"),
        (list[InputFolder | None], "list of path of a folder"),
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


def test_a_file_is_shown_as_one_whatever_its_docstring_says():
    @op("mine.reads")
    def reads(events, *, table: InputFile, more: dict[str, InputFile] | None = None):
        """Read tables.

        Parameters
        ----------
        table : InputFile
            The table.
        more : dict of InputFile, optional
            Others.
        """

    shown = [(item.name, item.type, item.required, item.meaning) for item in parameters(reads.op)]
    assert shown == [
        ("table", "path of a file", True, "The table."),
        ("more", "mapping text → path of a file", False, "Others."),
    ]
