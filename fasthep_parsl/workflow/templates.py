"""Section ``analysis.templates``: histograms for fit tools, one per region, sample and variation."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field

from fasthep_parsl.plan import TemplateFormat
from fasthep_parsl.resources.validation import wrong_value
from fasthep_parsl.workflow.values import (
    Line,
    Model,
    Name,
    Reference,
    References,
    Texts,
    empty_list,
    empty_mapping,
)

_PERCENT = re.compile(r"[+±]?\s*(\d+(?:\.\d*)?|\.\d+)\s*%")
NAMES = "{region}_{sample}_{variation}"
"""Default names of templates."""


def _one_or_more(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _one_or_list(value: object) -> object:
    return (value,) if isinstance(value, str) else empty_list(value)


def _size(value: object) -> object:
    return value if isinstance(value, dict | Model) else {"size": value}


def _relative(value: object) -> object:
    """Return a relative size. Say how to write what is a percentage or a factor."""
    if isinstance(value, str) and (found := _PERCENT.fullmatch(value)):
        hint = f"write the relative size: `{float(found[1]) / 100:.6g}`"
        raise wrong_value(f"`{value}` is a percentage", hint, code="E106", name=value)
    if isinstance(value, float) and 1 < value < 2:
        hint = f"write the relative size: `{value - 1:.6g}`"
        raise wrong_value(f"must be less than 1, got the factor `{value:g}`", hint, code="E106", name=str(value))
    return value


def _sum(value: object) -> object:
    return {"sum": value} if isinstance(value, list) else empty_mapping(value)


class Term(Model):
    """One sample in pseudodata."""

    sample: Reference = Field(description="name of the sample")
    variation: Reference | None = Field(None, description="name of a variation; default: nominal")
    weight: float = Field(1.0, allow_inf_nan=False, description="factor")


class Pseudodata(Model):
    """What takes the place of data in the fit."""

    name: Name = Field("pseudodata", description="its name among the samples")
    sum: Annotated[tuple[Term, ...], BeforeValidator(empty_list)] = Field(
        (), description="samples, with variation and weight; default: all of them, nominal"
    )


class RateUncertainty(Model):
    """An uncertainty of the normalisation of samples."""

    size: Annotated[float, BeforeValidator(_relative)] = Field(gt=0, lt=1, description="relative size: `0.03` is ±3 %")
    samples: References = Field((), description="samples; default: all")


Histograms = Annotated[
    References | dict[Reference, References],
    BeforeValidator(_one_or_more, json_schema_input_type=str | list[str] | dict[str, str | list[str]]),
]


class Templates(Model):
    """Templates for fit tools, in ``results/templates.root``, and the files of these tools."""

    histograms: Histograms = Field(
        description="ids of stages of `hep.hist` with one axis; or region → ids, to choose the regions"
    )
    samples: dict[Name, Texts] = Field(
        default_factory=dict,
        description="name → datasets, or patterns such as `ttbar_*`; default: one for each group, or dataset without group",
    )
    data: Texts | None = Field(None, description="datasets with data, or patterns; default: those of `eventtype: data`")
    pseudodata: (
        Annotated[Pseudodata, BeforeValidator(_sum, json_schema_input_type=Pseudodata | tuple[Term, ...])] | None
    ) = Field(None, description="a sum of samples that takes the place of data in the fit")
    signal: References = Field((), description="samples whose normalisation is the parameter of interest")
    rates: dict[
        Name, Annotated[RateUncertainty, BeforeValidator(_size, json_schema_input_type=RateUncertainty | float)]
    ] = Field(default_factory=dict, description="name → uncertainty of normalisation, e.g. `{lumi: 0.03}`")
    formats: Annotated[
        tuple[TemplateFormat, ...],
        BeforeValidator(_one_or_list, json_schema_input_type=TemplateFormat | tuple[TemplateFormat, ...] | None),
    ] = Field((), description="files to write beside it: `cabinetry`, `combine`, `pyhf`")
    names: Line = Field(
        NAMES,
        description="name of a template; `{variation}` and the separator before it are left out for the nominal one. Also"
        " `{histogram}`",
    )
