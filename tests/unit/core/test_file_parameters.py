"""Files as parameters: what a declaration may say, and what becomes of the text of a path."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from fasthep_parsl import InputFile, InputFolder, op
from fasthep_parsl.interfaces.file_parameters import has_files, written
from fasthep_parsl.ops.parameters import validate_params


class Table(BaseModel):
    model_config = ConfigDict(extra="forbid")

    file: InputFile = Field(description="a table")
    name: str = ""
    more: dict[str, Any] = {}


class Tables(BaseModel):
    model_config = ConfigDict(extra="forbid")

    inner: tuple[Table, ...] = ()
    by_era: dict[str, Table] = Field({}, alias="byEra")


@dataclass
class Plain:
    file: InputFile


class Seen:
    """A lookup that remembers what it is asked for."""

    def __init__(self) -> None:
        self.asked: dict[tuple[Any, ...], tuple[str, bool]] = {}

    def __call__(self, path, text, *, folder):
        self.asked[path] = (text, folder)
        return Path("/copies", text)


def declared(annotation, default=...):
    def function(events, *, given):
        return {}

    function.__annotations__["given"] = annotation
    if default is not ...:
        function.__kwdefaults__ = {"given": default}
    return op("mine.file")(function).op


@pytest.mark.parametrize(
    ("annotation", "value", "asked"),
    [
        (InputFile, "a", {("given",): ("a", False)}),
        (InputFolder, "a", {("given",): ("a", True)}),
        (InputFile | None, "a", {("given",): ("a", False)}),
        (InputFile | None, None, {}),
        (Annotated[InputFile, Field(description="x")], "a", {("given",): ("a", False)}),
        (list[InputFile], ["a", "b"], {("given", 0): ("a", False), ("given", 1): ("b", False)}),
        (tuple[InputFile, ...], ["a", "a"], {("given", 0): ("a", False), ("given", 1): ("a", False)}),
        (dict[str, InputFile | None], {"x": "a", "y": None}, {("given", "x"): ("a", False)}),
        (InputFile | list[InputFile], ["a"], {("given", 0): ("a", False)}),
        (Literal["none"] | InputFile, "a", {("given",): ("a", False)}),
        (Plain, {"file": "a"}, {("given", "file"): ("a", False)}),
        (Tables, {"inner": [{"file": "a", "name": "n"}]}, {("given", "inner", 0, "file"): ("a", False)}),
        (Tables, {"byEra": {"2018": {"file": "a"}}}, {("given", "byEra", "2018", "file"): ("a", False)}),
    ],
)
def test_every_file_is_looked_up_with_its_key_path(annotation, value, asked):
    lookup = Seen()
    found = validate_params(declared(annotation), {"given": value}, files=lookup)
    assert lookup.asked == asked
    assert has_files(annotation)
    dumped = json.loads(found.model_dump_json())["given"]
    assert str(dumped).count("/copies/") == len(asked)  # every file is a path


def test_other_texts_stay_plain():
    lookup = Seen()
    found = validate_params(
        declared(Tables), {"given": {"inner": [{"file": "a", "name": "n", "more": {"k": "v"}}]}}, files=lookup
    )
    table = found.given.inner[0]
    assert type(table.name) is str
    assert isinstance(table.file, Path)
    for copied in (copy.deepcopy(found), pickle.loads(pickle.dumps(written({"k": "v"})))):
        text = copied["k"] if isinstance(copied, dict) else copied.given.inner[0].more["k"]
        assert type(text) is str
        assert text == "v"


def test_bound_parameters_are_not_looked_up():
    lookup = Seen()
    bound = validate_params(declared(InputFile), {"given": "a"}, {"given"}, files=lookup)
    assert bound.given is None
    assert not lookup.asked


def test_a_path_is_taken_as_it_is():
    """Tests of ops give their parameters so."""
    assert declared(InputFile).params(given=Path("here")).given == Path("here")


@pytest.mark.parametrize("value", ["a", 3, "", " ", ["a"], {"a": "b"}, True])
def test_without_a_plan_no_text_names_a_file(value):
    with pytest.raises(ValidationError):
        declared(InputFile).params(given=value)


class Strips(BaseModel):
    model_config = ConfigDict(extra="forbid")
    file: InputFile

    @field_validator("file", mode="before")
    @classmethod
    def strip(cls, value):
        return value.strip()


def test_a_changed_path_is_not_looked_up():
    with pytest.raises(ValidationError, match="changes the path"):
        validate_params(declared(Strips), {"given": {"file": " a"}}, files=Seen())


class Defaults(BaseModel):
    file: InputFile = Path("table.json")


class Inside(BaseModel):
    table: Table = Table(file=Path("table.json"))


@pytest.mark.parametrize(
    ("annotation", "default"),
    [
        (InputFile, "table.json"),
        (Literal["none"] | InputFile, "table.json"),
        (InputFile, Path("table.json")),
        (list[InputFile], ["table.json"]),
        (Defaults, ...),
        (Table, Table(file=Path("table.json"))),
        (list[Defaults], ()),
        (Inside | None, None),
        (Annotated[list[InputFile], Field(default_factory=lambda: ["x"])], ...),
    ],
)
def test_a_default_names_no_file(annotation, default):
    """It would be read from wherever the worker is."""
    with pytest.raises(TypeError, match=r"mine\.file.*only workflows name files"):
        declared(annotation, default)


@pytest.mark.parametrize(
    ("annotation", "default"),
    [
        (InputFile | None, None),
        (list[InputFile], []),
        (Tables, Tables()),
        (Table, ...),
        (Literal["none"] | InputFile, "none"),
    ],
)
def test_defaults_without_files_are_fine(annotation, default):
    assert declared(annotation, default)


class Either(BaseModel):
    file: dict[str, InputFile | str]


@pytest.mark.parametrize(
    "annotation", [InputFile | str, str | None | InputFile, InputFolder | Any, InputFile | Path, Either]
)
def test_a_file_or_any_text_is_refused(annotation):
    with pytest.raises(TypeError, match="both a file and any text"):
        declared(annotation)


def test_a_type_that_only_type_checkers_know_is_refused():
    space = {"op": op}
    source = "from __future__ import annotations\n@op('mine.late')\ndef late(events, *, table: {}): return {{}}\n"
    exec(source.format("Unknown"), space)  # other types are not checked
    assert space["late"].op.params.model_fields["table"].annotation is Any
    for text in ("InputFile", "list[InputFolder] | None", "InputFile | Unknown"):
        with pytest.raises(TypeError, match=r"mine\.late.*`table` is a file"):
            exec(source.format(text), space)


class Node(BaseModel):
    file: InputFile
    inner: list[Node] = []


def test_types_that_contain_themselves():
    assert has_files(Node)
    assert not has_files(list[dict[str, int]] | None)
    lookup = Seen()
    validate_params(declared(Node), {"given": {"file": "a", "inner": [{"file": "b"}]}}, files=lookup)
    assert set(lookup.asked) == {("given", "file"), ("given", "inner", 0, "file")}


def test_json_schema_says_that_it_is_a_file():
    schema = declared(dict[str, InputFile]).params.model_json_schema()["properties"]["given"]
    assert schema["additionalProperties"] == {"type": "string", "format": "file-path"}
    folder = declared(InputFolder).params.model_json_schema()["properties"]["given"]
    assert (folder["type"], folder["format"]) == ("string", "directory-path")
