"""Check the inputs of a correction against its JSON, without reading an event."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fasthep_parsl.errors import Hint, suggest
from fasthep_parsl.interfaces import OpProblem, ParamPath, Schema, Shape
from fasthep_parsl.ops.corrections.correction_json import (
    Constant,
    CorrectionEntry,
    CorrectionInput,
    OutOfReach,
    categories,
    out_of_reach,
)
from fasthep_parsl.ops.corrections.groups import unfit
from fasthep_parsl.ops.expressions import ExpressionError, analyse_expression, expression
from fasthep_parsl.ops.expressions.together import common_structure

Given = str | bool | int | float
"""The value of an input in a workflow: an expression, text, or a number."""

META = re.compile(r"dataset\.(\w+)")
_NOUNS = {"string": "text", "int": "an integer", "real": "a number"}


@dataclass
class FoundInputs:
    """What is known about all inputs.

    Attributes
    ----------
    reads : dict
        Field → path of the expression that reads it.
    texts : list of (str, path)
        The expressions, for their common structure.
    problems : list of OpProblem
        Mistakes.
    """

    reads: dict[str, ParamPath] = field(default_factory=dict)
    texts: list[tuple[str, ParamPath]] = field(default_factory=list)
    problems: list[OpProblem] = field(default_factory=list)

    def shape(self, schema: Schema) -> Shape:
        """Return the structure of the result. Inputs of different objects are a problem."""
        shape, problems = common_structure(self.texts, schema)
        self.problems += problems
        return shape


def check_inputs(given: Mapping[str, Given], entry: CorrectionEntry, schema: Schema, path: ParamPath) -> FoundInputs:
    """Check the inputs of a correction."""
    found = FoundInputs(problems=[*_unknown(given, entry, path), *_missing(given, entry, path)])
    _check_each(given, entry, schema, path, found)
    if not found.problems:
        found.problems += check_reach(entry, given, path, given)
    return found


def _unknown(given: Iterable[str], entry: CorrectionEntry, path: ParamPath) -> list[OpProblem]:
    names = [item.name for item in entry.inputs]
    return [
        unfit((*path, name), f"correction `{entry.name}` has no input `{name}`", suggest(name, names, what="inputs"))
        for name in given
        if name not in names
    ]


def _missing(given: Mapping[str, Given], entry: CorrectionEntry, path: ParamPath) -> list[OpProblem]:
    lacking = [item for item in entry.inputs if item.name not in given]
    names = [item.name for item in lacking]
    misspelt = {close for name in given if entry.input(name) is None for close in suggest(name, names).close[:1]}
    lacking = [item for item in lacking if item.name not in misspelt]  # reported as an unknown input
    if not lacking:
        return []
    listed = ", ".join(f"`{item.name}` ({_NOUNS[item.type]})" for item in lacking)
    choices = categories(entry, lacking[0].name)
    hint = f"values of `{lacking[0].name}`: {_listed(choices)}" if choices else "give an expression or a constant"
    return [unfit(path, f"correction `{entry.name}` also needs {listed}", hint)]


def check_changes(
    entry: CorrectionEntry, given: Mapping[str, Given], changes: Mapping[str, Given], schema: Schema, path: ParamPath
) -> FoundInputs:
    """Check the inputs that change in a variation."""
    found = FoundInputs(problems=_unknown(changes, entry, path))
    _check_each(changes, entry, schema, path, found)
    same = [name for name, value in changes.items() if name in given and given[name] == value]
    if changes and len(same) == len(changes):
        found.problems.append(unfit(path, f"the variation changes nothing: {_equals(same, given)} is nominal"))
    return found


def _equals(names: list[str], given: Mapping[str, Given]) -> str:
    return ", ".join(f"`{name}: {given[name]}`" for name in names)


def _check_each(
    given: Mapping[str, Given], entry: CorrectionEntry, schema: Schema, path: ParamPath, found: FoundInputs
) -> None:
    for name, value in given.items():
        item = entry.input(name)
        wrong = _wrong_type(item, value) if item is not None else None
        if wrong is not None:
            found.problems.append(unfit((*path, name), *wrong))
        elif item is not None and item.type != "string" and isinstance(value, str):
            analysed = analyse_expression(value, (*path, name), schema)
            found.reads = {**analysed.reads, **found.reads}
            found.problems += analysed.problems
            found.texts += [] if analysed.problems else [(value, (*path, name))]


def _wrong_type(item: CorrectionInput, value: Given) -> tuple[str, str] | None:
    """Return message and hint if a value cannot have the type of an input, whatever the fields are."""
    if item.type == "string":
        hint = f"write it in quotes: '{value}'"
        return None if isinstance(value, str) else (f"the input `{item.name}` is text, not a number", hint)
    if not isinstance(value, str):
        whole = item.type == "real" or isinstance(value, int)
        return None if whole else (f"the input `{item.name}` is an integer, not `{value}`", "")
    try:
        sure = expression(value).sure_type
    except ExpressionError:  # reported as an expression
        return None
    if sure == "text":
        return f"the input `{item.name}` is {_NOUNS[item.type]}, not text", "write an expression without quotes"
    if sure == "float" and item.type == "int":
        return f"the input `{item.name}` is an integer, but `{value}` is not", "use integers, and `//` to divide"
    return None


def check_reach(
    entry: CorrectionEntry, given: Mapping[str, Given], path: ParamPath, places: Iterable[str]
) -> list[OpProblem]:
    """Return a problem if no result exists for the constants in `given`. `places` are the inputs below `path`."""
    found = {name: _constant(entry, name, value) for name, value in given.items()}
    constants = {name: value for name, value in found.items() if value is not None}
    reason = out_of_reach(entry, constants)
    if reason is None:
        return []
    where = (*path, reason.input) if reason.input in places else path
    return [unfit(where, *_out_of_reach(entry, constants, reason))]


def _constant(entry: CorrectionEntry, name: str, value: Given) -> Constant | None:
    """Return the value of an input as the JSON has it; None if it depends on events or the dataset."""
    item = entry.input(name)
    if item is None or (item.type == "string" and META.fullmatch(str(value))):
        return None
    if item.type == "string":
        return str(value)
    number = expression(value).constant if isinstance(value, str) else value
    if not isinstance(number, bool | int | float):
        return None
    return int(number) if item.type == "int" else float(number)


def _out_of_reach(entry: CorrectionEntry, constants: Mapping[str, Constant], reason: OutOfReach) -> tuple[str, Hint]:
    if not reason.input:
        shown = ", ".join(f"{name}: {value}" for name, value in constants.items())
        return f"correction `{entry.name}` has no value for {{{shown}}}", "each of them exists, but not together"
    value = constants[reason.input]
    if reason.choices:
        message = f"correction `{entry.name}` has no `{reason.input}: {value}`"
        if isinstance(value, str):
            return message, suggest(value, map(str, reason.choices), what="values")
        return message, f"values: {_listed(reason.choices)}"
    message = f"correction `{entry.name}`: `{reason.input}: {value:g}` is outside of its bins"
    return message, f"they are from {reason.low:g} to {reason.high:g}"


def _listed(choices: tuple[Constant, ...], limit: int = 12) -> str:
    more = f", … ({len(choices)} in all)" if len(choices) > limit else ""
    return ", ".join(map(str, choices[:limit])) + more
