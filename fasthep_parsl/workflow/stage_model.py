"""Models of a workflow file: stages, regions and templates, in FAST-HEP's vocabulary."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field

from fasthep_parsl.resources.validation import Duration
from fasthep_parsl.workflow.conditions import Condition
from fasthep_parsl.workflow.kind_reference import ModifierOf
from fasthep_parsl.workflow.regions import Regions
from fasthep_parsl.workflow.styles import Renders
from fasthep_parsl.workflow.templates import Templates
from fasthep_parsl.workflow.values import Line, Model, Name, Reference, References, empty_list, empty_mapping


class Input(Model):
    """A product of another stage, bound to a parameter of the op."""

    node: Reference = Field(description="id of the stage")
    port: Line = Field(description="name of its product, e.g. `hist`")
    to: Line = Field(alias="as", description="parameter of this stage's op")


class StageExecution(Model):
    """Where and how a stage runs."""

    require: Reference | None = Field(None, description="label of a pool or resource class that the stage must run on")
    prefer: Reference | None = Field(None, description="label of a pool to use if it exists")
    fallback: Reference | None = Field(None, description="label of a pool to use otherwise")
    timeout: Duration | None = Field(None, description="longest time per task, seconds; `30m`")
    modifiers: Annotated[tuple[ModifierOf, ...], BeforeValidator(empty_list)] = Field(
        (), description="changes of how the op is called"
    )


def _id_is_optional(schema: dict[str, Any]) -> None:
    schema["required"] = [name for name in schema["required"] if name != "id"]


class Stage(Model):
    """One step of the analysis."""

    model_config = ConfigDict(json_schema_extra=_id_is_optional)  # the loader fills it in

    id: Name = Field(description="unique name, also of a folder; default: last word of the op and a number")
    op: Line = Field(description="name of the operation, e.g. `hep.hist`")
    params: Annotated[dict[str, Any], BeforeValidator(empty_mapping)] = Field(
        default_factory=dict, description="parameters of the op"
    )
    applies_to: Condition = Field(
        None, description="datasets for which it runs; for the others it is skipped: their events pass it unchanged"
    )
    needs: References | None = Field(
        None, description="stages that run first; default: the last one with a stream; `[]`: none"
    )
    inputs: Annotated[tuple[Input, ...], BeforeValidator(empty_list)] = Field(
        (), alias="from", description="products of other stages"
    )
    render: Renders = Field(
        (), description="how its results are drawn; a text is the name of a style; a list draws them several times"
    )
    execution: Annotated[StageExecution, BeforeValidator(empty_mapping)] = Field(
        StageExecution(), description="labels, timeout, modifiers"
    )


class Analysis(Model):
    """The stages of the analysis."""

    regions: Regions = Field(
        default_factory=dict,
        description="name → selection, as in `hep.select`; a histogram with `regions: [names]` is filled once per region",
    )
    templates: Templates | None = Field(None, description="histograms for fit tools")
    stages: Annotated[tuple[Stage, ...], BeforeValidator(empty_list)] = Field((), description="stages, in any order")
