"""``hep.selection.cutflow``: select events, and count them after each cut, raw and weighted."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from fasthep_parsl.errors import OpError
from fasthep_parsl.interfaces import UNKNOWN, Context, Effects, OpProblem, ParamPath, Schema, Shape
from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import np
from fasthep_parsl.ops.axes import NOMINAL
from fasthep_parsl.ops.columns.value_types import Jagged, Masked
from fasthep_parsl.ops.counts import all_true, count_true
from fasthep_parsl.ops.declare import op
from fasthep_parsl.ops.expressions import analyse_expression
from fasthep_parsl.ops.products import Cutflow, CutflowRow, merge_cutflows
from fasthep_parsl.ops.steps import Group, SelectionParam, analyse_selection, group_cuts, read_selection
from fasthep_parsl.ops.stream import Events
from fasthep_parsl.ops.weights import Weight, nominal_and_varied


def _filter_mode(value: Any) -> Any:
    """Accept YAML's true, false and null."""
    if value is None:
        return "all"
    if isinstance(value, bool):
        return "all" if value else "none"
    return {"true": "all", "false": "none"}.get(str(value).lower(), str(value).lower())


FilterMode = Annotated[Literal["all", "any", "none"], BeforeValidator(_filter_mode)]


WEIGHTS = ("weight", "weight_expr", "weights")
"""Names of the parameter for a weight, all with the same meaning."""


def weight_of(params: Any) -> tuple[str | None, ParamPath, list[OpProblem]]:
    """Return the weight expression, its path, and a problem for each further name of the parameter that is given."""
    given = [name for name in WEIGHTS if getattr(params, name) is not None] or ["weight"]
    problems = [
        OpProblem((other,), f"`{other}` and `{given[0]}` are the same parameter", "give only one of them")
        for other in given[1:]
    ]
    return getattr(params, given[0]), (given[0],), problems


def _analyse(params: Any, schema: Schema) -> Effects:
    reads, groups, problems = analyse_selection(params.selection, schema)
    weight, path, wrong = weight_of(params)
    problems += wrong
    only: frozenset[str] = frozenset()
    if weight is not None:
        found, shape, wrong = analyse_expression(weight, path, schema)
        only = frozenset(found.keys() - reads.keys())
        reads = {**found, **reads}
        problems += wrong
        if not wrong and shape not in ((), UNKNOWN):
            hint = "reduce it, e.g. with sum(…)"
            problems.append(
                OpProblem(
                    path, f"the weight `{weight}` has one value per object, but a cutflow needs one per event", hint
                )
            )
    writes: dict[str, Shape] = {}
    if params.emit_flags:
        writes = {f"{{stage}}.{group.name}": () for group in groups}
    if params.output_field:
        if params.output_field in schema:
            message = f"field `{params.output_field}` exists already"
            problems.append(OpProblem(("output_field",), message, "choose another name"))
        writes[params.output_field] = ()
    return Effects(reads, writes, tuple(problems), keeps_events=params.filter == "none", weights=only)


@op("hep.selection.cutflow", analyse=_analyse, product="cutflow", merge=merge_cutflows, stream=True)
def cutflow(
    events: Events,
    *,
    selection: SelectionParam,
    weight: str | None = None,
    weight_expr: str | None = None,
    weights: str | None = None,
    output_field: str | None = None,
    filter: FilterMode = "all",  # noqa: A002
    emit_flags: bool = True,
    context: Context | None = None,
) -> tuple[Events, Cutflow]:
    """Keep the events that pass a selection, and count events after each cut.

    A list (or ``All``) has one row per cut, applied after the cuts before it. ``Any`` has one row per alternative, each
    applied to the events that it starts from, and a last row ``any`` for events that pass at least one.

    Events whose weight is NaN or infinite are counted, but not added to sums of weights. Their number is reported.

    Parameters
    ----------
    selection : list of expressions, or mapping
        See `fasthep_parsl.ops.steps`. A list is the selection ``All``. Named lists are independent selections, unless
        one starts from a cut of another (``from: "presel[0]"``).
    weight, weight_expr, weights : str, optional
        Expression of one weight per event. Give only one of the three.
    output_field : str, optional
        New bool field, true for events that pass the selections combined by `filter`.
    filter : "all", "any", "none", true or false
        Keep the events that pass all selections, at least one selection, or keep all events.
    emit_flags : bool
        Add a bool field ``<stage id>.<selection>`` for each selection.
    """
    groups, problems = read_selection(selection)
    if problems:
        raise OpError("; ".join(str(problem.message) for problem in problems))
    text = next((given for given in (weight, weight_expr, weights) if given is not None), None)
    cuts = list(group_cuts(groups, events, context))
    finals = {group.name: masks[-1] for group, _, masks in cuts}
    passed = (device.any_of if filter == "any" else device.all_of)(list(finals.values()))
    columns: dict[str, Any] = {}
    if emit_flags:
        stage = context.stage if context else "selection"
        columns = {f"{stage}.{name}": mask for name, mask in finals.items()}
    if output_field:
        columns[output_field] = passed
    kept = events.with_columns(columns, fresh=True)
    return kept if filter == "none" else kept.filter(passed), _table(cuts, text, events, context)


def _table(
    cuts: list[tuple[Group, Any, list[Any]]], text: str | None, events: Events, context: Context | None
) -> Cutflow:
    """Count the events that pass `cuts` with the nominal weight and with all of its variations."""
    dataset, plan = (context.dataset.name, context.weights) if context else ("", ())
    positions = _Positions()
    rows: dict[str, tuple[CutflowRow, ...]] = {}
    nan = 0
    for weight in nominal_and_varied(text, plan, dataset):
        found, lost = _counted(cuts, _weights(weight, events, context), positions)
        rows[weight.variation] = tuple(found)
        nan += lost
    nominal = rows.pop(NOMINAL)
    variations = {name: {dataset: varied} for name, varied in rows.items()}
    return Cutflow({dataset: nominal}, weighted=text is not None or bool(plan), nan=nan, variations=variations)


def _counted(
    cuts: list[tuple[Group, Any, list[Any]]], weights: Any, positions: _Positions
) -> tuple[list[CutflowRow], int]:
    """Return the rows, and the number of events with a NaN or infinite weight, which are in no sum."""
    found = _summed(cuts, weights, positions)
    nan = 0
    if weights is not None and not all(map(math.isfinite, (w for _, base, _ in found for w in base[1:]))):
        finite = np.isfinite(weights)
        events = len(cuts[0][1])  # the first selection starts from all events
        nan = events - int(device.to_python(count_true(finite))) if np.ndim(weights) else events * (not finite)
        found = _summed(cuts, np.where(finite, weights, 0.0), positions) if nan or not np.ndim(weights) else found
    return [row for group in found for row in _rows(*group)], nan


def _summed(
    cuts: list[tuple[Group, Any, list[Any]]], weights: Any, positions: _Positions
) -> list[tuple[Group, Counts, list[Counts]]]:
    sums = _Sums(weights, positions)
    with np.errstate(all="ignore"):
        return sums.to_host([(group, sums(base), [sums(mask) for mask in masks]) for group, base, masks in cuts])


Counts = tuple[int, float, float]
"""Events, sum of weights, sum of their squares."""


class _Positions:
    """The positions that masks select; computed once for all weights."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, Any]] = {}

    def __call__(self, mask: Any) -> Any:
        if id(mask) not in self._known:
            self._known[id(mask)] = mask, np.flatnonzero(mask)
        return self._known[id(mask)][1]


class _Sums:
    """Computes counts and sums of weights (float64) of masked events; on a GPU, results stay there until `to_host`."""

    def __init__(self, weights: Any, positions: _Positions) -> None:
        self.weights = weights
        self._positions = positions
        self._last: tuple[Any, Any] | None = None

    def __call__(self, mask: Any) -> Any:
        if self._last is None or self._last[0] is not mask:
            self._last = (mask, self._of(mask))
        return self._last[1]

    def to_host(self, counted: list[tuple[Group, Any, list[Any]]]) -> list[tuple[Group, Counts, list[Counts]]]:
        """Return the same with results on a GPU replaced by numbers, with one copy to the host."""
        waiting = {id(each): each for _, base, cuts in counted for each in (base, *cuts) if device.on_gpu(each)}
        numbers: dict[int, Counts] = {}
        if waiting:
            rows = device.download(np.stack(list(waiting.values()))).tolist()
            numbers = {key: (int(n), w, w2) for key, (n, w, w2) in zip(waiting, rows, strict=True)}
        return [
            (group, numbers.get(id(base), base), [numbers.get(id(cut), cut) for cut in cuts])
            for group, base, cuts in counted
        ]

    def _on_gpu(self, mask: Any) -> Any:
        if not device.on_gpu(mask) and mask.all():  # the start of a selection: all events
            mask = np.ones_like(self.weights, dtype=bool)
        mask, weights = device.same_device((mask, self.weights))
        number = count_true(mask).astype(np.float64)  # exact up to 2^53 events
        if weights is None:
            return np.stack([number, number, number])
        if np.ndim(weights) == 0:
            return np.stack([number, number * float(weights), number * float(weights) ** 2])
        chosen = np.where(mask, weights, 0.0)
        return np.stack([number, chosen.sum(), (chosen * chosen).sum()])

    def _of(self, mask: Any) -> Any:
        if device.on_gpu(mask) or device.on_gpu(self.weights):
            return self._on_gpu(mask)
        if self.weights is None:
            number = int(np.count_nonzero(mask))
            return number, float(number), float(number)
        positions = self._positions(mask)
        number = len(positions)
        if np.ndim(self.weights) == 0:
            weight = float(self.weights)
            return number, number * weight, number * weight * weight
        chosen = self.weights if number == len(mask) else self.weights.take(positions)
        return number, float(chosen.sum()), float((chosen * chosen).sum())  # not BLAS: its threads cost more time


def _rows(group: Group, start: Counts, sums: list[Counts]) -> list[CutflowRow]:
    labels = [step.label for step in group.steps] + (["any"] if group.mode == "any" else [])
    before = start
    rows = []
    for index, (label, after) in enumerate(zip(labels, sums, strict=True)):
        first = start if group.mode == "any" else before
        pairs = (first[0], after[0], first[1], after[1], first[2], after[2])
        rows.append(CutflowRow(group.name, index, label, *pairs))
        before = after
    return rows


def _weights(weight: Weight, events: Events, context: Context | None) -> Any:
    """Return weights as float64 of shape (events,), a number, or None."""
    text = weight.text
    if text is None:
        return None
    value = weight.value(events, context)
    if isinstance(value, Masked):
        if not all_true(value.valid):
            raise OpError(f"the weight `{text}` has missing values: use fill_none({text}, …)")
        value = value.values
    if isinstance(value, Jagged):
        raise OpError(f"the weight `{text}` has one value per object, but a cutflow needs one per event")
    return device.as_float64(value)
