"""Scale of contents and place of the legend: nothing overlaps, and no data point is below a logarithmic axis."""

from __future__ import annotations

import textwrap
from typing import Any

from fasthep_parsl.plan.styles import AxisStyle
from fasthep_parsl.results.plot_binning import Binning, data_errors
from fasthep_parsl.results.plot_contents import PlotContent
from fasthep_parsl.results.plot_layout import Layout
from fasthep_parsl.results.style import power_of_ten

STEEP = 1000.0
"""The y axis is logarithmic if the highest bin exceeds the 10 % quantile of filled bins by this factor."""
LONG, BESIDE = 26, 44
"""Characters of a line in the legend, in the plot and beside it."""
MAX_HEIGHT, MAX_WIDTH = 0.42, 0.94
"""Largest legend in a panel, as a share of it; a larger one is beside it."""
FAR = (5.0, 10.0, 20.0, 50.0, 100.0, 1000.0, 10_000.0)
"""Upper ends of the ratio if most points are above the usual ranges."""
RATIO_RANGES = ((0.8, 1.2), (0.5, 1.5), (0.0, 2.0), (0.0, 3.0))

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 as shares of the panel."""


def add_legend(layout: Layout, ax: Any, content: PlotContent) -> Box | None:
    """Add a legend: data, then the stack from the top, then the band. Return its place in the panel, None if beside it."""
    style = layout.drawing.style
    handles, labels = ax.get_legend_handles_labels()
    if not labels:
        return None
    band = [n for n, handle in enumerate(handles) if getattr(handle, "get_gid", lambda: None)() == "band"]
    data = [len(labels) - 1] if content.data is not None else []
    rest = [n for n in range(len(labels)) if n not in band and n not in data]
    order = [*data, *reversed(rest), *band]
    handles = [handles[n] for n in order]
    labels = [textwrap.fill(labels[n], LONG) if "$" not in labels[n] else labels[n] for n in order]
    threshold = style.data_mc.legend_auto_ncol_threshold
    columns = style.legend.ncol or min(1 + (len(labels) - 1) // threshold, style.data_mc.legend_max_ncol)
    options = {"frameon": style.legend.frameon, "columnspacing": 1.0, "fontsize": style.legend.fontsize or 12}
    if style.legend.loc != "outside":
        for number in range(columns, 0, -1):
            legend = ax.legend(handles, labels, loc=style.legend.loc, ncols=number, **options)
            box = _box(layout, ax, legend)
            if box[2] - box[0] <= MAX_WIDTH and box[3] - box[1] <= MAX_HEIGHT:
                return box
    wide = [textwrap.fill(text.replace("\n", ""), BESIDE) if "$" not in text else text for text in labels]
    for size in (style.legend.fontsize,) if style.legend.fontsize else (12, 9.5, 8, 6.5):
        legend = ax.legend(handles, wide, loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0,
                           **{**options, "fontsize": size})  # fmt: skip
        if _box(layout, ax, legend)[1] > (-0.35 if layout.ratio else 0.0):
            break
    box = _box(layout, ax, legend)
    layout.right += (box[2] - box[0]) * ax.get_position().width * layout.figure.get_figwidth() + 0.12
    layout.place()
    return None


def _box(layout: Layout, ax: Any, legend: Any) -> Box:
    extent = legend.get_window_extent(layout.figure.canvas.get_renderer()).transformed(ax.transAxes.inverted())
    return float(extent.x0), float(extent.y0), float(extent.x1), float(extent.y1)


def scale_y(ax: Any, content: PlotContent, bins: Binning, style: AxisStyle, box: Box | None) -> None:
    """Choose a linear or logarithmic axis, with room for the legend and below the lowest data point.

    Parameters
    ----------
    ax : Axes
        The panel.
    content : PlotContent
        What is drawn.
    bins : Binning
        Its bins.
    style : AxisStyle
        Scale and limits that the user wants.
    box : tuple or None
        Place of the legend in the panel.
    """
    import numpy as np

    total, _ = content.total()
    up, _ = content.errors()
    tops = [
        (total + up) * bins.scale,
        *(layer.values * bins.scale for layer in content.simulation if not layer.stacked),
    ]
    points = np.array([])
    if content.data is not None:
        tops.append((content.data.values + data_errors(content.data)[1]) * bins.scale * (content.data.variances > 0))
        points = (content.data.values * bins.scale)[content.data.values > 0]
    top = np.max(tops, axis=0)
    filled = np.concatenate([(total * bins.scale)[total > 0], points])
    if not len(filled):
        ax.set_ylim(*(style.limits or ((0.1, 10) if style.scale == "log" else (0, 1))))
        if style.scale == "log":
            ax.set_yscale("log")
        return
    steep = filled.max() > STEEP * np.quantile(filled, 0.1)
    if style.scale == "log" or (style.scale == "auto" and steep):
        low = max(float(filled.min()) / 2, float(top.max()) * 1e-7)
        low = min([low, *(points / 2)])  # no data point is below the axis
        ax.set_yscale("log")
        ax.set_ylim(*(style.limits or (low, low * _log_room(top / low, _shares(ax, bins), box))))
        _hidden_points(ax, content, bins)
        return
    below = ((total - content.errors()[1]) * bins.scale)[total < 0]
    lowest = 1.1 * float(below.min()) if len(below) else 0.0
    if lowest:
        ax.axhline(0, color="black", linewidth=0.8)
    ax.set_ylim(*(style.limits or (lowest, _room(top, _shares(ax, bins), box))))
    _hidden_points(ax, content, bins)
    power_of_ten(ax, "y")
    ax.yaxis.get_offset_text().set_x(-0.13)  # left of the title


def _hidden_points(ax: Any, content: PlotContent, bins: Binning) -> None:
    """Mark data points that the limits of the user hide."""
    import numpy as np

    if content.data is None:
        return
    low, high = ax.get_ylim()
    values, filled = content.data.values * bins.scale, content.data.variances > 0
    for outside, place, marker in ((filled & (values < low), 0.02, "v"), (filled & (values > high), 0.98, "^")):
        if outside.any():
            ax.plot(bins.centres[outside], np.full(int(outside.sum()), place), linestyle="", marker=marker,
                    color=content.data.colour, markersize=5, zorder=11, transform=ax.get_xaxis_transform(),
                    gid="outside")  # fmt: skip


def _shares(ax: Any, bins: Binning) -> tuple[Any, Any]:
    """Return the left and the right end of bins as shares of the panel."""
    import numpy as np

    low, high = ax.get_xlim()
    ends, low, high = (np.log(part) if bins.log else part for part in (bins.edges, low, high))
    shares = (ends - low) / (high - low)
    return shares[:-1], shares[1:]


def _under(tops: Any, shares: tuple[Any, Any], box: Box) -> float:
    """Return the highest content below the legend."""
    below = tops[(shares[1] >= box[0]) & (shares[0] <= box[2])]
    return max(float(below.max()), 0.0) if len(below) else 0.0


def _room(tops: Any, shares: tuple[Any, Any], box: Box | None) -> float:
    needed = 1.12 * float(tops.max())
    if box is not None and box[3] > 0.6:
        needed = max(needed, 1.04 * _under(tops, shares, box) / max(box[1] - 0.02, 0.2))
    return needed or 1.0


def _log_room(tops: Any, shares: tuple[Any, Any], box: Box | None) -> float:
    """Return the upper limit over the lower one; `tops` are relative to that."""
    needed = 2.5 * float(tops.max())
    if box is not None and box[3] > 0.6:
        under = max(_under(tops, shares, box), 1.0)
        needed = max(needed, 1.3 * under ** (1 / max(box[1] - 0.02, 0.2)))
    return needed


def ratio_limits(ratio: Any, low: Any, high: Any) -> tuple[float, float]:
    """Return the smallest usual range that holds 90 % of points with their errors, or half of the points if they are far."""
    import numpy as np

    if not len(ratio):
        return RATIO_RANGES[1]
    below, above = float(np.quantile(ratio - low, 0.05)), float(np.quantile(ratio + high, 0.95))
    largest = RATIO_RANGES[-1]
    if float(np.median(ratio)) > largest[1]:
        return 0.0, next((end for end in FAR if end >= np.quantile(ratio, 0.9)), float(ratio.max()))
    return next((limits for limits in RATIO_RANGES if limits[0] <= below and above <= limits[1]), largest)
