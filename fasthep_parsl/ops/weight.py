"""``hep.weight``: a named product of weights, and its variations."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from fasthep_parsl.errors import OpError
from fasthep_parsl.interfaces import UNKNOWN, Context, Effects, OpProblem, ParamPath, Schema, Variation, variant
from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import np
from fasthep_parsl.ops.columns.reductions import reduce_value
from fasthep_parsl.ops.columns.value_types import Jagged, Masked, Value, is_text, same_device
from fasthep_parsl.ops.corrections.groups import GROUP, columns_of, unfit
from fasthep_parsl.ops.counts import count_true
from fasthep_parsl.ops.declare import op
from fasthep_parsl.ops.expressions import ExpressionError, analyse_expression, expression
from fasthep_parsl.ops.stream import Events

Text = str | int | float
"""An expression. A number is one, too."""


class VariedFactor(BaseModel):
    """A factor with its own variations."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    nominal: Text = Field(1, description="expression of the factor")
    up: Text = Field(description="expression of the factor in the variation `<name>_up`")
    down: Text = Field(description="expression of the factor in the variation `<name>_down`")


class WeightParams(BaseModel):
    """Parameters of ``hep.weight``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    output: str = Field(description="field to add", pattern=r"^[A-Za-z_][\w.]*$")
    factors: list[Text] | dict[str, Text | VariedFactor] = Field(
        description="expressions that are multiplied: a list, or a mapping of names to an expression or to `{nominal, up, down}`. "
        "A factor with one value per object counts once for each object of the event"
    )

    @property
    def written(self) -> tuple[tuple[str, ParamPath, Text | VariedFactor], ...]:
        """Name, place and value of each factor. Those of a list have no name."""
        if isinstance(self.factors, list):
            return tuple(("", ("factors", number), value) for number, value in enumerate(self.factors))
        return tuple((name, ("factors", name), value) for name, value in self.factors.items())


def _nominal(factor: Text | VariedFactor) -> str:
    return str(factor.nominal if isinstance(factor, VariedFactor) else factor)


def _own_variations(params: WeightParams) -> tuple[tuple[Variation, int, str], ...]:
    """Return each variation of a factor, the number of this factor, and its expression in the variation."""
    found = []
    for number, (name, _, factor) in enumerate(params.written):
        if isinstance(factor, VariedFactor):
            found.append((Variation(f"{name}_up", name, "up"), number, str(factor.up)))
            found.append((Variation(f"{name}_down", name, "down"), number, str(factor.down)))
    return tuple(found)


def _analyse(params: WeightParams, schema: Schema) -> Effects:
    reads: dict[str, ParamPath] = {}
    problems: list[OpProblem] = []
    fields: dict[str, frozenset[str]] = {}
    if not params.factors:
        problems.append(unfit(("factors",), "a weight needs at least one factor", "e.g. [genWeight]"))
    for name, path, factor in params.written:
        varied = isinstance(factor, VariedFactor)
        if varied and not GROUP.fullmatch(name):
            hint = "use letters, digits, `_`, `-` and `.`"
            problems.append(unfit(path, f"`{name}` cannot be the name of a group of variations", hint))
        parts = {key: getattr(factor, key) for key in ("nominal", "up", "down")} if varied else {"": factor}
        if varied and parts["nominal"] == parts["up"] == parts["down"]:
            problems.append(unfit(path, f"the variation `{name}` changes nothing"))
        for key, text in parts.items():
            found, shape, wrong = analyse_expression(str(text), (*path, key) if key else path, schema)
            reads = {**found, **reads}
            fields[str(text)] = frozenset(found)
            problems += wrong
            if len(shape) > 1 and shape != UNKNOWN:
                hint = f"use prod({text}) first"
                problems.append(unfit((*path, key) if key else path, f"`{text}` has lists of lists", hint))
    variations = tuple(item[0] for item in _own_variations(params))
    columns = columns_of(params.output, variations)
    return Effects(
        reads,
        dict.fromkeys((params.output, *columns.values()), ()),
        tuple(dict.fromkeys(problems)),
        sources=_sources(params, fields),
        variants={params.output: columns} if columns else {},
        variations=variations,
    )


def _sources(params: WeightParams, fields: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """Return the fields that the weight and its variations are computed from; `fields` are those of each expression."""
    texts = [_nominal(factor) for _, _, factor in params.written]
    found = {params.output: frozenset[str]().union(*(fields[text] for text in texts))}
    for variation, number, text in _own_variations(params):
        varied = (*texts[:number], text, *texts[number + 1 :])
        found[variant(params.output, variation.name)] = frozenset[str]().union(*(fields[each] for each in varied))
    return found


@op("hep.weight", analyse=_analyse, params=WeightParams, keeps_events=True)
def weight(events: Events, *, params: WeightParams, context: Context | None = None) -> Events:
    """Add a weight per event: the product of its factors, float64.

    A factor with one value per object counts once for each object of the event. A missing value is an error. Variations
    of the fields that the factors read are variations of the weight.
    """
    texts = [_nominal(factor) for _, _, factor in params.written]
    own = {variation.name: (number, text) for variation, number, text in _own_variations(params)}
    name = context.variation if context is not None else ""
    if name in own:
        number, texts[number] = own[name]
    known = {text: _factor(text, events, context) for text in dict.fromkeys(texts)}
    columns = {params.output: _product(texts, known, len(events))}
    if name in own:  # in a copy for this variation, both columns have its value
        columns[variant(params.output, name)] = columns[params.output]
    if not name:
        for variation, (number, text) in own.items():
            known.setdefault(text, _factor(text, events, context))
            varied = [*texts[:number], text, *texts[number + 1 :]]
            columns[variant(params.output, variation)] = _product(varied, known, len(events))
    return events.with_columns(columns, fresh=True)


def _product(texts: list[str], known: Mapping[str, Any], events: int) -> Any:
    """Return the product of factors in their order."""
    with np.errstate(all="ignore"):
        found = reduce(lambda a, b: a * b, same_device(*(known[text] for text in texts)))
    return found if device.is_array(found) else np.full(events, found)


def _factor(text: str, events: Events, context: Context | None) -> Any:
    """Return a factor, float64: an array, or a constant."""
    try:
        value = expression(text).value(events, context)
    except ExpressionError as error:
        raise type(error)(f"in `{text}`: {error.message}", error.hint) from None
    if is_text(value):
        raise OpError(f"the factor `{text}` of a weight is text")
    _refuse_missing(text, value)
    if isinstance(value, Jagged):
        return reduce_value("prod", Jagged(value.offsets, _plain(value.content)))
    return device.as_float64(_plain(value)) if device.is_array(_plain(value)) else float(value)


def _plain(value: Value) -> Any:
    return value.values if isinstance(value, Masked) else value


def _refuse_missing(text: str, value: Value) -> None:
    """Raise if a value is missing: the weight of the event would be unknown."""
    masks = (
        [value.present, getattr(value.content, "valid", None)]
        if isinstance(value, Jagged)
        else [getattr(value, "valid", None)]
    )
    missing = sum(len(mask) - device.to_python(count_true(mask)) for mask in masks if mask is not None)
    if missing:
        what = "objects" if isinstance(value, Jagged) else "events"
        raise OpError(
            f"the factor `{text}` of a weight is missing for {missing} {what} (e.g. use fill_none({text}, 1))"
        )
