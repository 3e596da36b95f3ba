"""The axes of ``hep.hist``: what the user writes, and the booked histogram."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from fasthep_parsl.ops.arrays import np

AxisType = Literal["regular", "variable", "category", "int", "bool"]
DATASET = "dataset_name"
VARIATION = "__variation__"


class Bins(BaseModel):
    """Bins of an axis: ``{nbins, low, high}``, or ``{edges: […]}`` (a bare list is short for that)."""

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
    source: str = Field("", description="field or expression that fills it; default: its name")
    type: AxisType | None = Field(None, description="default: regular, variable or category, as the bins say")
    bins: Annotated[Bins | None, BeforeValidator(_bins)] = Field(None, description="{nbins, low, high} or a list")
    label: str = Field("", description="for pictures; default: the name")
    unit: str = Field("", description="for pictures, e.g. GeV")

    @model_validator(mode="after")
    def _bins_fit_type(self) -> Self:
        problem = _CHECKS[self.kind](self.bins or Bins())
        if problem and self.source not in (DATASET, VARIATION):
            raise ValueError(f"axis `{self.name}` of type {self.kind} {problem}")
        return self

    @property
    def kind(self) -> AxisType:
        """The type, found from the bins if it is not given."""
        if self.type is not None:
            return self.type
        if self.bins is None:
            return "category"
        if self.bins.edges is None:
            return "regular"
        return "category" if any(isinstance(edge, str) for edge in self.bins.edges) else "variable"

    @property
    def text(self) -> str:
        """The expression that fills it."""
        return self.source or self.name

    @property
    def grows(self) -> bool:
        """Whether categories are added as they come."""
        return self.kind in ("category", "int") and (
            self.bins is None or (self.integers is None and not self.categories)
        )

    @property
    def categories(self) -> tuple[Any, ...]:
        """Fixed categories, if it has some."""
        return self.bins.edges or () if self.bins else ()

    @property
    def integers(self) -> tuple[int, int] | None:
        """First and last-excluded integer of an int axis that is a range."""
        if self.kind != "int" or self.bins is None or self.bins.edges is not None:
            return None
        return int(self.bins.low or 0), int(self.bins.high or 0)

    @property
    def numeric(self) -> bool:
        """Whether its categories are integers."""
        if self.kind in ("int", "bool"):
            return True
        return self.kind == "category" and bool(self.categories) and all(type(c) is int for c in self.categories)


def _check_regular(bins: Bins) -> str:
    if bins.edges is not None or bins.nbins is None or bins.low is None or bins.high is None:
        return "needs bins: {nbins, low, high}"
    return "" if bins.low < bins.high else "needs low < high"


def _check_variable(bins: Bins) -> str:
    edges = bins.edges or ()
    if len(edges) < 2 or not all(isinstance(edge, int | float) for edge in edges):
        return "needs bins: [edge, edge, …], at least two numbers"
    rising = all(a < b for a, b in pairwise(edges))
    return "" if rising else "needs edges that rise"


def _check_category(bins: Bins) -> str:
    if bins.nbins is not None:
        return "takes bins: [category, …], or none to add them as they come"
    return "" if len(set(bins.edges or ())) == len(bins.edges or ()) else "names a category twice"


def _check_int(bins: Bins) -> str:
    if bins.edges is None and (bins.low is None) != (bins.high is None):
        return "needs both low and high, or a list"
    if bins.edges and not all(type(edge) is int for edge in bins.edges):
        return "takes whole numbers only"
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


@lru_cache(maxsize=512)
def book(axes: tuple[Axis, ...], storage: str) -> Any:
    """Return an empty ``hist.Hist``; made once per worker, to be copied before it is filled.

    Parameters
    ----------
    axes : tuple of Axis
        Those of datasets and variations have their categories as bins.
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


def sort_categories(histogram: Any) -> Any:
    """Return `histogram` with the categories of growing axes in order, so that it does not depend on who came first."""
    import hist

    growing = [i for i, axis in enumerate(histogram.axes) if axis.traits.growth]
    orders = {i: sorted(range(len(histogram.axes[i])), key=list(histogram.axes[i]).__getitem__) for i in growing}
    if all(order == list(range(len(order))) for order in orders.values()):
        return histogram
    axes = list(histogram.axes)
    view = np.asarray(histogram.view(flow=True))
    for i, order in orders.items():
        names = [list(axes[i])[k] for k in order]
        options = {"name": axes[i].name, "label": axes[i].label, "growth": True}
        made = hist.axis.StrCategory if isinstance(names[0], str) else hist.axis.IntCategory
        axes[i] = made(names, **options)
        view = np.take(view, order, axis=i)
    result = hist.Hist(*axes, storage=histogram.storage_type())
    result.view(flow=True)[...] = view
    return result
