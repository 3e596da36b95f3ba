"""Models of where input files are: replicas of a file, and the servers of a site."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

from fasthep_parsl.errors import suggest
from fasthep_parsl.plan import PlanStorage
from fasthep_parsl.resources.units import describe
from fasthep_parsl.resources.validation import Count, Duration, wrong_value
from fasthep_parsl.workflow.locations import SCHEMES, identity, is_url, wrong_with_url
from fasthep_parsl.workflow.values import Line, Model, Text, empty_list

LOGICAL = "lfn:"
"""Marks a logical name: it has a place below each of the prefixes."""


def _place(value: str) -> str:
    """Refuse a URL whose parts cannot be told apart."""
    wrong = wrong_with_url(value)
    if wrong:
        raise wrong_value(f"{describe(value)} is not a URL: {wrong}", "write `root://host//path`", code="E106")
    return value


Place = Annotated[Text, AfterValidator(_place)]
"""A path or URL of a file."""


def _prefix(value: str) -> str:
    """Check that logical names can be appended to a prefix."""
    if not is_url(value):
        if value.startswith(("/", "~")):
            return value
        message = f"{describe(value)} is neither a URL nor an absolute path"
        raise wrong_value(message, "write `root://host/`, or `/eos/folder`", code="E106")
    scheme, _, rest = value.partition("://")
    if scheme.lower() not in SCHEMES:
        raise wrong_value(f"unknown scheme `{scheme}://`", suggest(scheme, SCHEMES, what="known"), code="E106")
    if scheme.lower() != "file" and not re.sub("/.*", "", rest):
        raise wrong_value(f"{describe(value)} names no server", f"write `{scheme}://host/`", code="E106")
    if re.search(r"[?#*\[]", rest.partition("/")[2]):
        message = f"names cannot be appended to {describe(value)}"
        raise wrong_value(message, "write a URL without query and without patterns", code="E106")
    return value


def _each_once(value: tuple[str, ...]) -> tuple[str, ...]:
    seen: dict[object, str] = {}
    for prefix in value:
        other = seen.setdefault(identity(prefix.rstrip("/") + "/"), prefix)
        if other is not prefix:
            raise wrong_value(f"`{prefix}` is twice in this list", "remove one of them", code="E106")
    return value


def _texts(value: object) -> object:
    return [value] if isinstance(value, str) else empty_list(value)


Prefixes = Annotated[
    tuple[Annotated[Line, AfterValidator(_place), AfterValidator(_prefix)], ...],
    BeforeValidator(_texts, json_schema_input_type=str | list[str] | None),
    AfterValidator(_each_once),
]
_DEFAULT = PlanStorage()


class Storage(Model):
    """The servers of input files."""

    prefixes: Prefixes = Field(
        (), description="where logical names (`lfn:/store/…`) are, in the order in which they are tried: `root://host/`"
    )
    open_timeout: Duration = Field(
        _DEFAULT.open_timeout, gt=0, description="longest time to open a file, seconds; `30s`"
    )
    read_timeout: Duration = Field(
        _DEFAULT.read_timeout, gt=0, description="longest time to wait for data of an open file, seconds; `60s`"
    )
    retries: Count = Field(
        _DEFAULT.retries, ge=0, description="repeated attempts after a passing fault, if there is no other place"
    )


def _only_prefixes(value: object) -> object:
    """Accept a list of prefixes, and nothing."""
    return {"prefixes": value} if isinstance(value, str | list | tuple) else {} if value is None else value


StorageOf = Annotated[Storage, BeforeValidator(_only_prefixes, json_schema_input_type=Storage | str | list[str] | None)]


def _not_empty(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        raise wrong_value("must not be empty", code="E106")
    return value


class FileReplicas(Model):
    """A file with the same content in several places."""

    any: Annotated[
        tuple[Place, ...],
        BeforeValidator(_texts, json_schema_input_type=str | list[str]),
        AfterValidator(_not_empty),
    ] = Field(description="paths and URLs of the same file, in the order in which they are tried")


def _which(value: object) -> str:
    return "<replicas>" if isinstance(value, dict | FileReplicas) else "<place>"


def _listed(value: object) -> object:
    """Accept a list of places, as coffea's Rucio tools return it."""
    return {"any": value} if isinstance(value, list | tuple) else value


InputFile = Annotated[
    Annotated[Annotated[Place, Tag("<place>")] | Annotated[FileReplicas, Tag("<replicas>")], Discriminator(_which)],
    BeforeValidator(_listed, json_schema_input_type=str | float | list[str] | FileReplicas),
]


def _files(value: object) -> Any:
    return [value] if isinstance(value, str | dict) else empty_list(value)


InputFiles = Annotated[
    tuple[InputFile, ...],
    BeforeValidator(
        _files, json_schema_input_type=str | FileReplicas | list[str | float | list[str] | FileReplicas] | None
    ),
]
"""The files of a dataset. A single one becomes a list."""
