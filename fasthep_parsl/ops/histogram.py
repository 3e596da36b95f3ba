"""``hep.hist``: histograms of one to three fields, per dataset and weight variation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from fasthep_parsl.interfaces import UNKNOWN, Context, Effects, OpProblem, ParamPath, Schema, Shape
from fasthep_parsl.ops.axes import DATASET, VARIATION, Axis, Bins, sort_categories
from fasthep_parsl.ops.cutflow import weight_of
from fasthep_parsl.ops.declare import op
from fasthep_parsl.ops.entries import weight_per_object
from fasthep_parsl.ops.expressions import analyse_expression
from fasthep_parsl.ops.filling import Filling
from fasthep_parsl.ops.products import Histogram, merge_histograms
from fasthep_parsl.ops.stream import Events
from fasthep_parsl.plan import EventType

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
    """Datasets that variations are filled for; the others fill ``nominal`` alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    eventtype: EventType = Field(description="eventtype of the datasets")


class Variations(BaseModel):
    """An axis of weight variations: the histogram is filled once per weight."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    axis: str = Field("variation", description="name of the axis")
    weights: dict[str, str] = Field(description="name of the variation → weight expression", min_length=1)
    apply_to: ApplyTo | None = Field(None, description="default: all datasets")


def _storage(storage: str | None, weight: str | None, variations: Variations | None) -> str:
    return storage or ("weighted" if weight is not None or variations else "count")


def _analyse(params: Any, schema: Schema) -> Effects:
    reads: dict[str, ParamPath] = {}
    weight, path, problems = weight_of(params)
    storage = _storage(params.storage, weight, params.variations)
    if (weight is not None or params.variations) and storage == "count":
        hint = "leave `storage` out, or say weighted"
        problems.append(OpProblem(("storage",), f"storage `{params.storage}` ignores weights", hint))
    problems += _check_axes(params)
    filled: list[tuple[str, ParamPath]] = [
        (axis.text, ("axes", i, "source" if axis.source else "name"))
        for i, axis in enumerate(params.axes)
        if axis.source not in (DATASET, VARIATION)
    ]
    filled += [(weight, path)] if weight is not None else []
    if params.variations:
        filled += [(text, ("variations", "weights", name)) for name, text in params.variations.weights.items()]
    shapes: list[tuple[str, ParamPath, Shape]] = []
    for text, where in filled:
        found, shape, wrong = analyse_expression(text, where, schema)
        reads = {**found, **reads}
        problems += wrong
        shapes.append((text, where, UNKNOWN if wrong else shape))
    problems += _check_structure(shapes)
    return Effects(reads, {}, tuple(problems))


def _check_structure(shapes: list[tuple[str, ParamPath, Shape]]) -> list[OpProblem]:
    """Return what is wrong with values, axes first, that are filled together: what is not known yet is left to the run."""
    problems = []
    known = [(text, where, shape) for text, where, shape in shapes if shape and "*" not in shape]
    on_axes = [(text, shape) for text, where, shape in shapes if where[0] == "axes"]
    for text, where, shape in known:
        if shape != known[0][2]:
            message = f"`{known[0][0]}` and `{text}` have different structure ({known[0][2][-1]} and {shape[-1]})"
            hint = "fill two histograms, or make one of them one value per event, e.g. nth(…, 0)"
            problems.append(OpProblem(where, message, hint))
        elif where[0] != "axes" and on_axes and all(its == () for _, its in on_axes):
            problems.append(OpProblem(where, *weight_per_object(text, on_axes[0][0])))
    return problems


def _check_axes(params: Any) -> list[OpProblem]:
    problems = []
    plain = [axis for axis in params.axes if axis.source not in (DATASET, VARIATION)]
    if not 1 <= len(plain) <= 3:
        problems.append(OpProblem(("axes",), f"a histogram has 1 to 3 axes besides datasets, not {len(plain)}"))
    seen: set[str] = set()
    for i, axis in enumerate(params.axes):
        if axis.name in seen:
            problems.append(OpProblem(("axes", i, "name"), f"two axes are called `{axis.name}`"))
        seen.add(axis.name)
    if params.dataset_axis is not None and params.dataset_axis.name in seen:
        message = f"axis `{params.dataset_axis.name}` is there already"
        problems.append(OpProblem(("dataset_axis", "name"), message, "give the dataset axis another name"))
    return problems


@op("hep.hist", analyse=_analyse, product="hist", merge=merge_histograms)
def histogram(
    events: Events,
    *,
    axes: tuple[Axis, ...],
    storage: Storage | None = None,
    weight_expr: str | None = None,
    weights: str | None = None,
    dataset_axis: Annotated[Axis | None, BeforeValidator(_dataset_axis)] = None,
    variations: Variations | None = None,
    title: str = "",
    context: Context | None = None,
) -> Histogram:
    """Fill a histogram.

    A jagged field fills once per object; fields and weights of one value per event then count for each object.
    A missing value is not filled; NaN goes to overflow (on a category or int axis: is not filled), and an entry whose
    weight is NaN or infinite is not filled; all are counted.

    Parameters
    ----------
    axes : list of {name, source, type, bins, label, unit}
        One to three. `type`: regular (``bins: {nbins, low, high}``), variable (``bins: [edges]``), category or int
        (``bins: [categories]``, or none to add them as they come), bool.
    storage : "count", "weighted" or "double"
        Default: weighted if there is a weight.
    weight_expr, weights : str, optional
        Expression of one weight per event or object (give one of the two).
    dataset_axis : true or {name, source: dataset_name, type: category}, optional
        Adds an axis, last, with all datasets of the workflow.
    variations : {axis, weights: {name: expression}, apply_to: {eventtype}}, optional
        Adds an axis of weight variations; takes the place of the weight. Datasets it does not apply to fill
        ``nominal`` with the weight, or 1.
    title : str
        For pictures.
    """
    weight = weight_expr if weight_expr is not None else weights
    used = _all_axes(axes, dataset_axis, variations, context)
    filling = Filling(used, _storage(storage, weight, variations), events, context)
    for name, text in _weights(variations, weight, context).items():
        filling.fill(text, name)
    return Histogram(sort_categories(filling.hist), none=filling.none, nan=filling.nan, title=title)


def _weights(variations: Variations | None, weight: str | None, context: Context | None) -> Mapping[str, str | None]:
    """Return variation → weight expression."""
    if variations is None:
        return {"nominal": weight}
    wanted = variations.apply_to.eventtype if variations.apply_to else None
    if wanted is None or (context is not None and context.dataset.eventtype == wanted):
        return variations.weights
    return {"nominal": weight}


def _all_axes(
    axes: tuple[Axis, ...], dataset_axis: Axis | None, variations: Variations | None, context: Context | None
) -> tuple[Axis, ...]:
    """Return all axes, those of datasets and variations with their categories."""
    special = {axis.source for axis in axes if axis.source in (DATASET, VARIATION)}
    if dataset_axis is not None:
        axes = (*axes, dataset_axis)
        special.add(DATASET)
    if variations is not None and VARIATION not in special:
        axes = (*axes, Axis(name=variations.axis, source=VARIATION, type="category"))
        special.add(VARIATION)
    if not special:
        return axes
    names = tuple(dataset.name for dataset in context.datasets) if context else ()
    if context and context.dataset.name not in names:
        names = (*names, context.dataset.name)
    weights = tuple(variations.weights) if variations else ()
    if variations and variations.apply_to and "nominal" not in weights:
        weights = ("nominal", *weights)
    fixed = {DATASET: names, VARIATION: weights or ("nominal",)}
    return tuple(_with_categories(axis, fixed[axis.source]) if axis.source in fixed else axis for axis in axes)


def _with_categories(axis: Axis, names: tuple[str, ...]) -> Axis:
    return axis.model_copy(update={"type": "category", "bins": axis.bins or Bins(edges=names)})
