"""Analysis code of the tests: ops that read files which parameters name."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, ConfigDict

from fasthep_parsl import InputFile, InputFolder, op


@op("file.scale", reads=["x"], product="sums", merge=lambda a, b: a + b)
def scale(
    events: Any, *, table: InputFile, more: list[InputFile] | None = None, folder: InputFolder | None = None
) -> list[list[Any]]:
    """Return the number of events times the numbers in the tables, and their names."""
    paths = [table, *(more or ()), *(sorted(folder.rglob("*.json")) if folder else ())]
    factors = [json.loads(path.read_text())["scale"] for path in paths]
    return [[len(events) * sum(factors), *(path.name for path in paths)]]


class Table(BaseModel):
    """A table and how to read it."""

    model_config = ConfigDict(extra="forbid")

    file: InputFile
    key: str = "scale"


class Tables(BaseModel):
    """Tables by name."""

    model_config = ConfigDict(extra="forbid")

    by_name: dict[str, Table]


@op("file.nested", reads=["x"], params=Tables, writes=["scaled"])
def nested(events: Any, *, params: Tables) -> dict[str, Any]:
    """Scale with the number in each table."""
    value = events.x
    for table in params.by_name.values():
        value = value * json.loads(table.file.read_text())[table.key]
    return {"scaled": value}


@op("file.model", reads=["x"], product="sums", merge=lambda a, b: a + b)
def model(events: Any, *, weights: InputFile | None = None) -> list[Any]:
    """Return what the parameter is: a path, or the product of another stage."""
    return [str(type(weights).__name__), len(events)]


@op("file.text", reads=["x"])
def text(events: Any, *, table: str, tables: dict[str, str] | None = None) -> dict[str, Any]:
    """Take a path as text, which is a mistake."""
    del events, table, tables
    return {}
