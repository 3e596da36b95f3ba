"""The parameter `regions` of ops: the compiler calls such an op once per region, each time with the region's events."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, WithJsonSchema


class _OfRegions:
    """Marks the parameter."""


_MARK: Final = _OfRegions()


def region_names(value: Any) -> Any:
    """Return a list for the name of one region."""
    return (value,) if isinstance(value, str) else value


RegionNames = Annotated[
    tuple[str, ...],
    BeforeValidator(region_names),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
    _MARK,
]
"""Type of the parameter: names of regions in ``analysis.regions``, or ``all``. The op itself gets an empty tuple."""


def parameter_of_regions(params: type[BaseModel]) -> str:
    """Return the name of the parameter with regions, empty if an op has none."""
    return next((name for name, field in params.model_fields.items() if _MARK in field.metadata), "")
