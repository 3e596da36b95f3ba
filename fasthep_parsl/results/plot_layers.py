"""Layers of a plot: data summed, simulation by dataset or group, each with one colour, and the uncertainty of their sum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fasthep_parsl.interfaces import DatasetInfo
from fasthep_parsl.ops.axes import NOMINAL
from fasthep_parsl.ops.products import Histogram
from fasthep_parsl.plan import PlotStyle
from fasthep_parsl.plan.styles import DatasetStyle
from fasthep_parsl.results.histograms import categories_of
from fasthep_parsl.results.plot_recipe import Drawing

# The colours of Petroff (arXiv:2107.02270) are distinct for colour-blind readers and in grey.
COLOURS = (
    "#5790fc", "#f89c20", "#e42536", "#964a8b", "#9c9ca1", "#7a21dd", "#b9ac70", "#717581", "#92dadd", "#a96b59",
)  # fmt: skip
HATCHES = ("", "//", "..", "xx")
"""Patterns that tell apart datasets with the same colour, if there are more than colours."""
DATA = "Data"


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of a plot: bin contents, their variances, under- and overflow.

    Attributes
    ----------
    label : str
        Entry in the legend.
    values, variances : array of float64, shape (bins,) or (bins, bins)
        Sums of weights and of squared weights.
    under, over : float
        Sums of weights below and above the axis; 0 for 2D.
    colour, hatch : str
        The same for a label in all plots of a run.
    style : DatasetStyle
        What the workflow says about it.
    kind : str
        ``data``, ``background`` or ``signal``.
    stacked : bool
        Whether it is a part of the stack, and of the total.
    """

    label: str
    values: Any
    variances: Any
    under: float = 0.0
    over: float = 0.0
    colour: str = COLOURS[0]
    hatch: str = ""
    style: DatasetStyle = field(default_factory=DatasetStyle)
    kind: str = "background"
    stacked: bool = True


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
    shape : tuple of int
        Number of bins on each axis.
    """

    data: Layer | None = None
    simulation: list[Layer] = field(default_factory=list)
    up: Any = None
    down: Any = None
    shape: tuple[int, ...] = ()

    @property
    def stack(self) -> list[Layer]:
        """Layers of the stack, from the bottom."""
        return [layer for layer in self.simulation if layer.stacked]

    def total(self) -> tuple[Any, Any]:
        """Return the sum of the stack and its statistical variance; zeros if it is empty."""
        import numpy as np

        none = np.zeros(self.shape)
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
        content, groups = _by_label(parts, names, drawing)
    content = replace(content, shape=tuple(len(axis) for axis in axes))
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
    return Layer("", _inside(values, axes), _inside(variances, axes), under, over)


def _by_label(parts: list[Layer], names: list[str], drawing: Drawing) -> tuple[PlotContent, list[list[int]]]:
    """Return data and simulation, and the positions of the datasets of each layer of simulation."""
    style, datasets = drawing.style, drawing.recipe.datasets
    infos = {dataset.name: dataset for dataset in datasets}
    data: Layer | None = None
    order = [info for info in datasets if key_kind(info, style)[1] != "data"]
    keys = list(dict.fromkeys(key_kind(info, style)[0] for info in order))
    found: dict[str, Layer] = {}
    members: dict[str, list[int]] = {}
    for number, (part, name) in enumerate(zip(parts, names, strict=True)):
        key, kind = key_kind(infos.get(name, DatasetInfo(name)), style)
        if kind == "data":
            data = part if data is None else _add(data, part)
        elif kind:
            if key not in keys:
                keys.append(key)
            found[key] = part if key not in found else _add(found[key], part)
            members.setdefault(key, []).append(number)
    if data is not None:
        named = next(
            (style.style.datasets[n] for n in style.data_mc.of_data if n in style.style.datasets), DatasetStyle()
        )
        data = replace(data, label=named.label or DATA, colour=named.color or "black", kind="data", style=named)
    styled = {key: _styled(layer, key, keys, drawing) for key, layer in found.items()}
    ordered = sorted(styled, key=lambda key: _rank(key, styled[key], style))
    return PlotContent(data, [styled[key] for key in ordered]), [members[key] for key in ordered]


def key_kind(info: DatasetInfo, style: PlotStyle) -> tuple[str, str]:
    """Return the dataset or group whose layer a dataset is in, and its kind; an empty kind if it is not drawn.

    A dataset that the style names is a layer of its own.
    """
    listed = style.data_mc
    named = {*style.style.datasets, *listed.backgrounds, *listed.signals, *listed.of_data}
    key = info.name if info.name in named else info.group or info.name
    own = style.style.datasets.get(key, DatasetStyle())
    if key in listed.of_data or own.kind == "data":
        return DATA, "data"
    if info.eventtype == "data" and own.kind is None and key not in (*listed.backgrounds, *listed.signals):
        return DATA, "" if listed.of_data else "data"
    if key in listed.signals or own.kind == "signal":
        return key, "signal"
    drawn = key in listed.backgrounds or own.kind is not None or own.stack is not None
    return key, "background" if drawn or not (listed.backgrounds or listed.signals) else ""


def _styled(layer: Layer, key: str, keys: Sequence[str], drawing: Drawing) -> Layer:
    style = drawing.style
    own = style.style.datasets.get(key, DatasetStyle())
    cycle = style.style.color_cycle or COLOURS
    taken = {one.color for one in style.style.datasets.values() if one.color}
    free = [colour for colour in cycle if colour not in taken] or list(cycle)
    ranked = [name for name in keys if not style.style.datasets.get(name, own if name == key else DatasetStyle()).color]
    rank = ranked.index(key) if key in ranked else 0
    signal = own.kind == "signal" or key in style.data_mc.signals
    stacked = own.stack if own.stack is not None else not signal or style.data_mc.include_signals_in_stack
    return replace(
        layer,
        label=own.label or key,
        colour=own.color or free[rank % len(free)],
        hatch=own.hatch or HATCHES[rank // len(free) % len(HATCHES)],
        style=own,
        kind="signal" if signal else "background",
        stacked=stacked and style.data_mc.stack,
    )


def _rank(key: str, layer: Layer, style: PlotStyle) -> tuple[int, float]:
    """Return the place in the stack: as the style lists it, else the smallest at the bottom."""
    listed = [*style.data_mc.signals, *style.data_mc.backgrounds]
    if key in listed:
        number = listed.index(key)
        return 1, float(number if style.data_mc.stack_order == "legend" else -number)
    return 0, float(layer.values.sum())


def _add(a: Layer, b: Layer) -> Layer:
    return replace(
        a,
        values=a.values + b.values,
        variances=a.variances + b.variances,
        under=a.under + b.under,
        over=a.over + b.over,
    )
