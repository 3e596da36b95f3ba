"""Base of all parts of a plan: frozen data that JSON can hold."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer


class Frozen(BaseModel):
    """A part of a plan."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


_FLOAT = "$float"


def _written(value: Any) -> Any:
    """Return `value` with infinities and NaN as ``{"$float": "inf"}``, because JSON would make them null."""
    if isinstance(value, float) and not math.isfinite(value):
        return {_FLOAT: str(value)}
    if isinstance(value, dict):
        return {key: _written(part) for key, part in value.items()}
    return [_written(part) for part in value] if isinstance(value, list | tuple) else value


def _read(value: Any) -> Any:
    if isinstance(value, dict):
        return float(value[_FLOAT]) if value.keys() == {_FLOAT} else {key: _read(part) for key, part in value.items()}
    return [_read(part) for part in value] if isinstance(value, list) else value


Written = Annotated[dict[str, Any], PlainSerializer(_written, when_used="json"), BeforeValidator(_read)]
"""Values as the user wrote them, including infinities and NaN."""
