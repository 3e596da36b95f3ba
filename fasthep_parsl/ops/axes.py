"""Axes of ``hep.hist``: the parameters, their checks, and the empty histogram."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from fasthep_parsl.ops.arrays import np

AxisType = Literal["regular", "variable", "category", "int", "bool"]
DATASET = "dataset_name"
VARIATION = "__variation__"
VARIATION_AXIS = "variation@"
"""Name of the axis of weight variations of a part. No axis of a workflow can have it."""
NOMINAL = "nominal"
"""Its category for what does not vary."""
SYSTEMATIC_AXES = ("variation", "systematic")
"""Names of the axis of variations in results, the first one that is free."""
MAX_INTEGER = 2**31 - 1
"""Largest integer that axes of boost-histogram support."""


class Bins(BaseModel):
    """Bins of an axis: ``{nbins, low, high}``, or ``{edges: […]}``, for which a list is the short form."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    nbins: int | None = Field(None, ge=1, description="number of bins of equal width")
    low: float | None = Field(None, description="lower edge of the first bin")
    high: float | None = Field(None, description="upper edge of the last bin")
    edges: tuple[Any, ...] | None = Field(None, description="bin edges, or the categories of a category or int axis")


def _bins(value: Any) -> Any:
    return {"edges": value} if isinstance(value, list | tuple) else value


class Axis(BaseModel):
    """One axis of a histogram."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="name of the axis", min_length=1)
    source: str = Field("", description="field or expression that is filled; default: the name")
    type: AxisType | None = Field(None, description="default: regular, variable or category, depending on the bins")
    bins: Annotated[Bins | None, BeforeValidator(_bins)] = Field(None, description="{nbins, low, high} or a list")
    label: str = Field("", description="label in plots; default: the name")
    unit: str = Field("", description="unit in plots, e.g. GeV")

    @model_validator(mode="after")
    def _bins_fit_type(self) -> Self:
        problem = _CHECKS[self.kind](self.bins or Bins())
        if not problem and self.type is None and self.kind == "category":
            problem = _numbers_in_quotes(self.categories)
        if problem and self.source not in (DATASET, VARIATION):
            raise ValueError(f"axis `{self.name}` of type {self.kind} {problem}")
        return self

    @property
    def kind(self) -> AxisType:
        """The type; if not given, it follows from the bins."""
        if self.type is not None:
            return self.type
        if self.bins is None:
            return "category"
        if self.bins.edges is None:
            return "regular"
        return "category" if self.bins.edges and all(isinstance(edge, str) for edge in self.bins.edges) else "variable"

    @property
    def text(self) -> str:
        """The expression that is filled."""
        return self.source or self.name

    @property
    def grows(self) -> bool:
        """Whether categories are added when they occur."""
        return self.kind in ("category", "int") and (
            self.bins is None or (self.integers is None and not self.categories)
        )

    @property
    def categories(self) -> tuple[Any, ...]:
        """The fixed categories, if any."""
        return self.bins.edges or () if self.bins else ()

    @property
    def integers(self) -> tuple[int, int] | None:
        """Start and stop of an int axis that is a range."""
        if self.kind != "int" or self.bins is None or self.bins.edges is not None:
            return None
        return int(self.bins.low or 0), int(self.bins.high or 0)

    @property
    def numeric(self) -> bool:
        """Whether the categories are integers."""
        if self.kind in ("int", "bool"):
            return True
        return self.kind == "category" and bool(self.categories) and all(map(_small, self.categories))


def _small(value: Any) -> bool:
    """Whether `value` is an integer that integer axes of boost-histogram support."""
    return type(value) is int and abs(value) <= MAX_INTEGER


def _check_regular(bins: Bins) -> str:
    if bins.edges is not None or bins.nbins is None or bins.low is None or bins.high is None:
        return "needs bins: {nbins, low, high}"
    if not math.isfinite(bins.high - bins.low):
        return "needs finite low and high; entries outside of the range are counted in underflow and overflow"
    return "" if bins.low < bins.high else "needs low < high"


def _check_variable(bins: Bins) -> str:
    edges = bins.edges or ()
    if odd := [edge for edge in edges if isinstance(edge, str | bool) or not isinstance(edge, int | float)]:
        return f"has the edge {_quoted(odd[0])}, which is not a number: {_REMEDIES.get(type(odd[0]), _NUMBERS)}"
    if len(edges) < 2:
        return "needs bins: [edge, edge, …], at least two numbers"
    rising = all(float(a) < float(b) for a, b in pairwise(edges))
    return "" if rising else "needs increasing edges"


_NUMBERS = "write numbers without quotes, and infinity as .inf"
_REMEDIES: dict[type, str] = {str: f"{_NUMBERS}, or use `type: category`", bool: "use `type: bool`"}


def _quoted(value: Any) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value).lower()


def _numbers_in_quotes(categories: tuple[Any, ...]) -> str:
    """Return a problem if all categories are numbers in quotes, unless they consist of digits only, like years."""
    if all(text.isdecimal() for text in categories) or not all(map(_reads_as_number, categories)):
        return ""
    return f"has numbers in quotes, {', '.join(map(_quoted, categories))}: {_REMEDIES[str]}"


def _reads_as_number(text: str) -> bool:
    try:
        float(text.lstrip("+-.") if text.lstrip("+-.").lower() == "inf" else text)
    except ValueError:
        return False
    return True


def _check_category(bins: Bins) -> str:
    if bins.nbins is not None or bins.low is not None or bins.high is not None:
        return "takes bins: [category, …], or no bins to add categories when they occur"
    if odd := [edge for edge in bins.edges or () if not isinstance(edge, str | int | float)]:
        return f"has the category {odd[0]}, but a category is a text or a number"
    return "" if len({str(edge) for edge in bins.edges or ()}) == len(bins.edges or ()) else "names a category twice"


def _check_int(bins: Bins) -> str:
    if bins.edges is None and (bins.low is None) != (bins.high is None):
        return "needs both low and high, or a list"
    numbers = bins.edges or [limit for limit in (bins.low, bins.high) if limit is not None]
    if not all(type(number) in (int, float) and float(number).is_integer() for number in numbers) or (
        bins.edges and not all(type(edge) is int for edge in bins.edges)
    ):
        return "takes integers only"
    if any(abs(number) > MAX_INTEGER for number in numbers):
        return f"takes integers up to ±{MAX_INTEGER}: for larger ones, use `type: category`"
    if bins.edges and len(set(bins.edges)) < len(bins.edges):
        return "names a category twice"
    return "" if bins.low is None or bins.high is None or bins.low < bins.high else "needs low < high"


def _check_nothing(_bins: Bins) -> str:
    return ""


_CHECKS: dict[str, Callable[[Bins], str]] = {
    "regular": _check_regular,
    "variable": _check_variable,
    "category": _check_category,
    "int": _check_int,
    "bool": _check_nothing,
}


def systematic_axis(names: Iterable[str]) -> str:
    """Return the name of the axis of systematic variations next to axes with `names`."""
    taken = set(names)
    return next((name for name in SYSTEMATIC_AXES if name not in taken), VARIATION_AXIS)


@lru_cache(maxsize=512)
def book(axes: tuple[Axis, ...], storage: str) -> Any:
    """Return an empty ``hist.Hist``. It is cached: copy it before filling.

    Parameters
    ----------
    axes : tuple of Axis
        Axes of the histogram. Dataset and variation axes have their categories as bins.
    storage : "count", "double" or "weighted"
        ``Int64``, ``Double`` or ``Weight``.
    """
    import hist

    kinds = {"count": hist.storage.Int64, "double": hist.storage.Double, "weighted": hist.storage.Weight}
    return hist.Hist(*(_axis(axis) for axis in axes), storage=kinds[storage]())


def _axis(axis: Axis) -> Any:
    import hist

    label = (axis.label or axis.name) + (f" [{axis.unit}]" if axis.unit else "")
    options = {"name": axis.name, "label": label}
    bins = axis.bins or Bins()
    match axis.kind:
        case "regular":
            return hist.axis.Regular(bins.nbins, bins.low, bins.high, **options)
        case "variable":
            return hist.axis.Variable(list(bins.edges or ()), **options)
        case "bool":
            return hist.axis.IntCategory([0, 1], **options)
        case "int" if axis.integers:
            return hist.axis.Integer(*axis.integers, **options)
    if axis.numeric:
        return hist.axis.IntCategory(list(axis.categories), growth=axis.grows, **options)
    return hist.axis.StrCategory([str(c) for c in axis.categories], growth=axis.grows, **options)


def add_histograms(a: Any, b: Any) -> Any:
    """Return the sum of two histograms with equal axes. The categories of growing axes are sorted.

    boost-histogram searches each category in a list, so its own addition takes quadratic time in their number.
    """
    growing = [i for i, axis in enumerate(a.axes) if axis.traits.growth]
    if not growing:
        return a + b
    names = {i: sorted({*a.axes[i], *b.axes[i]}) for i in growing}
    if all(list(a.axes[i]) == names[i] == list(b.axes[i]) for i in growing):
        return a + b
    result = _with_categories(a, names)
    total = np.asarray(result.view(flow=True))
    for part in (a, b):
        view = np.asarray(part.view(flow=True))
        places: list[Any] = [np.arange(length) for length in view.shape]
        for i in growing:
            number = {name: k for k, name in enumerate(names[i])}
            places[i] = np.array([number[name] for name in part.axes[i]], dtype=np.int64)
        where = np.ix_(*places)
        if total.dtype.names is None:
            total[where] += view
        for field in total.dtype.names or ():
            total[field][where] += view[field]
    return result


def _with_categories(histogram: Any, names: dict[int, list[Any]]) -> Any:
    """Return an empty histogram with the axes of `histogram`, but other categories on some of them."""
    import hist

    axes = list(histogram.axes)
    for i, categories in names.items():
        options = {"name": axes[i].name, "label": axes[i].label, "growth": True}
        axis_class = hist.axis.StrCategory if type(axes[i]).__name__ == "StrCategory" else hist.axis.IntCategory
        axes[i] = axis_class(categories, **options)
    return hist.Hist(*axes, storage=histogram.storage_type())


def sort_categories(histogram: Any) -> Any:
    """Return `histogram` with sorted categories on growing axes, independent of the order in which they occurred."""
    names = {i: list(axis) for i, axis in enumerate(histogram.axes) if axis.traits.growth}
    orders = {i: sorted(range(len(values)), key=values.__getitem__) for i, values in names.items()}
    if all(order == list(range(len(order))) for order in orders.values()):
        return histogram
    view = np.asarray(histogram.view(flow=True))
    for i, order in orders.items():
        view = np.take(view, order, axis=i)
    result = _with_categories(histogram, {i: [names[i][k] for k in order] for i, order in orders.items()})
    result.view(flow=True)[...] = view
    return result
