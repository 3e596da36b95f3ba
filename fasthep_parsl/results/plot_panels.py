"""Draw one axis of a histogram: stack, band, data and their ratio."""

from __future__ import annotations

from typing import Any

from fasthep_parsl.plan.styles import AxisStyle
from fasthep_parsl.results.bins import bin_names, of_integers, ticks_of
from fasthep_parsl.results.plot_axes import add_legend, ratio_limits, scale_y
from fasthep_parsl.results.plot_binning import Binning, binning, data_errors
from fasthep_parsl.results.plot_contents import PlotContent
from fasthep_parsl.results.plot_layers import COLOURS, Layer
from fasthep_parsl.results.plot_layout import Layout
from fasthep_parsl.results.style import axis_label, minor_ticks, power_of_ten, safe_text

BAND = "#333333"
SHORT, FLAT = 14, 50
"""Letters of the name of a bin that is written large, and of all names that are written side by side."""


def draw_panel(layout: Layout, number: int, axis: Any, content: PlotContent, *, legend: bool) -> None:
    """Draw a panel and its ratio.

    Parameters
    ----------
    layout : Layout
        The picture.
    number : int
        Number of the panel.
    axis : hist axis
        The axis of the histogram.
    content : PlotContent
        What is drawn on it.
    legend : bool
        Whether layers have names.
    """
    style = layout.drawing.style
    x, y = (style.axes.x, style.axes.y) if number == 0 else (AxisStyle(), AxisStyle())
    ax, low, bins = layout.main[number], layout.lowest[number], binning(axis, x)
    _draw_simulation(ax, content, bins, named=legend, layout=layout)
    if content.data is not None:
        _draw_data(ax, content.data, bins)
    if bins.log:
        ax.set_xscale("log")
    ax.set_xlim(*bins.limits(x))
    low.set_xlabel(safe_text(x.label) if x.label else axis_label(axis), loc="right")
    what = contents_word(content, normalised=layout.drawing.normalised, named=legend)
    ax.set_ylabel(safe_text(y.label) if y.label else bins.word.replace("Events", what, 1), loc="top")
    if bins.categories is None:
        power_of_ten(low, "x")
    named_ticks(low.xaxis, axis)
    if layout.ratio:
        _draw_ratio(layout, number, content, bins)
    box = add_legend(layout, ax, content)
    scale_y(ax, content, bins, y, box)
    numbers = bins.categories is None and not bins.integers
    minor_ticks(ax, x=numbers)
    if layout.ratio:
        minor_ticks(low, x=numbers)


def contents_word(content: PlotContent, *, normalised: bool, named: bool) -> str:
    """Return what contents are: normalised to a luminosity, sums of weights, or raw numbers of events."""
    import numpy as np

    layers = content.simulation
    if normalised or not any(layer.variances.any() for layer in layers):
        return "Events"
    counts = all(np.array_equal(layer.values, layer.variances) for layer in layers)
    if not named:
        return "Events" if counts else "Weighted events"
    return "Events (simulation: raw)" if counts else "Events (simulation: weighted)"


def named_ticks(axis: Any, bins: Any) -> None:
    """Write the names of bins at an axis of a plot; integers have a tick at most each.

    Parameters
    ----------
    axis : matplotlib.axis.Axis
        The axis of the plot.
    bins : hist axis
        That of the histogram.
    """
    from matplotlib.ticker import MaxNLocator

    names = bin_names(bins)
    if names is None:
        if of_integers(bins):
            axis.set_major_locator(MaxNLocator(10, integer=True))
        return
    places, texts = ticks_of(names)
    longest = max((len(text) for text in texts), default=0)
    size = 10 if longest > SHORT or len(texts) > 20 else None
    turned = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
    many = axis.axis_name == "x" and longest * len(texts) > FLAT
    axis.set_ticks(places, texts, **({"fontsize": size} if size else {}), **(turned if many else {}))
    axis.set_tick_params(which="both", top=False) if axis.axis_name == "x" else None


def _draw_simulation(ax: Any, content: PlotContent, bins: Binning, *, named: bool, layout: Layout) -> None:
    import numpy as np

    if not content.simulation:
        return
    listing = layout.drawing.style.data_mc
    total, _ = content.total()
    up, down = content.errors()
    if not named:
        ax.stairs(total * bins.scale, bins.edges, color=COLOURS[0], linewidth=1.6)
        _band(ax, total, up, down, bins, content)
        return
    base = np.zeros_like(bins.scale)
    for layer in content.stack:
        top = base + layer.values * bins.scale
        if listing.histtype_mc == "step":
            ax.stairs(top, bins.edges, color=layer.colour, linewidth=1.8, label=safe_text(layer.label))
        else:
            pattern = {"hatch": layer.hatch, "edgecolor": "white"} if layer.hatch else {}
            ax.stairs(top, bins.edges, baseline=base, fill=True, facecolor=layer.colour, linewidth=0,
                      alpha=layer.style.alpha, label=safe_text(layer.label), **pattern)  # fmt: skip
        base = top
    for number, layer in enumerate(layer for layer in content.simulation if not layer.stacked):
        filled = layer.kind == "signal" and listing.histtype_signal == "fill"
        ax.stairs(layer.values * bins.scale, bins.edges, color=layer.colour, linewidth=2.0, fill=filled,
                  linestyle=("-", "--", "-.", ":")[number % 4], label=safe_text(layer.label))  # fmt: skip
    if content.stack and listing.show_mc_uncertainty:
        _band(ax, total, up, down, bins, content)


def _band(ax: Any, total: Any, up: Any, down: Any, bins: Binning, content: PlotContent) -> None:
    ax.stairs((total + up) * bins.scale, bins.edges, baseline=(total - down) * bins.scale, fill=True, hatch="////",
              facecolor="none", edgecolor=BAND, linewidth=0, gid="band",
              label="Stat. unc." if content.up is None else "Stat. ⊕ syst. unc.")  # fmt: skip


def _draw_data(ax: Any, data: Layer, bins: Binning) -> None:
    down, up = data_errors(data)
    filled = data.variances > 0  # no points for empty bins
    xerr = None
    if (bins.scale != 1).any():  # bins of different widths
        xerr = [(bins.centres - bins.edges[:-1])[filled], (bins.edges[1:] - bins.centres)[filled]]
    ax.errorbar(
        bins.centres[filled],
        (data.values * bins.scale)[filled],
        xerr=xerr,
        yerr=[(down * bins.scale)[filled], (up * bins.scale)[filled]],
        fmt="o",
        color=data.colour,
        markersize=4.6,
        elinewidth=1.2,
        capsize=0,
        zorder=10,
        label=safe_text(data.label),
    )


def _draw_ratio(layout: Layout, number: int, content: PlotContent, bins: Binning) -> None:
    """Draw data over the total, and the uncertainty of the total around 1. Points out of range become arrows."""
    import numpy as np
    from matplotlib.ticker import MaxNLocator

    ax, style = layout.ratio[number], layout.drawing.style
    total, _ = content.total()
    up, down = content.errors()
    data = content.data
    valid = total > 0
    safe = np.where(valid, total, 1.0)
    if style.data_mc.show_mc_uncertainty:
        high, low = (np.where(valid, 1 + side, 1.0) for side in (up / safe, -down / safe))
        ax.stairs(high, bins.edges, baseline=low, fill=True, hatch="////", facecolor="none", edgecolor=BAND,
                  linewidth=0, gid="band")  # fmt: skip
    ax.axhline(1, color="black", linewidth=0.9, linestyle="--")
    if data is not None:
        shown = valid & (data.variances > 0)
        ratio = np.where(shown, data.values / safe, np.nan)
        low, high = data_errors(data)
        ax.errorbar(bins.centres[shown], ratio[shown], yerr=[(low / safe)[shown], (high / safe)[shown]], fmt="o",
                    color=data.colour, markersize=4.2, elinewidth=1.1, zorder=10)  # fmt: skip
        own = style.axes.ratio.limits or style.data_mc.ratio_ylim
        limits = own or ratio_limits(ratio[shown], (low / safe)[shown], (high / safe)[shown])
        ax.set_ylim(*limits)
        for outside, edge, marker in ((ratio > limits[1], limits[1], "^"), (ratio < limits[0], limits[0], "v")):
            if outside.any():
                place = edge + (0.04 if marker == "v" else -0.04) * (limits[1] - limits[0])
                ax.plot(bins.centres[outside], np.full(int(outside.sum()), place), linestyle="", marker=marker,
                        color=data.colour, markersize=5, zorder=11, gid="outside")  # fmt: skip
    ax.set_ylabel(safe_text(style.axes.ratio.label or style.data_mc.ratio_ylabel), loc="center", fontsize=13)
    ax.yaxis.set_major_locator(
        MaxNLocator(4, steps=[1, 2, 5, 10], prune="upper")
    )  # its highest label would meet the lowest one above
    ax.grid(axis="y", color="#cccccc", linewidth=0.5)
    ax.set_axisbelow(True)
