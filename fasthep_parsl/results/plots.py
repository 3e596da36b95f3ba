"""Draw histograms with mplhep, without a window system."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fasthep_parsl.atomic import atomic
from fasthep_parsl.interfaces import DatasetInfo
from fasthep_parsl.ops.axes import NOMINAL
from fasthep_parsl.ops.products import Histogram
from fasthep_parsl.results.bins import drawn_edges, open_ended, ticks_of
from fasthep_parsl.results.histograms import categories_of, dataset_axis
from fasthep_parsl.results.plot_layers import COLOURS, Layer, layers
from fasthep_parsl.results.style import STYLE, axis_label, heading, minor_ticks, safe_text, y_label

DPI = 120
MAX_ROWS = 5
"""Entries of a legend with one column."""
STEEP = 1000.0
"""The y axis is logarithmic if the highest bin exceeds the 10 % quantile of filled bins by this factor."""


def warm_up() -> None:
    """Load the fonts, so that the first plot takes no longer than the others."""
    from matplotlib import font_manager, rc_context

    with rc_context(STYLE):
        font_manager.findfont(font_manager.FontProperties())


def draw(histogram: Histogram, path: Path, datasets: Sequence[DatasetInfo], *, title: str = "") -> Path:
    """Draw one histogram to a PNG file.

    Datasets with eventtype ``data`` are summed and drawn as points with error bars. The others are stacked, with one
    colour per ``group`` (or dataset, if it has no group). Without a dataset axis a histogram with one axis is a line.
    Two axes give a colour map, for data and simulation separately. For three axes the projections are drawn. Contents
    of bins with different widths are divided by the width, as the label shows. Of weight variations the nominal one is
    drawn.

    Parameters
    ----------
    histogram : Histogram
        With 1 to 3 axes, without the dataset axis; may be empty.
    path : Path
        The PNG file; written atomically.
    datasets : sequence of DatasetInfo
        Datasets of the run.
    title : str
        Title above the plot.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context(STYLE), atomic(path) as draft, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # a box is drawn instead
        figure = Figure(dpi=DPI)
        FigureCanvasAgg(figure)
        _panels(figure, _nominal(histogram), datasets, title)
        figure.savefig(draft, format="png", dpi=DPI, pil_kwargs={"compress_level": 4})
    return path


def _nominal(histogram: Histogram) -> Histogram:
    """Return `histogram` at the variation ``nominal``, without axes of variations."""
    hist = histogram.hist
    for position in reversed(range(hist.ndim)):
        categories = categories_of(hist.axes[position]) or []
        if NOMINAL in categories and hist.ndim > 1:
            hist = hist[{position: categories.index(NOMINAL)}]
    return replace(histogram, hist=hist)


def _panels(figure: Any, histogram: Histogram, datasets: Sequence[DatasetInfo], title: str) -> None:
    position = dataset_axis(histogram.hist, datasets)
    others = [number for number in range(histogram.hist.ndim) if number != position]
    if len(others) == 2:
        from fasthep_parsl.results.maps import draw_maps

        draw_maps(figure, histogram, (position, others), datasets, title)
        return
    shown = others or [0]  # only a dataset axis
    figure.set_size_inches(6.4 * len(shown), 5.2)
    figure.subplots_adjust(left=0.13 / len(shown), right=1 - 0.04 / len(shown), bottom=0.13, top=0.92, wspace=0.25)
    for number, axis in enumerate(shown, start=1):
        ax = figure.add_subplot(1, len(shown), number)
        _draw_1d(ax, histogram, axis, position if others else None, datasets)
        if number == 1:
            heading(ax, title)


def _draw_1d(ax: Any, histogram: Histogram, shown: int, position: int | None, datasets: Sequence[DatasetInfo]) -> None:
    import numpy as np

    axis = histogram.hist.axes[shown]
    categories = categories_of(axis)
    edges = drawn_edges(axis)
    widths = np.diff(edges)
    uniform = categories is not None or open_ended(axis) or bool(np.allclose(widths, widths[:1]))
    data, simulation = layers(histogram.hist, [shown], position, datasets)
    scale = np.ones_like(widths) if uniform else 1.0 / widths
    _draw_simulation(ax, simulation, edges, scale, filled=position is not None)
    if data is not None:
        _draw_data(ax, data, edges, scale)
    ax.set_xlim(edges[0], edges[-1])
    entries = len(simulation) + 2 if position is not None else 0
    _scale_y(ax, data, simulation, scale, entries)
    ax.set_xlabel(axis_label(axis), loc="right")
    ax.set_ylabel(y_label(axis, None if categories is not None else widths, uniform), loc="top")
    if categories is not None:
        ax.set_xticks(*ticks_of(categories))
    minor_ticks(ax, x=categories is None)
    if position is not None:
        handles, labels = ax.get_legend_handles_labels()
        order = sorted(range(len(labels)), key=lambda number: labels[number] != "Data")
        ax.legend(
            [handles[number] for number in order],
            [labels[number] for number in order],
            loc="upper right",
            ncols=1 + (len(labels) > MAX_ROWS),
            columnspacing=1.0,
        )
    _note(ax, histogram, data, simulation)


def _draw_simulation(ax: Any, simulation: list[Layer], edges: Any, scale: Any, *, filled: bool) -> None:
    import mplhep
    import numpy as np

    if not simulation:
        return
    total = np.sum([layer.values for layer in simulation], axis=0) * scale
    error = np.sqrt(np.sum([layer.variances for layer in simulation], axis=0)) * scale
    if not filled:
        mplhep.histplot(total, edges, ax=ax, flow="none", yerr=error, color=COLOURS[0], linewidth=1.5)
        return
    mplhep.histplot(
        [layer.values * scale for layer in simulation],
        edges,
        ax=ax,
        stack=True,
        flow="none",
        histtype="fill",
        color=[layer.colour for layer in simulation],
        label=[safe_text(layer.label) for layer in simulation],
    )
    ax.stairs(total + error, edges, baseline=total - error, fill=True, hatch="////", facecolor="none",
              edgecolor="#444444", linewidth=0, label="Stat. uncertainty")  # fmt: skip


def _draw_data(ax: Any, data: Layer, edges: Any, scale: Any) -> None:
    import mplhep
    import numpy as np

    values, error = data.values * scale, np.sqrt(data.variances) * scale
    values = np.where(data.variances > 0, values, np.nan)  # no points for empty bins
    mplhep.histplot(values, edges, ax=ax, flow="none", histtype="errorbar", yerr=error, color="black",
                    label="Data", markersize=7, elinewidth=1.2)  # fmt: skip


def _scale_y(ax: Any, data: Layer | None, simulation: list[Layer], scale: Any, entries: int) -> None:
    """Choose a logarithmic axis for steep spectra, and leave space for a legend with `entries` entries."""
    import numpy as np

    stacked = np.sum([layer.values for layer in simulation], axis=0) * scale if simulation else np.zeros_like(scale)
    tops = np.maximum(stacked, 0 if data is None else (data.values + np.sqrt(data.variances)) * scale)
    positive = tops[tops > 0]
    if not len(positive):
        ax.set_ylim(0, 1)
        return
    highest = float(positive.max())
    columns = 1 + (entries > MAX_ROWS)
    legend = 0.04 + 0.062 * -(-entries // columns)  # share of the height
    right = max(float(tops[int(len(tops) * (0.6 if columns == 1 else 0.3)) :].max()), 0.0)
    if highest > STEEP * float(np.quantile(positive, 0.1)):
        low = max(float(positive.min()) / 2, highest * 1e-7)
        needed = (max(right, low) / low) ** (1 / (1 - legend))
        ax.set_yscale("log")
        ax.set_ylim(low, low * max(2.5 * highest / low, 1.5 * needed))
        return
    lowest = min(0.0, float(stacked.min()) * 1.1)
    ax.set_ylim(lowest, max(1.12 * highest, 1.05 * right / (1 - legend)))
    if highest >= 1e4:
        ax.ticklabel_format(axis="y", style="sci", scilimits=(0, 0), useMathText=True)
        ax.yaxis.get_offset_text().set_x(-0.13)  # left of the title


def _note(ax: Any, histogram: Histogram, data: Layer | None, simulation: list[Layer]) -> None:
    """Print the numbers of events that are not in the bins."""
    parts = []
    every = [*simulation, *((data,) if data is not None else ())]
    under, over = (math.fsum(getattr(layer, side) for layer in every) for side in ("under", "over"))
    for name, count in (("underflow", under), ("overflow", over), ("none", histogram.none), ("NaN", histogram.nan)):
        if count:
            parts.append(f"{name} {count:,.5g}")
    if parts:
        ax.text(1.0, 1.01, "   ".join(parts), transform=ax.transAxes, ha="right", va="bottom", fontsize=9, color="#555")
