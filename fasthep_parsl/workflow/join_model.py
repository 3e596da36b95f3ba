"""Models of section ``joins``: sources whose columns are read together."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from fasthep_parsl.errors import suggest
from fasthep_parsl.plan import Mismatch
from fasthep_parsl.resources.units import describe
from fasthep_parsl.resources.validation import wrong_value
from fasthep_parsl.workflow.conditions import Condition
from fasthep_parsl.workflow.values import Line, Model, Reference, empty_mapping

PLACEHOLDERS = ("name", "stem", "folder", "dataset")
"""What a template of files may contain in braces."""


def _known_placeholders(value: str) -> str:
    for name in re.findall(r"\{([^{}]*)\}", value):
        if name not in PLACEHOLDERS:
            hint = suggest(name, PLACEHOLDERS, what="known", complete=True)
            raise wrong_value(f"unknown placeholder `{{{name}}}` in {describe(value)}", hint, code="E106")
    if re.search(r"[*?\[]", value.partition("://")[2] or value):
        message = f"{describe(value)} is a pattern; each file has exactly one beside it"
        raise wrong_value(message, "write `{name}` or `{stem}` for the name of the file", code="E106")
    return value


FilesBeside = Annotated[Line, AfterValidator(_known_placeholders)]
"""Template of the path of a file, seen from another one."""


def _same_names(value: object) -> object:
    """Accept names that both sources have."""
    if isinstance(value, str):
        return {value: value}
    if isinstance(value, list | tuple) and all(isinstance(name, str) for name in value):
        return {name: name for name in value}
    if isinstance(value, list | tuple):
        raise wrong_value("expected names of branches", "write `by: [run, luminosityBlock, event]`")
    return empty_mapping(value)


KeyBranches = Annotated[
    dict[Line, Line], BeforeValidator(_same_names, json_schema_input_type=str | list[str] | dict[str, str] | None)
]
"""Key branches of one source, with those of another one."""


class JoinInput(Model):
    """A source of a join."""

    source: Reference = Field(description="name of the source")
    prefix: Reference | None = Field(
        None, description="its columns are `prefix.name`, and `name` if no other source has it; default: its name"
    )
    by: KeyBranches = Field(
        default_factory=dict,
        description="branches that say which entry belongs to an event, `[run, luminosityBlock, event]`, or `{event: evt}`"
        " if they have other names in this source; default: entry by entry",
    )
    on_mismatch: Mismatch | None = Field(None, description="as for the join")
    applies_to: Condition = Field(None, description="datasets that have this source; default: all")

    @property
    def prefix_or_name(self) -> str:
        """Its prefix."""
        return self.prefix or self.source


def _source_only(value: object) -> object:
    return {"source": value} if isinstance(value, str) else value


class JoinSpec(Model):
    """Sources whose columns are read together. The events are those of the first one."""

    kind: Literal["zip"] = Field("zip", description="as fasthep-flow writes it")
    inputs: tuple[Annotated[JoinInput, BeforeValidator(_source_only, json_schema_input_type=JoinInput | str)], ...] = (
        Field(min_length=1, description="the sources, or their names")
    )
    on_mismatch: Mismatch = Field(
        "error",
        description="events that a source with `by` lacks: `error`, or `missing` for missing values",
    )
