"""Section `systematics` of a workflow file: variations of fields, weights and datasets, in FAST-HEP's spelling."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from fasthep_parsl.resources.validation import wrong_value
from fasthep_parsl.workflow.conditions import Condition
from fasthep_parsl.workflow.values import Line, Model, Name, Reference, Texts, empty_list, empty_mapping


class WeightRule(Model):
    """How a variation changes the weights of histograms and cutflows."""

    multiply: Texts = Field((), description="expressions that multiply every weight")


class Replacements(Model):
    """What a variation replaces."""

    fields: Annotated[dict[Line, Line], BeforeValidator(empty_mapping)] = Field(
        default_factory=dict,
        description="field → expression of its value in the variation; it sees the nominal fields, also itself",
    )


def _direction(value: object) -> object:
    return "" if value in (None, "none") else value


def _with_name(value: object) -> object:
    """Give a variation without a name that of its group and direction."""
    if isinstance(value, dict) and value.get("name") is None:
        if not value.get("group"):
            raise wrong_value("a variation has no name", "write `name: jes_up`", code="E104")
        parts = [str(value[key]) for key in ("group", "direction") if value.get(key)]
        return {**value, "name": "_".join(parts)}
    return value


def _name_is_optional(schema: dict[str, Any]) -> None:
    schema["required"] = [name for name in schema.get("required", ()) if name != "name"]


class SystematicVariation(Model):
    """A systematic variation: the same analysis with other fields, weights or datasets."""

    model_config = ConfigDict(json_schema_extra=_name_is_optional)

    name: Name = Field(
        description="unique name, also of histograms in templates; default: group and direction, `jes_up`"
    )
    group: Reference | None = Field(None, description="name of the nuisance parameter; default: the name")
    direction: Annotated[Literal["up", "down", ""], BeforeValidator(_direction)] = Field(
        "", description="`up` or `down`; empty for a variation without an opposite"
    )
    mode: Literal["plan", "inline"] = Field(
        "plan", description="of fasthep-flow; here every variation runs inside of the one run"
    )
    applies_to: Condition = Field(None, description="datasets that vary; default: all. The others are nominal")
    requires: Texts = Field((), description="for fasthep-flow; ignored")
    metadata: dict[str, Any] = Field(default_factory=dict, description="for fasthep-flow; ignored")
    weight: Annotated[WeightRule, BeforeValidator(empty_mapping)] = Field(
        WeightRule(), description="changes of the weights"
    )
    replace: Annotated[Replacements, BeforeValidator(empty_mapping)] = Field(
        Replacements(), description="changes of fields"
    )
    datasets: Annotated[dict[Reference, Reference], BeforeValidator(empty_mapping)] = Field(
        default_factory=dict, description="dataset → dataset that takes its place in the variation"
    )

    @property
    def is_empty(self) -> bool:
        """Whether it changes nothing."""
        return not (self.weight.multiply or self.replace.fields or self.datasets)


VariationOf = Annotated[SystematicVariation, BeforeValidator(_with_name, json_schema_input_type=SystematicVariation)]


class Systematics(Model):
    """Systematic variations. All of them are computed in one run, together with the nominal analysis."""

    include_nominal: bool = Field(True, description="of fasthep-flow; the nominal analysis always runs")
    variations: Annotated[tuple[VariationOf, ...], BeforeValidator(empty_list)] = Field(
        (), description="the variations"
    )
