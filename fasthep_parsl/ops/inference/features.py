"""Match features and outputs of a workflow with those of a model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fasthep_parsl.errors import suggest
from fasthep_parsl.interfaces import OpProblem, ParamPath
from fasthep_parsl.ops.corrections.groups import unfit
from fasthep_parsl.ops.inference.model_file import ModelFacts, ModelPort

Text = str | int | float
"""An expression. A number is one, too."""
Features = Sequence[Text] | Mapping[str, Text | Sequence[Text]]

_OUTPUT = re.compile(r"(.+?)(?:\[(\d+)\])?")
FEATURES: ParamPath = ("features",)


@dataclass(frozen=True, slots=True)
class ModelColumn:
    """An expression that is one column of an input, and its place in the parameters."""

    text: str
    path: ParamPath


@dataclass(frozen=True, slots=True)
class FilledInput:
    """An input of a model, and its columns in order."""

    port: ModelPort
    columns: tuple[ModelColumn, ...]


@dataclass(frozen=True, slots=True)
class FieldOfOutput:
    """A field that is a column of an output of a model."""

    field: str
    output: ModelPort
    column: int = 0


def columns_of_inputs(features: Features, facts: ModelFacts) -> tuple[tuple[FilledInput, ...], list[OpProblem]]:
    """Return the columns of each input of a model, and what does not fit."""
    if isinstance(features, Mapping):
        by_name = _by_feature if facts.kind == "xgboost" else _by_input
        found, problems = by_name(features, facts)
    elif len(facts.inputs) > 1:
        names = _listed([port.name for port in facts.inputs])
        hint = f"write a mapping: {{{facts.inputs[0].name}: […], …}}"
        return (), [unfit(FEATURES, f"the model has {len(facts.inputs)} inputs: {names}", hint)]
    else:
        columns = tuple(ModelColumn(str(text), (*FEATURES, number)) for number, text in enumerate(features))
        found, problems = (FilledInput(facts.inputs[0], columns),), []
    return found, [*problems, *(wrong for item in found for wrong in _wrong_input(item, facts))]


def _by_feature(
    features: Mapping[str, Text | Sequence[Text]], facts: ModelFacts
) -> tuple[tuple[FilledInput, ...], list[OpProblem]]:
    """Order features of XGBoost by their names in the model."""
    problems = [
        unfit((*FEATURES, name), f"the feature `{name}` needs one expression, not a list")
        for name, value in features.items()
        if not isinstance(value, str | int | float)
    ]
    columns = {name: ModelColumn(str(value), (*FEATURES, name)) for name, value in features.items()}
    if problems:
        return (), problems
    if not facts.features:
        return (FilledInput(facts.inputs[0], tuple(columns.values())),), []
    problems = _misnamed(columns, facts.features, "feature")
    chosen = tuple(columns[name] for name in facts.features if name in columns)
    return ((FilledInput(facts.inputs[0], chosen),) if not problems else ()), problems


def _by_input(
    features: Mapping[str, Text | Sequence[Text]], facts: ModelFacts
) -> tuple[tuple[FilledInput, ...], list[OpProblem]]:
    """Return the columns of each input of an ONNX model."""
    problems = _misnamed(features, [port.name for port in facts.inputs], "input")
    found = []
    for port in facts.inputs:
        if port.name in features:
            value, path = features[port.name], (*FEATURES, port.name)
            one = isinstance(value, str | int | float)
            texts = {path: value} if one else {(*path, number): text for number, text in enumerate(value)}  # type: ignore[arg-type]
            found.append(FilledInput(port, tuple(ModelColumn(str(text), place) for place, text in texts.items())))
    return tuple(found), problems


def _misnamed(given: Mapping[str, object], known: Sequence[str], what: str) -> list[OpProblem]:
    problems = [
        unfit((*FEATURES, name), f"the model has no {what} `{name}`", suggest(name, known, what=f"{what}s"))
        for name in given
        if name not in known
    ]
    missing = [name for name in known if name not in given]
    if missing and not problems:
        problems.append(
            unfit(FEATURES, f"the model also has the {what} {_listed(missing)}", "give an expression for each")
        )
    return problems


def _wrong_input(item: FilledInput, facts: ModelFacts) -> list[OpProblem]:
    port = item.port
    path = item.columns[0].path[:-1] if item.columns and len(facts.inputs) == 1 else FEATURES
    if not port.dtype:
        return [unfit(FEATURES, f"the input `{port.name}` of the model is not an array of numbers")]
    if port.shape is not None and len(port.shape) not in (1, 2):
        hint = "it needs one number, or one row of numbers, per event or object"
        return [unfit(FEATURES, f"the input `{port.name}` of the model has {len(port.shape)} dimensions", hint)]
    if port.width is not None and port.width != len(item.columns):
        names = f": {_listed(facts.features)}" if facts.features else ""
        message = f"the input `{port.name}` of the model has {port.width} features, but {len(item.columns)} are given"
        return [unfit(path, message, f"the model has{names}" if names else "")]
    return []


# --- outputs --------------------------------------------------------------------------------------------------


def fields_of_outputs(
    output: str | Mapping[str, str], facts: ModelFacts
) -> tuple[tuple[FieldOfOutput, ...], list[OpProblem]]:
    """Return the fields that a model fills, and what does not fit. ``probabilities[1]`` is a column of an output."""
    if isinstance(output, str):
        ports = facts.outputs[:1] if facts.kind == "xgboost" else facts.outputs
        if len(ports) == 1 and ports[0].dtype and ports[0].width in (None, 1):
            return (FieldOfOutput(output, ports[0]),), []
        hint = f"write a mapping, e.g. {{{output}: {_example(ports)}}}"
        return (), [unfit(("output",), f"the model has several outputs: {_listed(map(_shown, ports))}", hint)]
    found, problems = [], []
    for name, text in output.items():
        field, wrong = _field(name, text, facts)
        found += [] if field is None else [field]
        problems += wrong
    return tuple(found), problems


def _field(name: str, text: str, facts: ModelFacts) -> tuple[FieldOfOutput | None, list[OpProblem]]:
    path: ParamPath = ("output", name)
    parts = _OUTPUT.fullmatch(text)
    wanted, column = (parts[1], parts[2]) if parts else (text, None)
    port = next((port for port in facts.outputs if port.name == wanted), None)
    if port is None:
        names = [item.name for item in facts.outputs]
        return None, [unfit(path, f"the model has no output `{wanted}`", suggest(wanted, names, what="outputs"))]
    if not port.dtype:
        hint = "export a classifier of scikit-learn with options={'zipmap': False}"
        return None, [unfit(path, f"the output `{wanted}` of the model is not an array of numbers", hint)]
    if port.shape is not None and len(port.shape) not in (1, 2):
        return None, [unfit(path, f"the output `{wanted}` of the model has {len(port.shape)} dimensions")]
    if port.width is not None and (int(column or 0) >= port.width or (column is None and port.width != 1)):
        hint = f"write `{wanted}[0]` to `{wanted}[{port.width - 1}]`"
        return None, [unfit(path, f"the output `{wanted}` of the model has {port.width} numbers", hint)]
    return FieldOfOutput(name, port, int(column or 0)), []


def _example(ports: Sequence[ModelPort]) -> str:
    port = ports[-1]
    return port.name if port.width == 1 else f"{port.name}[{(port.width or 1) - 1}]"


def _shown(port: ModelPort) -> str:
    return f"{port.name} ({port.width} numbers)" if port.width not in (None, 1) else port.name


def _listed(names: Sequence[str] | map[str]) -> str:
    found = list(names)
    more = f", … ({len(found)} in all)" if len(found) > 12 else ""
    return ", ".join(f"`{name}`" for name in found[:12]) + more
