"""Regions: selections that several histograms share. Each of them is filled once per region."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from fasthep_parsl.resources.units import describe
from fasthep_parsl.resources.validation import wrong_value
from fasthep_parsl.workflow.values import Name, empty_mapping

ALL = "all"
"""What a histogram writes for all regions of the workflow."""


def _region(name: object) -> object:
    if name == ALL:
        hint = f"choose another name: `regions: {ALL}` names all regions"
        raise wrong_value(f"`{ALL}` cannot be the name of a region", hint, code="E106")
    return name


def _not_empty(value: object) -> object:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        raise wrong_value(f"expected a selection, got {describe(value)}", "write a list of expressions: [nJet >= 4]")
    return value


Selection = Annotated[
    Any,
    BeforeValidator(_not_empty),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "minItems": 1}, {"type": "object"}]}),
]
"""A selection in any form that ``hep.select`` takes. The compiler checks it."""

Regions = Annotated[dict[Annotated[Name, BeforeValidator(_region)], Selection], BeforeValidator(empty_mapping)]
"""Name → selection."""
