"""``hep.correction``: add a field with the value of a correction of correctionlib, and its variations."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from fasthep_parsl.errors import suggest, summary_of
from fasthep_parsl.interfaces import (
    UNKNOWN,
    Context,
    Effects,
    InputFile,
    OpProblem,
    ParamPath,
    Schema,
    Shape,
    Variation,
    variant,
)
from fasthep_parsl.ops.columns.broadcast import elementwise
from fasthep_parsl.ops.columns.layouts import to_column
from fasthep_parsl.ops.columns.value_types import Value
from fasthep_parsl.ops.corrections.correction_json import CorrectionEntry, CorrectionFileError, read_entries
from fasthep_parsl.ops.corrections.groups import columns_of, read_groups, unfit
from fasthep_parsl.ops.corrections.inputs import META, Given, check_changes, check_inputs, check_reach
from fasthep_parsl.ops.declare import op
from fasthep_parsl.ops.expressions import ExpressionError, expression
from fasthep_parsl.ops.stream import Events

Change = str | dict[str, Given]
"""Inputs that change in a variation; one text is the value of the only input that is text."""


class CorrectionParams(BaseModel):
    """Parameters of ``hep.correction``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: InputFile = Field(description="JSON or JSON.gz of correctionlib, schema version 2")
    name: str = Field(description="name of a correction, or of a compound correction, in the file")
    inputs: dict[str, Given] = Field(
        description="input of the correction → expression of one value per event or object, or a constant. An input that is "
        "text takes the text itself, or `dataset.<key>`"
    )
    output: str = Field(description="field to add", pattern=r"^[A-Za-z_][\w.]*$")
    variations: dict[str, Change | dict[str, Change]] = Field(
        default_factory=dict,
        description="`{up: …, down: …}`: the inputs that change, e.g. `{systematic: up}`, or the value of the only input that "
        "is text; or a mapping of groups to these",
    )
    group: str = Field("", description="name of the nuisance parameter of `{up: …, down: …}`; default: `output`")


@dataclass(frozen=True, slots=True)
class CorrectionVariation:
    """A variation and the inputs that change in it. `short`: it is written as one text."""

    variation: Variation
    path: ParamPath
    changes: Mapping[str, Given]
    short: bool = False


def read_variations(
    params: CorrectionParams, texts: tuple[str, ...]
) -> tuple[tuple[CorrectionVariation, ...], list[OpProblem]]:
    """Return the variations of a correction and the problems of their form. `texts` are its inputs that are text."""
    groups, problems = read_groups(params.variations, ("variations",), params.group or params.output)
    found = []
    for group in groups:
        if not group.up and not group.down:
            problems.append(unfit(group.path, f"the variation `{group.name}` changes nothing"))
        for variation, path, change in group.written:
            if isinstance(change, str) and len(texts) != 1:
                what = f"`{params.name}` has {len(texts)} inputs that are text"
                hint = f"name the input, e.g. {{{texts[0] if texts else 'input'}: {change}}}"
                problems.append(unfit(path, f"which input `{change}` is for is not clear: {what}", hint))
            else:
                short = isinstance(change, str)
                changes = {texts[0]: change} if short else dict(change)
                found.append(CorrectionVariation(variation, path, changes, short))
    return tuple(found), problems


# --- when the plan is made ----------------------------------------------------------------------------------


def _analyse(params: CorrectionParams, schema: Schema) -> Effects:
    entry, problems = _entry_of(params)
    found, wrong = read_variations(params, entry.texts if entry else ("",))
    shape, reads, misfits = _check(params, entry, found, schema) if entry is not None else (UNKNOWN, {}, [])
    variations = tuple(item.variation for item in found)
    columns = columns_of(params.output, variations)
    return Effects(
        reads,
        dict.fromkeys((params.output, *columns.values()), shape),
        (*problems, *(wrong if entry or not problems else ()), *misfits),
        variants={params.output: columns} if columns else {},
        variations=variations,
    )


def _check(
    params: CorrectionParams, entry: CorrectionEntry, variations: tuple[CorrectionVariation, ...], schema: Schema
) -> tuple[Shape, dict[str, ParamPath], list[OpProblem]]:
    """Return structure of the result, fields that are read, and problems."""
    nominal = check_inputs(params.inputs, entry, schema, ("inputs",))
    shape = nominal.shape(schema)
    reads, problems = nominal.reads, nominal.problems
    for item in variations:
        found = check_changes(entry, params.inputs, item.changes, schema, item.path)
        if not nominal.problems and not found.problems:
            found.problems += check_reach(
                entry, {**params.inputs, **item.changes}, item.path, () if item.short else item.changes
            )
        found.texts = [pair for pair in nominal.texts if pair[1][-1] not in item.changes] + found.texts
        varied = found.shape(schema)
        if not nominal.problems and not found.problems and varied != shape:
            text = f"`{item.variation.name}` has another structure ({' '.join(varied) or 'one value per event'})"
            found.problems.append(unfit(item.path, f"{text} than the nominal value"))
        reads = {**found.reads, **reads}
        problems = [*problems, *found.problems]
    return shape, reads, list(dict.fromkeys(problems))


def _entry_of(params: CorrectionParams) -> tuple[CorrectionEntry | None, list[OpProblem]]:
    if not params.file.is_file():  # reported as a file
        return None, []
    try:
        entries = read_entries(params.file)
    except (CorrectionFileError, OSError) as error:
        reason = f"cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)
        return None, [OpProblem(("file",), f"`{params.file.name}` {reason}", "", params.file.name, "E113")]
    if params.name not in entries:
        hint = suggest(params.name, entries, what="corrections")
        return None, [unfit(("name",), f"`{params.file.name}` has no correction `{params.name}`", hint)]
    return entries[params.name], _loading_problems(params)


def _loading_problems(params: CorrectionParams) -> list[OpProblem]:
    """Return why correctionlib cannot load the file: only it knows whether formulas and edges are valid."""
    if importlib.util.find_spec("correctionlib") is None:
        hint = "pip install 'fasthep-parsl[corrections]'"
        return [OpProblem(("file",), "hep.correction needs the package correctionlib", hint, code="E113")]
    from fasthep_parsl.ops.corrections.evaluator import load

    try:
        load(params.file)
    except (RuntimeError, ValueError, IndexError) as error:
        message = f"correctionlib cannot load `{params.file.name}`: {summary_of(error)}"
        return [OpProblem(("file",), message, "", params.file.name, "E113")]
    return []


# --- on events ----------------------------------------------------------------------------------------------


@op(
    "hep.correction",
    analyse=_analyse,
    params=CorrectionParams,
    packages=lambda _params: ("correctionlib",),
    keeps_events=True,
)
def correction(events: Events, *, params: CorrectionParams, context: Context | None = None) -> Events:
    """Add the value of a correction of correctionlib, and its variations.

    The value is missing where an input is missing, and NaN where an input that is a number is NaN. An input outside of
    binnings that have no overflow is an error.
    """
    from fasthep_parsl.ops.corrections.evaluator import Evaluator

    evaluator = Evaluator(params.file, params.name)
    kinds = dict(evaluator.inputs)
    found, _ = read_variations(params, tuple(name for name, kind in kinds.items() if kind == "string"))
    values = _Inputs(events, context, kinds)
    name = context.variation if context is not None else ""
    own = next((item.changes for item in found if item.variation.name == name), None)
    columns = {params.output: {**params.inputs, **(own or {})}}
    if own is not None:  # in a copy for this variation, both columns have its value
        columns[variant(params.output, name)] = columns[params.output]
    if not name:
        columns |= {variant(params.output, item.variation.name): {**params.inputs, **item.changes} for item in found}
    added = {}
    for column, given in columns.items():
        value = elementwise(evaluator, *(values.of(item, given[item]) for item in kinds))
        added[column] = to_column(value, len(events))
    return events.with_columns(added, fresh=True)


class _Inputs:
    """The values of inputs in host memory; each expression is computed once."""

    def __init__(self, events: Events, context: Context | None, kinds: Mapping[str, str]) -> None:
        self._events, self._context, self._kinds = events, context, kinds
        self._known: dict[str, Value] = {}

    def of(self, name: str, given: Given) -> Value:
        """Return the value of an input."""
        text = self._kinds[name] == "string"
        if not isinstance(given, str) or (text and not META.fullmatch(given)):
            return given
        if given not in self._known:
            self._known[given] = self._computed(name, given)
        return self._known[given]

    def _computed(self, name: str, given: str) -> Value:
        from fasthep_parsl.ops.columns.to_device import value_to_host

        try:
            return value_to_host(expression(given).value(self._events, self._context))
        except ExpressionError as error:
            raise type(error)(f"input `{name}`: in `{given}`: {error.message}", error.hint) from None
