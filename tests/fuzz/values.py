"""What the oracle computes with: kinds of numbers, constants, and when something is refused."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

LOWEST, HIGHEST = -(2**63), 2**63 - 1


class Refused(Exception):
    """The expression has no meaning, or its result does not fit: both must say so."""


class TooWide(Refused):
    """A value does not fit in int64."""


class Unclear(Exception):
    """The rules leave it open: not a case."""


@dataclass(frozen=True)
class Value:
    kind: str
    depth: int
    data: tuple[Any, ...] = ()
    const: Any = None
    structure: str = ""

    @property
    def is_const(self) -> bool:
        return self.const is not None


@dataclass(frozen=True)
class Field:
    """A column: its kind, its depth, its entries as plain Python, the type it has in a file, whose objects they are."""

    kind: str
    depth: int
    data: tuple[Any, ...]
    dtype: str = ""
    structure: str = ""


def constant(value: Any) -> Value:
    if isinstance(value, bool):
        return Value("b", 0, const=value)
    if isinstance(value, int):
        if not LOWEST <= value <= HIGHEST:
            raise Refused(f"{value} does not fit in int64")
        return Value("i", 0, const=value)
    if isinstance(value, float):
        return Value("d", 0, const=value)
    return Value("s", 0, const=value)


def fits_float32(value: Any) -> bool:
    """Whether a constant is, beside float32, its float32: then nothing is lost but the usual rounding."""
    if isinstance(value, bool):
        return True
    if isinstance(value, float) and not math.isfinite(value):
        return True
    with np.errstate(all="ignore"):
        single = float(np.float32(value))
    if isinstance(value, int):
        return single == value
    return single == value or (math.isfinite(single) and abs(single - value) <= 2.0**-24 * abs(value))


def common(*values: Value) -> str:
    """Return the kind in which values are computed together."""
    kinds = {value.kind for value in values if not value.is_const}
    if "s" in kinds or any(value.kind == "s" for value in values):
        raise Refused("text")
    constants = [value for value in values if value.is_const]
    if kinds == {"f"}:
        return "f" if all(fits_float32(value.const) for value in constants) else "d"
    kinds |= {value.kind for value in constants}
    if kinds & {"f", "d"}:
        return "d"
    return "i" if "i" in kinds else "b"


def as_kind(x: Any, kind: str) -> Any:
    """Return a plain number as one of this kind."""
    if kind == "d":
        return np.float64(x)
    if kind == "f":
        return np.float32(x)
    return int(x) if kind == "i" else bool(x)


def checked(x: int) -> int:
    if not LOWEST <= x <= HIGHEST:
        raise Refused("the result does not fit in 64-bit integers")
    return x


def kind_of_number(x: Any) -> str:
    """Return the kind of a plain number; of a missing one float64."""
    return "b" if isinstance(x, bool) else "i" if isinstance(x, int) else "d"
