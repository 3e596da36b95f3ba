"""Contents of a plot: layers on the drawn axes, their sum and its uncertainty."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fasthep_parsl.ops.axes import NOMINAL
from fasthep_parsl.ops.products import Histogram
from fasthep_parsl.results.histograms import categories_of
from fasthep_parsl.results.plot_layers import Layer, by_label
from fasthep_parsl.results.plot_recipe import Drawing


@dataclass(frozen=True)
class PlotContent:
    """Everything that is drawn on some axes of a histogram.

    Attributes
    ----------
    data : Layer or None
        The sum of all data.
    simulation : list of Layer
        The bottom of the stack first.
    up, down : array of float64, shape (bins,), or None
        Systematic uncertainty of the total, groups added in quadrature; both are positive. None without variations.
    axes : tuple of hist axes
        The drawn axes.
    """

    data: Layer | None = None
    simulation: list[Layer] = field(default_factory=list)
    up: Any = None
    down: Any = None
    axes: tuple[Any, ...] = ()

    @property
    def stack(self) -> list[Layer]:
        """Layers of the stack, from the bottom."""
        return [layer for layer in self.simulation if layer.stacked]

    def total(self) -> tuple[Any, Any]:
        """Return the sum of the stack and its statistical variance; zeros if it is empty."""
        import numpy as np

        none = np.zeros([len(axis) for axis in self.axes])
        return sum((layer.values for layer in self.stack), none), sum((layer.variances for layer in self.stack), none)

    def errors(self) -> tuple[Any, Any]:
        """Return the uncertainty of the total, up and down: statistical and systematic, added in quadrature."""
        import numpy as np

        variance = self.total()[1]
        up, down = (0.0 if side is None else side for side in (self.up, self.down))
        return np.sqrt(variance + np.square(up)), np.sqrt(variance + np.square(down))


def variation_axis(histogram: Histogram, position: int | None) -> int | None:
    """Return the position of the axis of variations: that of the workflow, else one of the histogram itself."""
    names = [axis.name for axis in histogram.hist.axes]
    if histogram.variation_axis in names:
        return names.index(histogram.variation_axis)
    found = [
        n for n, axis in enumerate(histogram.hist.axes) if NOMINAL in (categories_of(axis) or []) and n != position
    ]
    return found[0] if found and histogram.hist.ndim > 1 else None


def contents(histogram: Histogram, keep: Sequence[int], position: int | None, drawing: Drawing) -> PlotContent:
    """Return what is drawn on the axes `keep` of a histogram.

    Parameters
    ----------
    histogram : Histogram
        Without an axis of regions.
    keep : sequence of int
        Axes to draw. The others are summed over, with under- and overflow.
    position : int or None
        The dataset axis.
    drawing : Drawing
        Datasets with their event types and groups, and the style.
    """
    import numpy as np

    varied = variation_axis(histogram, position)
    hist = histogram.hist
    outer = [axis for axis in (position, varied) if axis is not None]
    shown = hist if [*outer, *keep] == list(range(hist.ndim)) else hist.project(*outer, *keep)
    axes = list(shown.axes)[len(outer) :]
    values = np.asarray(shown.values(flow=True), dtype=np.float64)
    stored = shown.variances(flow=True)
    variances = values if stored is None else np.asarray(stored, dtype=np.float64)
    if position is None:
        values, variances = values[None], variances[None]
    kinds = [NOMINAL]
    if varied is None:
        values, variances = values[:, None], variances[:, None]
    else:
        kinds = [str(name) for name in hist.axes[varied]]
    names = [str(name) for name in hist.axes[position]] if position is not None else [""]
    nominal = kinds.index(NOMINAL)
    parts = [_layer(values[n, nominal], variances[n, nominal], axes) for n in range(len(names))]
    if position is None:
        content = PlotContent(None, [parts[0]])
        groups = [[0]]
    else:
        data, simulation, groups = by_label(parts, names, drawing)
        content = PlotContent(data, simulation)
    content = replace(content, axes=tuple(axes))
    if len(kinds) > 1 and len(keep) == 1:
        stacked = [
            n for layer, members in zip(content.simulation, groups, strict=True) if layer.stacked for n in members
        ]
        inside = np.stack([_inside(values[stacked, k].sum(axis=0), axes) for k in range(len(kinds))])
        up, down = systematic_errors(inside, kinds, drawing.recipe.group)
        content = replace(content, up=up, down=down)
    return content


def systematic_errors(totals: Any, kinds: Sequence[str], group_of: Callable[[str], str]) -> tuple[Any, Any]:
    """Return the systematic uncertainty up and down, groups added in quadrature.

    A group contributes its largest deviation from nominal upwards and downwards in each bin. One with a single variation
    contributes the same on both sides.

    Parameters
    ----------
    totals : array of float64, shape (variations, bins)
        Total in each variation.
    kinds : sequence of str
        Names of the variations, with `NOMINAL`.
    group_of : callable
        Name → group.

    Returns
    -------
    up, down : array of float64, shape (bins,)
        Not negative.
    """
    import numpy as np

    deviations = totals - totals[list(kinds).index(NOMINAL)]
    groups: dict[str, list[int]] = {}
    for number, kind in enumerate(kinds):
        if kind != NOMINAL:
            groups.setdefault(group_of(kind), []).append(number)
    up, down = np.zeros(totals.shape[1]), np.zeros(totals.shape[1])
    for members in groups.values():
        of_group = deviations[members]
        if len(members) == 1:
            of_group = np.concatenate([of_group, -of_group])
        up += np.maximum(of_group.max(axis=0), 0) ** 2
        down += np.maximum(-of_group.min(axis=0), 0) ** 2
    return np.sqrt(up), np.sqrt(down)


def _inside(values: Any, axes: Sequence[Any]) -> Any:
    """Return contents without under- and overflow."""
    where = [slice(int(axis.traits.underflow), int(axis.traits.underflow) + len(axis)) for axis in axes]
    return values[tuple(where)]


def _layer(values: Any, variances: Any, axes: Sequence[Any]) -> Layer:
    under = over = 0.0
    if len(axes) == 1:
        under = float(values[0]) if axes[0].traits.underflow else 0.0
        over = float(values[-1]) if axes[0].traits.overflow else 0.0
    else:
        outside = values.copy()
        _inside(outside, axes)[...] = 0.0
        over = float(outside.sum())
    return Layer("", _inside(values, axes), _inside(variances, axes), under, over)
