"""Models of a workflow file, in FAST-HEP's vocabulary."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from fasthep_parsl.resources.units import describe
from fasthep_parsl.resources.validation import wrong_value
from fasthep_parsl.workflow.execution_model import Execution
from fasthep_parsl.workflow.input_model import Data, Dataset, FieldOf, SourceOf
from fasthep_parsl.workflow.join_model import JoinSpec
from fasthep_parsl.workflow.stage_model import Analysis
from fasthep_parsl.workflow.styles import Styles
from fasthep_parsl.workflow.systematics import Systematics
from fasthep_parsl.workflow.values import Line, Model, Reference, Texts, empty_mapping


class Use(Model):
    """Analysis code and its data."""

    modules: Texts = Field((), description="Python files with analysis code, relative to the workflow file")
    packages: Texts = Field(
        (),
        description="folders of packages with analysis code, or of projects with ``pyproject.toml``, relative to this file",
    )
    files: Texts = Field((), description="files and folders that the analysis code reads, relative to this file")
    profiles: Texts = Field((), description="profiles of fasthep-flow; ignored")


def _version(value: object) -> object:
    if str(value) in {"1", "1.0"} and not isinstance(value, bool):
        return "1.0"
    raise wrong_value(f"expected version `1.0`, got {describe(value)}", "this package reads version 1.0 of the format")


def _with_include(schema: dict[str, Any]) -> None:
    schema["properties"]["include"] = {
        "description": "other files, relative to this one, which is merged over them",
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
    }


class Workflow(Model):
    """A workflow file."""

    model_config = ConfigDict(json_schema_extra=_with_include)  # the loader follows it

    version: Annotated[Literal["1.0"], BeforeValidator(_version, json_schema_input_type=Literal["1.0"] | float)] = (
        Field("1.0", description="version of the format")
    )
    use: Annotated[Use, BeforeValidator(empty_mapping)] = Field(Use(), description="analysis code")
    data: Data = Field(description="the input")
    sources: dict[Reference, SourceOf] = Field(
        min_length=1, description="how events are read; one, or several with `joins`"
    )
    joins: Annotated[dict[Reference, JoinSpec], BeforeValidator(empty_mapping)] = Field(
        default_factory=dict, description="sources whose columns are read together; at most one join"
    )
    fields: dict[Line, FieldOf] = Field(default_factory=dict, description="other names for branches")
    primary_stream: Reference | None = Field(None, description="name of the source or join, as fasthep-flow writes it")
    systematics: Annotated[Systematics, BeforeValidator(empty_mapping)] = Field(
        Systematics(), description="systematic variations"
    )
    styles: Styles = Field(
        default_factory=dict, description="styles of plots; `default` is for stages without `render`"
    )
    analysis: Analysis = Field(description="the stages")
    execution: Execution = Field(Execution(), description="how and where the workflow runs")

    def tree_of(self, dataset: Dataset) -> str | None:
        """Return the tree of a dataset or of the defaults, None for that of the source."""
        return dataset.tree or self.data.defaults.tree

    @property
    def join(self) -> JoinSpec | None:
        """The join, None if there is one source."""
        return next(iter(self.joins.values()), None)

    @property
    def source_name(self) -> str:
        """Name of the source that has the events: the only one, or the first of the join."""
        first = self.join.inputs[0].source if self.join else ""
        return first if first in self.sources else next(iter(self.sources))
