"""Layers of a plot: data summed, simulation by dataset or group, each with its colour and its place in the stack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fasthep_parsl.interfaces import DatasetInfo
from fasthep_parsl.plan import PlotStyle
from fasthep_parsl.plan.styles import DatasetStyle
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
        Sums of weights below and above the axis. For two axes, `over` is everything outside.
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


def by_label(
    parts: list[Layer], names: list[str], drawing: Drawing
) -> tuple[Layer | None, list[Layer], list[list[int]]]:
    """Return data, the layers of simulation from the bottom, and the positions of the datasets of each of them.

    Parameters
    ----------
    parts : list of Layer
        Contents of each dataset.
    names : list of str
        Their names.
    drawing : Drawing
        Datasets with their event types and groups, and the style.
    """
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
    return data, [styled[key] for key in ordered], [members[key] for key in ordered]


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
