"""Draw histograms with two axes as colour maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fasthep_parsl.interfaces import DatasetInfo
from fasthep_parsl.ops.products import Histogram
from fasthep_parsl.results.bins import drawn_edges, ticks_of
from fasthep_parsl.results.histograms import categories_of
from fasthep_parsl.results.plot_layers import Layer, layers
from fasthep_parsl.results.style import axis_label, heading


def draw_maps(
    figure: Any,
    histogram: Histogram,
    places: tuple[int | None, Sequence[int]],
    datasets: Sequence[DatasetInfo],
    title: str,
) -> None:
    """Draw a colour map for simulation and one for data, if there are any.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        An empty figure.
    histogram : Histogram
        With two axes, without the dataset axis.
    places : tuple of (int or None, sequence of int)
        Positions of the dataset axis, and of the two axes to draw, x first.
    datasets : sequence of DatasetInfo
        Datasets of the run.
    title : str
        Title above the plot.
    """
    position, shown = places
    data, simulation = layers(histogram.hist, shown, position, datasets)
    panels: list[tuple[str, Any]] = []
    if data is not None:
        panels.append(("Data", data.values))
    if simulation:
        panels.append(("Simulation" if position is not None else "", _sum(simulation)))
    axes = [histogram.hist.axes[number] for number in shown]
    figure.set_size_inches(6.8 * max(len(panels), 1), 5.2)
    count = max(len(panels), 1)
    figure.subplots_adjust(left=0.12 / count, right=1 - 0.11 / count, bottom=0.13, top=0.92, wspace=0.3)
    for number, (name, values) in enumerate(panels, start=1):
        ax = figure.add_subplot(1, count, number)
        _draw_map(figure, ax, axes, values)
        heading(ax, title if number == 1 else "")
        if name:
            ax.set_title(name, loc="right", fontsize=13)


def _sum(simulation: list[Layer]) -> Any:
    import numpy as np

    return np.sum([layer.values for layer in simulation], axis=0)


def _draw_map(figure: Any, ax: Any, axes: Sequence[Any], values: Any) -> None:
    import numpy as np

    edges = []
    for axis, letter in zip(axes, "xy", strict=True):
        categories = categories_of(axis)
        edges.append(drawn_edges(axis))
        if categories is not None:
            getattr(ax, f"set_{letter}ticks")(*ticks_of(categories))
    # Empty bins stay white: no event is not a small number of events.
    masked = np.ma.masked_where(values.T == 0, values.T)
    drawn = bool((values != 0).any())
    limits = {} if drawn else {"vmin": 0, "vmax": 1}
    mesh = ax.pcolormesh(edges[0], edges[1], masked, cmap="viridis", rasterized=True, **limits)
    bar = figure.colorbar(mesh, ax=ax, pad=0.02, fraction=0.06)
    bar.set_label("Events / bin", loc="top")
    ax.set_xlim(edges[0][0], edges[0][-1])
    ax.set_ylim(edges[1][0], edges[1][-1])
    ax.set_xlabel(axis_label(axes[0]), loc="right")
    ax.set_ylabel(axis_label(axes[1]), loc="top")
