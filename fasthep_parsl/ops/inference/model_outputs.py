"""``hep.inference``: add fields with the outputs of a trained model."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from fasthep_parsl.errors import OpError, summary_of
from fasthep_parsl.interfaces import UNKNOWN, Context, Effects, InputFile, OpProblem, ParamPath, Schema
from fasthep_parsl.ops.arrays import np
from fasthep_parsl.ops.columns.broadcast import elementwise
from fasthep_parsl.ops.columns.layouts import to_column
from fasthep_parsl.ops.columns.value_types import Masked, Value, all_valid, is_scalar, is_text
from fasthep_parsl.ops.declare import op
from fasthep_parsl.ops.expressions import ExpressionError, analyse_expression, expression
from fasthep_parsl.ops.expressions.together import common_structure
from fasthep_parsl.ops.inference.features import (
    FieldOfOutput,
    FilledInput,
    Text,
    columns_of_inputs,
    fields_of_outputs,
)
from fasthep_parsl.ops.inference.model_file import ModelFacts, ModelFileError, read_model
from fasthep_parsl.ops.inference.sessions import ModelSession, load_session
from fasthep_parsl.ops.stream import Events

MODULES = {"onnx": "onnxruntime", "xgboost": "xgboost"}
"""Kind of model → module that evaluates it. The extras have the names of the kinds."""


class InferenceParams(BaseModel):
    """Parameters of ``hep.inference``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: InputFile = Field(description="ONNX, or JSON or UBJ of XGBoost")
    features: list[Text] | dict[str, Text | list[Text]] = Field(
        description="expressions of one value per event, or per object: a list in the order of the model, or a mapping of the "
        "model's inputs (ONNX) to expressions or lists, or of its features (XGBoost) to expressions"
    )
    output: str | dict[str, str] = Field(
        description="field to add, if the model gives one number; or a mapping of fields to outputs, e.g. `probabilities[1]`"
    )
    batch: int = Field(100_000, description="most rows that are evaluated together", ge=1)


def _packages(params: InferenceParams) -> tuple[str, ...]:
    try:
        return (MODULES[read_model(params.model).kind],)
    except (ModelFileError, OSError):
        return ()


# --- when the plan is made ----------------------------------------------------------------------------------


def _analyse(params: InferenceParams, schema: Schema) -> Effects:
    fields = [params.output] if isinstance(params.output, str) else list(params.output)
    facts, problems = _facts(params)
    if facts is None:
        return Effects({}, dict.fromkeys(fields, UNKNOWN), tuple(problems))
    inputs, wrong = columns_of_inputs(params.features, facts)
    problems += wrong
    reads: dict[str, ParamPath] = {}
    texts = []
    for column in (column for item in inputs for column in item.columns):
        found = analyse_expression(column.text, column.path, schema)
        reads = {**found.reads, **reads}
        problems += found.problems
        texts += [] if found.problems else [(column.text, column.path)]
    shape, misfits = common_structure(texts, schema)
    problems += [*misfits, *fields_of_outputs(params.output, facts)[1]]
    return Effects(reads, dict.fromkeys(fields, shape), tuple(dict.fromkeys(problems)))


def _facts(params: InferenceParams) -> tuple[ModelFacts | None, list[OpProblem]]:
    name = params.model.name
    if not params.model.is_file():  # reported as a file
        return None, []
    try:
        facts = read_model(params.model)
    except ModelFileError as error:
        return None, [OpProblem(("model",), f"`{name}` {error.message}", error.hint, name, "E113")]
    except OSError as error:
        return None, [OpProblem(("model",), f"`{name}` cannot be read: {error.strerror}", "", name, "E113")]
    module = MODULES[facts.kind]
    if importlib.util.find_spec(module) is None:
        hint = f"pip install 'fasthep-parsl[{facts.kind}]'"
        return facts, [OpProblem(("model",), f"`{name}` needs the package {module}", hint, module, "E113")]
    return facts, []


# --- on events ----------------------------------------------------------------------------------------------


@op("hep.inference", analyse=_analyse, params=InferenceParams, packages=_packages, keeps_events=True)
def inference(events: Events, *, params: InferenceParams, context: Context | None = None) -> Events:
    """Add the outputs of a trained model, per event or per object.

    An output is missing where a feature is missing. NaN is passed on; XGBoost takes it for a missing feature. The model is
    loaded once per worker. It uses the CPUs of its worker, or its GPU.
    """
    facts = read_model(params.model)
    cpus, gpu = (context.cpus, context.gpus > 0) if context is not None else (1, False)
    inputs, _ = columns_of_inputs(params.features, facts)
    fields, _ = fields_of_outputs(params.output, facts)
    session = load_session(params.model, facts, cpus, gpu)
    texts = [column.text for item in inputs for column in item.columns]
    values = [_value(text, events, context) for text in texts]
    if all(map(is_scalar, values)):
        values[0] = np.full(len(events), values[0])
    batches = _Batches(params.model.name, session, inputs, fields, params.batch)
    columns = {
        field.field: to_column(elementwise(lambda *parts, n=n: batches.of(n, parts), *values), len(events))
        for n, field in enumerate(fields)
    }
    return events.with_columns(columns, fresh=True)


def _value(text: str, events: Events, context: Context | None) -> Value:
    from fasthep_parsl.ops.columns.to_device import value_to_host

    try:
        found = value_to_host(expression(text).value(events, context))
    except ExpressionError as error:
        raise type(error)(f"in `{text}`: {error.message}", error.hint) from None
    if is_text(found):
        raise OpError(f"the feature `{text}` is text")
    return found


class _Batches:
    """Evaluates a model on flat features of equal length, in batches. All outputs are computed together."""

    def __init__(
        self,
        name: str,
        session: ModelSession,
        inputs: Sequence[FilledInput],
        fields: Sequence[FieldOfOutput],
        batch: int,
    ) -> None:
        self._name = name
        self._session, self._inputs, self._fields = session, inputs, fields
        fixed = [item.port.rows for item in inputs if item.port.rows]
        self._batch = fixed[0] if fixed else batch
        self._padded = bool(fixed)
        self._found: list[Value] = []

    def of(self, number: int, parts: Sequence[Value]) -> Value:
        """Return the values of a field."""
        if not self._found:
            self._found = self._evaluated(parts)
        return self._found[number]

    def _evaluated(self, parts: Sequence[Value]) -> list[Value]:
        valid = all_valid(*(part.valid for part in parts if isinstance(part, Masked)))
        flat = [part.values if isinstance(part, Masked) else part for part in parts]
        length = next(len(part) for part in flat if not is_scalar(part))
        where = None if valid is None or valid.all() else np.flatnonzero(valid)
        number = length if where is None else len(where)
        rows: list[list[Any]] = [[] for _ in self._fields]
        for start in range(0, number, self._batch):
            chosen = slice(start, min(start + self._batch, number))
            self._run([_rows(part, chosen, where) for part in flat], chosen.stop - start, rows)
        found = []
        for field, pieces in zip(self._fields, rows, strict=True):
            values = np.concatenate(pieces) if pieces else np.empty(0, dtype=field.output.dtype)
            if where is not None:
                whole = np.zeros(length, dtype=values.dtype)
                whole[where] = values
                values = whole
            found.append(values if valid is None else Masked(values, valid))
        return found

    def _run(self, flat: Sequence[Any], number: int, rows: list[list[Any]]) -> None:
        """Evaluate one batch, and add the values of each field to `rows`."""
        size = self._batch if self._padded else number
        given, column = {}, 0
        for item in self._inputs:
            width = len(item.columns)
            matrix = np.zeros((size, width), dtype=item.port.dtype)
            for place, text in enumerate(item.columns):
                matrix[:number, place] = _typed(flat[column + place], item, text.text)
            column += width
            given[item.port.name] = (
                matrix[:, 0] if item.port.shape is not None and len(item.port.shape) == 1 else matrix
            )
        names = list(dict.fromkeys(field.output.name for field in self._fields))
        try:
            outputs = dict(zip(names, self._session.run(given, names), strict=True))
        except Exception as error:
            raise OpError(f"model `{self._name}`: {summary_of(error)}") from error
        for field, pieces in zip(self._fields, rows, strict=True):
            pieces.append(_column(outputs[field.output.name], field, size)[:number])


def _rows(part: Any, chosen: slice, where: Any) -> Any:
    if is_scalar(part):
        return part
    return part[chosen] if where is None else part[where[chosen]]


def _typed(part: Any, item: FilledInput, text: str) -> Any:
    """Return a feature that the type of its input can represent."""
    kind = np.asarray(part).dtype.kind
    if np.dtype(item.port.dtype).kind in "iub" and kind == "f":
        raise OpError(f"the input `{item.port.name}` of the model takes {item.port.dtype}, but `{text}` is a float")
    return part


def _column(output: Any, field: FieldOfOutput, rows: int) -> Any:
    """Return one column of an output."""
    table = output.reshape(len(output), -1) if output.ndim else output.reshape(1, 1)
    if len(table) != rows or field.column >= table.shape[1]:
        raise OpError(f"the output `{field.output.name}` of the model has the shape {output.shape} for {rows} rows")
    return table[:, field.column]
