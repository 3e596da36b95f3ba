"""Draw histograms with two axes as colour maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fasthep_parsl.ops.products import Histogram
from fasthep_parsl.results.plot_axes import STEEP
from fasthep_parsl.results.plot_binning import binning
from fasthep_parsl.results.plot_contents import contents
from fasthep_parsl.results.plot_layout import Layout
from fasthep_parsl.results.plot_panels import contents_word, named_ticks
from fasthep_parsl.results.plot_recipe import Drawing
from fasthep_parsl.results.style import axis_label, power_of_ten, safe_text


def draw_maps(figure: Any, histogram: Histogram, places: tuple[int | None, Sequence[int]], drawing: Drawing) -> None:
    """Draw a colour map for data and one for simulation, if there are any, with one scale of colours.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        An empty figure.
    histogram : Histogram
        With two axes, without those of datasets and variations.
    places : tuple of (int or None, sequence of int)
        Positions of the dataset axis, and of the two axes to draw, x first.
    drawing : Drawing
        Datasets and style.
    """
    position, shown = places
    content = contents(histogram, shown, position, drawing)
    panels: list[tuple[str, Any]] = []
    if content.data is not None:
        panels.append((content.data.label, content.data.values))
    if content.simulation:
        total = sum(layer.values for layer in content.simulation)
        panels.append(("Simulation" if position is not None else "", total))
    axes = [histogram.hist.axes[number] for number in shown]
    layout = Layout(figure, drawing, histogram.title, panels=max(len(panels), 1))
    layout.right = 0.95
    layout.place()
    norm = _norm([values for _, values in panels], drawing)
    mesh = None
    for ax, (name, values) in zip(layout.main, panels, strict=False):
        mesh = _draw_map(ax, axes, values, norm, drawing)
        if name and len(panels) > 1:
            ax.text(0.97, 0.95, safe_text(name), transform=ax.transAxes, ha="right", va="top", fontsize=13,
                    bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 2})  # fmt: skip
    layout.finish(histogram, [content])
    at, width = layout.main[-1].get_position(), figure.get_figwidth()
    place = figure.add_axes((at.x1 + 0.12 / width, at.y0, 0.22 / width, at.height))
    if mesh is not None:
        bar = figure.colorbar(mesh, cax=place)
        word = contents_word(content, normalised=drawing.normalised, named=position is not None)
        bar.set_label(drawing.style.axes.z.label or f"{word} / bin", loc="top")


def _norm(values: Sequence[Any], drawing: Drawing) -> Any:
    """Return the scale of colours of all maps. Empty bins are white: no event is not a small number of events."""
    import numpy as np
    from matplotlib.colors import LogNorm, Normalize

    style = drawing.style.axes.z
    every = np.concatenate([part.ravel() for part in values]) if values else np.array([])
    filled = every[np.isfinite(every) & (every != 0)]
    if not len(filled):
        return Normalize(0, 1)
    positive = filled[filled > 0]
    steep = len(positive) == len(filled) and filled.max() > STEEP * np.quantile(filled, 0.1)
    if len(positive) and (style.scale == "log" or (style.scale == "auto" and steep)):
        return LogNorm(*(style.limits or (positive.min(), max(positive.max(), positive.min() * 1.001))))
    return Normalize(*(style.limits or (min(0.0, float(filled.min())), float(filled.max()))))


def _draw_map(ax: Any, axes: Sequence[Any], values: Any, norm: Any, drawing: Drawing) -> Any:
    import numpy as np

    style = drawing.style.axes
    x, y = binning(axes[0], style.x), binning(axes[1], style.y)
    masked = np.ma.masked_where(values.T == 0, values.T)
    mesh = ax.pcolormesh(x.edges, y.edges, masked, cmap="viridis", rasterized=True, norm=norm)
    if x.log:
        ax.set_xscale("log")
    if y.log:
        ax.set_yscale("log")
    for place, axis in zip((ax.xaxis, ax.yaxis), axes, strict=True):
        named_ticks(place, axis)
    ax.set_xlim(*x.limits(style.x))
    ax.set_ylim(*y.limits(style.y))
    for letter, bins in (("x", x), ("y", y)):
        if bins.categories is None:
            power_of_ten(ax, letter)
    ax.set_xlabel(safe_text(style.x.label) if style.x.label else axis_label(axes[0]), loc="right")
    ax.set_ylabel(safe_text(style.y.label) if style.y.label else axis_label(axes[1]), loc="top")
    return mesh
