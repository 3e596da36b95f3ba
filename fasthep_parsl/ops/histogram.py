"""``hep.hist``: fill a histogram of one to three fields, with axes for datasets and weight variations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from fasthep_parsl.errors import OpError
from fasthep_parsl.interfaces import UNKNOWN, Context, Effects, OpProblem, ParamPath, RegionNames, Schema, Shape
from fasthep_parsl.ops.axes import (
    DATASET,
    NOMINAL,
    VARIATION,
    VARIATION_AXIS,
    Axis,
    Bins,
    sort_categories,
    systematic_axis,
)
from fasthep_parsl.ops.cutflow import weight_of
from fasthep_parsl.ops.declare import op
from fasthep_parsl.ops.entries import weight_per_object
from fasthep_parsl.ops.expressions import analyse_expression
from fasthep_parsl.ops.products import DatasetAxis, DatasetHistograms, Histogram, merge_parts
from fasthep_parsl.ops.stream import Events
from fasthep_parsl.ops.weight_variations import VariationFiller
from fasthep_parsl.ops.weights import Weight, nominal_and_varied
from fasthep_parsl.plan import EventType, PlanWeight

Storage = Annotated[
    Literal["count", "double", "weighted"],
    BeforeValidator(lambda value: {"weight": "weighted", "int64": "count", "int": "count"}.get(value, value)),
]


def _dataset_axis(value: Any) -> Any:
    if value is True:
        value = {}
    if value is False:
        return None
    if isinstance(value, dict):
        return {"name": "dataset", "source": DATASET, "type": "category", **value}
    return value


class ApplyTo(BaseModel):
    """Datasets for which variations are filled. The other datasets fill ``nominal`` only."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    eventtype: EventType = Field(description="eventtype of the datasets")


class Variations(BaseModel):
    """Weight variations: an axis with one category per weight."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    axis: str = Field("variation", description="name of the axis")
    weights: dict[str, str] = Field(description="name of the variation → weight expression", min_length=1)
    apply_to: ApplyTo | None = Field(None, description="default: all datasets")


def _storage(storage: str | None, weight: str | None, variations: Variations | None, plan: Sequence[PlanWeight]) -> str:
    """Return the storage. Counts that a variation weights are no counts any more."""
    if plan and storage == "count":
        return "weighted"
    return storage or ("weighted" if weight is not None or variations or plan else "count")


def _analyse(params: Any, schema: Schema) -> Effects:
    weight, path, problems = weight_of(params)
    storage = _storage(params.storage, weight, params.variations, ())
    if (weight is not None or params.variations) and storage == "count":
        hint = "remove `storage`, or use `storage: weighted`"
        problems.append(OpProblem(("storage",), f"storage `{params.storage}` ignores weights", hint))
    problems += _check_axes(params)
    on_axes: list[tuple[str, ParamPath]] = [
        (axis.text, ("axes", i, "source" if axis.source else "name"))
        for i, axis in enumerate(params.axes)
        if axis.source not in (DATASET, VARIATION)
    ]
    weights: list[tuple[str, ParamPath]] = [(weight, path)] if weight is not None else []
    if params.variations:
        weights += [(text, ("variations", "weights", name)) for name, text in params.variations.weights.items()]
    shapes: list[tuple[str, ParamPath, Shape]] = []
    reads: dict[str, ParamPath] = {}
    on_an_axis: set[str] = set()
    for number, (text, where) in enumerate([*on_axes, *weights]):
        found, shape, wrong = analyse_expression(text, where, schema)
        reads = {**found, **reads}
        on_an_axis |= found.keys() if number < len(on_axes) else set()
        problems += wrong
        shapes.append((text, where, UNKNOWN if wrong else shape))
    problems += _check_structure(shapes)
    own = params.variations is not None or any(axis.source == VARIATION for axis in params.axes)
    return Effects(reads, {}, tuple(problems), weights=None if own else frozenset(reads.keys() - on_an_axis))


def _check_structure(shapes: list[tuple[str, ParamPath, Shape]]) -> list[OpProblem]:
    """Return problems of values (axes first) with different structure. Unknown structures are checked in the run."""
    problems = []
    known = [(text, where, shape) for text, where, shape in shapes if shape and "*" not in shape]
    on_axes = [(text, shape) for text, where, shape in shapes if where[0] == "axes"]
    for text, where, shape in known:
        if shape != known[0][2]:
            message = f"`{known[0][0]}` and `{text}` have different structure ({known[0][2][-1]} and {shape[-1]})"
            hint = "fill two histograms, or reduce one of them to one value per event, e.g. with nth(…, 0)"
            problems.append(OpProblem(where, message, hint))
        elif where[0] != "axes" and on_axes and all(axis_shape == () for _, axis_shape in on_axes):
            problems.append(OpProblem(where, *weight_per_object(text, on_axes[0][0])))
    return problems


def _check_axes(params: Any) -> list[OpProblem]:
    problems = []
    plain = [axis for axis in params.axes if axis.source not in (DATASET, VARIATION)]
    if not 1 <= len(plain) <= 3:
        problems.append(
            OpProblem(("axes",), f"a histogram has 1 to 3 axes in addition to that of datasets, not {len(plain)}")
        )
    seen: set[str] = set()
    for i, axis in enumerate(params.axes):
        if axis.name in seen:
            problems.append(OpProblem(("axes", i, "name"), f"two axes have the name `{axis.name}`"))
        seen.add(axis.name)
    if params.dataset_axis is not None and params.dataset_axis.name in seen:
        message = f"two axes have the name `{params.dataset_axis.name}`"
        problems.append(OpProblem(("dataset_axis", "name"), message, "choose another name for the dataset axis"))
    return problems


@op("hep.hist", analyse=_analyse, product="hist", merge=merge_parts)
def histogram(
    events: Events,
    *,
    axes: tuple[Axis, ...],
    storage: Storage | None = None,
    weight: str | None = None,
    weight_expr: str | None = None,
    weights: str | None = None,
    dataset_axis: Annotated[Axis | None, BeforeValidator(_dataset_axis)] = None,
    variations: Variations | None = None,
    regions: RegionNames = (),
    title: str = "",
    context: Context | None = None,
) -> Histogram | DatasetHistograms:
    """Fill a histogram.

    A jagged field fills one entry per object. Fields and weights with one value per event are repeated for each object.
    Missing values are not filled. NaN is filled in overflow (on category and int axes it is not filled). Entries with a
    NaN or infinite weight are not filled. All of these are counted, those of weights for each variation of the weight.

    Parameters
    ----------
    axes : list of {name, source, type, bins, label, unit}
        One to three axes. `type`: regular (``bins: {nbins, low, high}``), variable (``bins: [edges]``), category or int
        (``bins: [categories]``; without bins, categories are added when they occur), bool.
    storage : "count", "weighted" or "double"
        Default: weighted if there is a weight. Counts with variations or a normalisation are weighted.
    weight, weight_expr, weights : str, optional
        Expression of one weight per event or object. Give only one of the three.
    dataset_axis : true or {name, source: dataset_name, type: category}, optional
        Adds an axis with all datasets of the workflow, as the last one.
    variations : {axis, weights: {name: expression}, apply_to: {eventtype}}, optional
        Adds an axis of weight variations, which replace the weight. Datasets to which it does not apply fill
        ``nominal`` with the weight, or with 1.
    regions : list of str, or "all", optional
        Regions of the workflow (``analysis.regions``): one histogram per region, of the events that it selects.
    title : str
        Title of the plot.
    """
    if regions:
        raise OpError("`regions` needs a workflow, which defines them")
    text = next((given for given in (weight, weight_expr, weights) if given is not None), None)
    plan = context.weights if context is not None and variations is None else ()
    filled = _weights(variations, text, plan, context)
    layout = _layout(axes, dataset_axis, variations, plan, [each.variation for each in filled], context)
    filling = VariationFiller(layout.axes, _storage(storage, text, variations, plan), events, context)
    if len(filled) > 1:
        filling.fill_all(filled)
    else:
        filling.fill(filled[0].text, filled[0].variation)
    made = Histogram(sort_categories(filling.hist), none=filling.none, nan=filling.nan, title=title)
    if context is not None and context.apart:
        return DatasetHistograms({context.dataset.name: made}, layout.apart)
    if plan:
        _repeat_nominal(made.hist, filled)
    return made


def _weights(
    variations: Variations | None, weight: str | None, plan: Sequence[PlanWeight], context: Context | None
) -> tuple[Weight, ...]:
    """Return the weights to fill, nominal first."""
    if variations is None:
        return nominal_and_varied(weight, plan, context.dataset.name if context else "")
    wanted = variations.apply_to.eventtype if variations.apply_to else None
    if wanted is None or (context is not None and context.dataset.eventtype == wanted):
        return tuple(Weight(name, text) for name, text in variations.weights.items())
    return (Weight(NOMINAL, weight),)


def _repeat_nominal(hist: Any, filled: Sequence[Weight]) -> None:
    """Fill the categories of variations that do not apply to this dataset with the nominal content."""
    view, names = hist.view(flow=True), list(hist.axes[-1])
    for number in set(range(len(names))) - {names.index(weight.variation) for weight in filled}:
        view[..., number] = view[..., names.index(NOMINAL)]


@dataclass(frozen=True, slots=True)
class _Layout:
    """The axes to fill, and the axis of datasets if these are kept apart."""

    axes: tuple[Axis, ...]
    apart: DatasetAxis | None = None


def _layout(
    axes: tuple[Axis, ...],
    dataset_axis: Axis | None,
    variations: Variations | None,
    plan: Sequence[PlanWeight],
    filled: Sequence[str],
    context: Context | None,
) -> _Layout:
    """Return all axes, with the categories of dataset and variation axes."""
    placed = next((i for i, axis in enumerate(axes) if axis.source == DATASET), None)
    if dataset_axis is not None:
        axes = (*axes, dataset_axis)
    special = {axis.source for axis in axes}
    apart = context is not None and context.apart
    categories = tuple(variations.weights) if variations else ()
    if variations and variations.apply_to and NOMINAL not in categories:
        categories = (NOMINAL, *categories)
    if variations is not None and VARIATION not in special:
        axes = (*axes, Axis(name=variations.axis, source=VARIATION, type="category"))
    if plan:
        categories = tuple(filled) if apart else (NOMINAL, *dict.fromkeys(weight.variation for weight in plan))
    if len(categories) > 1 and plan:
        name = VARIATION_AXIS if apart else systematic_axis(axis.name for axis in axes)
        axes = (*axes, Axis(name=name, source=VARIATION, type="category"))
    names = tuple(dataset.name for dataset in context.datasets) if context else ()
    if context and context.dataset.name not in names:
        names = (*names, context.dataset.name)
    fixed = {DATASET: names, VARIATION: categories or (NOMINAL,)}
    axes = tuple(_with_categories(axis, fixed[axis.source]) if axis.source in fixed else axis for axis in axes)
    if not apart:
        return _Layout(axes)
    found = next((axis for axis in axes if axis.source == DATASET), None)
    position = None if dataset_axis is not None else placed
    kept = tuple(axis for axis in axes if axis.source != DATASET)
    return _Layout(kept, DatasetAxis(found, position) if found is not None else None)


def _with_categories(axis: Axis, names: tuple[str, ...]) -> Axis:
    return axis.model_copy(update={"type": "category", "bins": axis.bins or Bins(edges=names)})
