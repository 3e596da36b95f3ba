"""Convert the default of a field to the type that its branch has in other files."""

from __future__ import annotations

import math
import struct
from collections.abc import Collection

from fasthep_parsl.interfaces import TEXT
from fasthep_parsl.plan import PlanDefault

_FLOATS = {"float16": "e", "float32": "f"}
"""Type of a float → its format character in `struct`."""


class MisfitError(Exception):
    """A default that does not fit its branch; the argument describes the values of the branch."""


def typed_default(value: bool | float | str, dtypes: Collection[str]) -> PlanDefault:
    """Return a default in the type of its branch.

    Parameters
    ----------
    value : bool, int, float or str
        The default as written.
    dtypes : collection of str
        Type of the branch in each file that has it; may be empty.

    Raises
    ------
    MisfitError
        The branch cannot have this value: 0.5 among whole numbers, a number among texts.
    """
    types = set(dtypes)
    if not types:
        own = "bool" if isinstance(value, bool) else "int64" if isinstance(value, int) else "float64"
        types = {TEXT if isinstance(value, str) else own}
    if TEXT in types:
        if not isinstance(value, str):
            raise MisfitError("texts")
        return PlanDefault(value=value, dtype=TEXT)
    number = _number(value)
    floats = {name for name in types if name.startswith("float")}
    if floats:
        only = next(iter(types)) if len(types) == 1 else "float64"
        return _float(number, only)
    if not math.isfinite(number) or number != int(number):
        raise MisfitError("true or false" if types == {"bool"} else "whole numbers")
    if types == {"bool"}:
        if number not in (0, 1):
            raise MisfitError("true or false")
        return PlanDefault(value=bool(number), dtype="bool")
    return _integer(int(number), types - {"bool"})


def _number(value: bool | float | str) -> float:
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        raise MisfitError("numbers") from None


def _integer(number: int, types: set[str]) -> PlanDefault:
    """Return a whole number in the type of the branch, or in a wider type if it does not fit."""
    only = types if len(types) == 1 else set()
    unsigned = {"uint64"} if all(name.startswith("u") for name in types) else set()
    for dtype in (*only, "int64", *unsigned):
        bits = int(dtype.lstrip("uint"))
        low, high = (0, 2**bits - 1) if dtype.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        if low <= number <= high:
            return PlanDefault(value=number, dtype=dtype)
    raise MisfitError(f"whole numbers of type {', '.join(sorted(types))}")


def _float(number: float, dtype: str) -> PlanDefault:
    """Return a float in `dtype`; in double precision if it overflows there, or if a whole number would be rounded."""
    letter = _FLOATS.get(dtype)
    if letter is not None and math.isfinite(number):
        try:
            kept = struct.unpack(letter, struct.pack(letter, number))[0]
        except OverflowError:
            dtype = "float64"
        else:
            dtype = "float64" if number == int(number) and kept != number else dtype
    return PlanDefault(value=float(number) if math.isfinite(number) else str(number), dtype=dtype)
