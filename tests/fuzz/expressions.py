"""The engine beside the oracle: one expression, all events at once, in parts, and on the stand-in for a GPU."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import awkward as ak
import numpy as np

from fasthep_parsl.errors import OpError
from fasthep_parsl.ops.expressions import ExpressionError, analyse_expression, expression
from fasthep_parsl.ops.stream import Events
from fuzz.columns import SHAPES, column
from fuzz.generate import Case
from fuzz.oracle import Oracle
from fuzz.tree import fields_of, smaller, write
from fuzz.values import Field, Refused, TooWide, Unclear

Outcome = tuple[str, Any]
"""``("values", (kind, rows))``, ``("refused", message)`` or ``("wrong", exception)``."""


def expected(case: Case, *, wide: bool = False) -> Outcome:
    """Return what the oracle says; raises `Unclear`."""
    try:
        value = Oracle(case.fields, case.events, wide=wide).of(case.tree)
    except TooWide as error:
        return "too wide", str(error)
    except Refused as error:
        return "refused", str(error)
    if value.is_const:
        raise Unclear("a constant")
    return "values", (value.kind, list(value.data))


def seen(case: Case) -> Outcome:
    """Return what the engine says of all events."""
    return run(write(case.tree), _events(case.fields, case.events), _schema(case))


def run(text: str, events: Events, schema: Any) -> Outcome:
    try:
        _, _, problems = analyse_expression(text, (), schema)
        if problems:
            return "refused", f"in the plan: {problems[0].message}"
        return "values", plain(expression(text)(events), len(events))
    except (ExpressionError, OpError) as error:
        return "refused", str(error)
    except Exception as error:  # noqa: BLE001 - whatever it is, users see it
        return "wrong", f"{type(error).__name__}: {str(error)[:300]}"


def in_parts(case: Case, cuts: list[int]) -> Outcome:
    """Return what the engine says of the events between `cuts`, put together."""
    edges = [0, *sorted(cuts), case.events]
    kinds: list[str] = []
    rows: list[Any] = []
    for low, high in pairwise(edges):
        fields = {n: Field(f.kind, f.depth, f.data[low:high], f.dtype, f.structure) for n, f in case.fields.items()}
        state, found = run(write(case.tree), _events(fields, high - low), _schema(case))
        if state != "values":
            return state, found
        kinds.append(found[0])
        rows += found[1]
    return "values", (kinds[0] if len(set(kinds)) == 1 else "/".join(kinds), rows)


def filtered(case: Case, keep: list[bool]) -> Outcome:
    """Return what the engine says of the events that pass a filter."""
    events = _events(case.fields, case.events).filter(np.array(keep, dtype=bool))
    return run(write(case.tree), events, _schema(case))


def on_gpu(case: Case) -> Outcome | None:
    """Return what the engine says on the stand-in for CuPy, None where it cannot compute that there."""
    import fake_cupy
    from fasthep_parsl.ops import device
    from fasthep_parsl.ops.columns.value_types import FOREIGN, MissingError

    with fake_cupy.installed():
        seen_there = _events(case.fields, case.events).on_gpu(case.fields)
        try:
            value = expression(write(case.tree))(seen_there)
            value = device.download(value) if device.is_array(value) and device.on_gpu(value) else value
            value = ak.to_backend(value, "cpu") if isinstance(value, ak.Array) and device.on_gpu(value) else value
            return "values", plain(value, case.events)
        except MissingError:
            return None
        except (ExpressionError, OpError) as error:
            return "refused", str(error)
        except FOREIGN:  # as for a library that lacks something
            return None


def _events(fields: dict[str, Field], number: int) -> Events:
    return Events({name: column(field) for name, field in fields.items()}, number)


def _schema(case: Case) -> dict[str, tuple[str, ...]]:
    return {name: SHAPES[field.structure] for name, field in case.fields.items()}


def plain(value: Any, number: int) -> tuple[str, list[Any]]:
    """Return the kind and the entries of a column; a Python object in it is no number."""
    if isinstance(value, np.ndarray):
        return _kind(value.dtype), value.tolist()
    assert len(value) == number, f"{len(value)} entries for {number} events"
    flat = ak.flatten(value, axis=None)
    if "string" in str(value.type):
        return "s", ak.to_list(value)
    layout = ak.to_layout(ak.drop_none(flat) if "?" in str(flat.type) else flat)
    dtype = getattr(layout, "dtype", None) or getattr(ak.to_packed(layout), "dtype", np.dtype("float64"))
    return _kind(dtype), ak.to_list(value)


def _kind(dtype: Any) -> str:
    return {"b": "b", "i": "i", "u": "i"}.get(
        dtype.kind, {"float32": "f", "float16": "d"}.get(str(dtype), "d" if dtype.kind == "f" else dtype.kind)
    )


def difference(a: Outcome, b: Outcome, *, exact: bool = False) -> str:
    """Return how two outcomes differ, or nothing."""
    if "wrong" in (a[0], b[0]):
        return f"{a} / {b}"
    if a[0] != b[0]:
        return f"{a} / {b}"
    if a[0] == "refused":
        return ""
    (kind, rows), (other, others) = a[1], b[1]
    if {kind, other} not in ({kind}, {"b", "i"}) and _numbers(rows):
        return f"type {kind} / {other}: {rows} / {others}"
    tolerance = 0.0 if exact else 3e-6 if "f" in (kind, other) else 1e-12
    if len(rows) != len(others) or not all(same(x, y, tolerance) for x, y in zip(rows, others, strict=True)):
        return f"{rows} / {others}"
    return ""


def _numbers(rows: Any) -> bool:
    return any(_numbers(row) if isinstance(row, list | tuple) else row is not None for row in rows or ())


def same(x: Any, y: Any, tolerance: float) -> bool:
    """Whether two entries are equal; floats to a relative tolerance, NaN is NaN, missing is missing."""
    if isinstance(x, list | tuple) and isinstance(y, list | tuple):
        return len(x) == len(y) and all(same(a, b, tolerance) for a, b in zip(x, y, strict=True))
    if x is None or y is None or isinstance(x, list | tuple | str) or isinstance(y, list | tuple | str):
        return type(x) is type(y) and x == y
    x, y = (v if isinstance(v, int) else float(v) for v in (x, y))
    if x == y or (x != x and y != y):
        return True
    if not (math.isfinite(x) and math.isfinite(y)):
        return False
    return abs(x - y) <= max(tolerance * max(abs(x), abs(y)), tolerance * 1e-3)


def minimal(case: Case, fails: Callable[[Case], str]) -> Case:
    """Return a smaller case that fails as well: a smaller tree, then fewer events."""
    found = True
    while found:
        found = False
        for tree in smaller(case.tree):
            fields = {name: field for name, field in case.fields.items() if name in fields_of(tree)}
            if fields and _fails(Case(tree, fields, case.events), fails):
                case, found = Case(tree, fields, case.events), True
                break
    event = 0
    while event < case.events:
        fields = {
            n: Field(f.kind, f.depth, f.data[:event] + f.data[event + 1 :], f.dtype, f.structure)
            for n, f in case.fields.items()
        }
        less = Case(case.tree, fields, case.events - 1)
        if _fails(less, fails):
            case = less
        else:
            event += 1
    return case


def _fails(case: Case, fails: Callable[[Case], str]) -> bool:
    try:
        return bool(fails(case))
    except Unclear:
        return False


def shown(case: Case) -> str:
    """Return the case as text."""
    lines = [f"expression: {write(case.tree)}", f"events: {case.events}"]
    return "\n".join(lines + [f"  {n}: {f.dtype} ({f.structure}) {list(f.data)}" for n, f in case.fields.items()])
