"""Fields of a branch from its awkward form or NumPy type: structure of lists, members of records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import awkward as ak
import numpy as np

from fasthep_parsl.interfaces import TEXT, Branch, Shape
from fasthep_parsl.sources.branches import record

Members = tuple[str, ...]
"""Names of nested members, the outermost first; empty for the whole branch."""

_PAIR = ("first", "second")
_KINDS = {
    "c": "has complex numbers",
    "M": "has dates",
    "m": "has durations",
    "V": "has values of an unknown type",
}


def _unnamed(_: Any) -> str:
    return "*"


def fields_of(name: str, form: Any, level: Callable[[Any], str] = _unnamed) -> dict[str, tuple[Members, Branch]]:
    """Return the fields of a branch: the branch itself, or the members of its records.

    Parameters
    ----------
    name : str
        The branch.
    form : awkward form
        The form that it is read as.
    level : callable
        Returns the name of a level of lists, from its form.

    Returns
    -------
    dict
        Name, such as ``p.fX`` → members to take, and description. Records are included, with a problem.
    """
    return _named(name, _walk(name, form, (), (), level))


def members_of(name: str, dtype: Any) -> dict[str, tuple[Members, Branch]]:
    """Return the fields of a NumPy type with members: that of a leaf list."""
    return _named(name, _walk_dtype(name, dtype, (), ()))


def _named(name: str, found: Iterable[tuple[Members, Branch]]) -> dict[str, tuple[Members, Branch]]:
    return {".".join((name, *map(_called, members))): (members, branch) for members, branch in found}


def of_dtype(dtype: Any, shape: Shape = ()) -> Branch:
    """Return the description of a NumPy type without members. It may be an array of fixed size."""
    if dtype.subdtype is not None:
        shape = (*shape, *("*",) * len(dtype.shape))
        dtype = dtype.subdtype[0]
    if dtype.kind in _KINDS:
        return Branch(shape, problem=_KINDS[dtype.kind], hint="expressions support numbers, booleans and text")
    return Branch(shape, dtype.name)


def take(array: Any, members: Members) -> Any:
    """Return a member of the records of an array, also inside lists."""
    for member in members:
        array = array[member]
    return array


def _walk(
    name: str, form: Any, shape: Shape, members: Members, level: Callable[[Any], str]
) -> Iterator[tuple[Members, Branch]]:
    while form.is_option or form.is_indexed:
        form = form.content
    if form.parameter("__array__") in ("string", "char"):
        yield members, Branch(shape, TEXT)
    elif form.parameter("__array__") in ("bytestring", "byte"):
        yield members, Branch(problem="has bytes", hint="expressions support numbers and text")
    elif form.is_list:
        yield from _walk(name, form.content, (*shape, level(form)), members, level)
    elif form.is_numpy:
        inner = (*shape, *("*",) * len(form.inner_shape))
        yield members, of_dtype(np.dtype(ak.types.numpytype.primitive_to_dtype(form.primitive)), inner)
    elif form.is_record:
        found = [
            item
            for field in form.fields
            if not field.startswith("@")  # added by ROOT
            for item in _walk(name, form.content(field), shape, (*members, field), level)
        ]
        yield from _record(name, found, shape, members)
    else:
        yield members, Branch(problem="has values of several types" if form.is_union else "has no type")


def _walk_dtype(name: str, dtype: Any, shape: Shape, members: Members) -> Iterator[tuple[Members, Branch]]:
    shape = (*shape, *("*",) * len(dtype.shape))
    dtype = dtype.base
    if not dtype.names:
        yield members, of_dtype(dtype, shape)
        return
    found = [item for field in dtype.names for item in _walk_dtype(name, dtype[field], shape, (*members, field))]
    yield from _record(name, found, shape, members)


def _record(
    name: str, found: list[tuple[Members, Branch]], shape: Shape, members: Members
) -> Iterator[tuple[Members, Branch]]:
    usable = [".".join((name, *map(_called, path))) for path, branch in found if not branch.problem]
    yield members, record(usable, "is a list of records" if shape else "is a record")
    yield from found


def _called(member: str) -> str:
    """Return the name of a member in expressions. Members of pairs and tuples have only numbers."""
    if not member.isdigit():
        return member
    number = int(member)
    return _PAIR[number] if number < len(_PAIR) else f"_{number}"
