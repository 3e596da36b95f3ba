"""``hep.define``: add fields that are computed from expressions or reductions."""

from __future__ import annotations

import math
import re
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fasthep_parsl.interfaces import Context, Effects, OpProblem, ParamPath, Schema, Shape
from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import np
from fasthep_parsl.ops.columns.layouts import from_column, to_awkward
from fasthep_parsl.ops.columns.value_types import ExpressionError, Jagged, Masked, Value
from fasthep_parsl.ops.declare import op
from fasthep_parsl.ops.expressions import analyse_expression, expression
from fasthep_parsl.ops.expressions.grammar import CONSTANTS
from fasthep_parsl.ops.stream import Events

Reduction = Literal["count_nonzero", "any", "all", "sum", "min", "max", "mean", "argmin", "argmax"]
Dtype = Literal[
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "int",
    "float32", "float64", "float",
]  # fmt: skip


class Reduce(BaseModel):
    """A reduction over the objects of each event."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    op: Reduction = Field(description="reduction of the objects of an event to one value")
    over: str = Field(description="expression of one value per object")


class Variable(BaseModel):
    """A new field: exactly one of `expr` and `reduce`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="name of the new field", min_length=1)
    expr: str | None = Field(None, description="expression of its value")
    reduce: Reduce | None = Field(None, description="its value, as a reduction over the objects of each event")
    dtype: Dtype | None = Field(None, description="type of its values; default: the type of the expression")

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.expr is None) == (self.reduce is None):
            raise ValueError(f"variable `{self.name}` needs exactly one of `expr` and `reduce`")
        return self

    @property
    def text(self) -> str:
        """The expression of its value."""
        return f"{self.reduce.op}({self.reduce.over})" if self.reduce else self.expr or ""


_NAME = re.compile(r"[A-Za-z_][\w.]*")


def _analyse(params: Any, schema: Schema) -> Effects:
    known: dict[str, Shape] = dict(schema)
    reads: dict[str, ParamPath] = {}
    writes: dict[str, Shape] = {}
    sources: dict[str, frozenset[str]] = {}
    problems: list[OpProblem] = []
    for index, variable in enumerate(params.variables):
        at: ParamPath = ("variables", index)
        if not _NAME.fullmatch(variable.name) or variable.name in CONSTANTS or variable.name.startswith("dataset."):
            hint = "use letters, digits, `_` and `.`, and not the name of a constant"
            problems.append(OpProblem((*at, "name"), f"`{variable.name}` cannot be the name of a field", hint))
        path = (*at, "reduce", "over") if variable.reduce else (*at, "expr")
        found, shape, wrong = analyse_expression(variable.text, path, known)
        problems += wrong
        reads = {**{name: where for name, where in found.items() if name not in writes}, **reads}
        known[variable.name] = writes[variable.name] = shape
        own = (sources.get(name, {name}) for name in found)
        sources[variable.name] = frozenset().union(*own)
    return Effects(reads, writes, tuple(problems), sources=sources)


@op("hep.define", analyse=_analyse, keeps_events=True)
def define(events: Events, *, variables: list[Variable], context: Context | None = None) -> Events:
    """Add fields, in order. An expression can use the fields before it.

    Parameters
    ----------
    variables : list of {name, expr, dtype} or {name, reduce: {op, over}, dtype}
        The new fields. Reductions over the objects of each event: count_nonzero, any, all, sum, min, max, mean,
        argmin, argmax.
    """
    for variable in variables:
        column = expression(variable.text)(events, context)
        if variable.dtype is not None:
            column = _cast(column, variable)
        events = events.with_columns({variable.name: column}, fresh=True)
    return events


def _cast(column: Any, variable: Variable) -> Any:
    try:
        with np.errstate(all="ignore"):
            return to_awkward(_as(from_column(column), np.dtype(variable.dtype)))
    except ExpressionError as error:
        raise ExpressionError(f"`{variable.name}`: {error.message}", error.hint) from None


def _as(value: Value, dtype: Any) -> Value:
    if isinstance(value, Jagged):
        return Jagged(value.offsets, _as(value.content, dtype), value.present)
    if isinstance(value, Masked):
        values = np.where(value.valid, value.values, np.zeros_like(value.values))  # ignore values under the mask
        return Masked(_as(values, dtype), value.valid)
    if not device.is_array(value):
        raise ExpressionError(f"text cannot be converted to {dtype}")
    if dtype.kind in "iu" and len(value) and not np.can_cast(value.dtype, dtype):
        _check_range(value, dtype)
    return value.astype(dtype, copy=False)


def _check_range(values: Any, dtype: Any) -> None:
    """Raise if a number does not fit in an integer type. Fractions of floats are cut off."""
    limits = np.iinfo(dtype)
    low, high = device.to_python(values.min()), device.to_python(values.max())  # NaN if there is one
    if not (low > int(limits.min) - 1 and high < int(limits.max) + 1):
        wrong = "NaN" if math.isnan(low) else low if low <= int(limits.min) - 1 else high
        raise ExpressionError(f"{wrong} does not fit in {dtype}", "use a wider type, or replace NaN first")
