"""Draw cutflows: the share of events that is left after each cut."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from fasthep_parsl.ops.products import Cutflow, CutflowRow
from fasthep_parsl.plan.styles import DatasetStyle
from fasthep_parsl.results.cut_efficiencies import Efficiency, efficiencies
from fasthep_parsl.results.plot_layers import COLOURS, DATA
from fasthep_parsl.results.plot_layout import Layout
from fasthep_parsl.results.plot_recipe import Drawing
from fasthep_parsl.results.style import safe_text

MARKERS = "sD^v<>PX*h"
LABEL = 34
"""Characters of a line of a cut."""
HEIGHT, ROOM, LINE = 3.4, 5.6, 0.26
"""Sizes, inches: of the panel, and of a line of a turned label along the axis."""


def draw_efficiencies(figure: Any, cutflow: Cutflow, drawing: Drawing, title: str) -> None:
    """Draw the cumulative efficiency after each cut, one line for each dataset or group.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        An empty figure.
    cutflow : Cutflow
        The cutflow.
    drawing : Drawing
        Datasets and style.
    title : str
        Title above the plot.
    """
    found = efficiencies(cutflow, drawing)
    rows = next(iter(cutflow.rows.values()), ())
    layout = Layout(figure, drawing, title, height=HEIGHT)
    ax = layout.main[0]
    parts = _selections(rows)
    number = 0
    for key, values in found.items():
        data = key == DATA
        own = drawing.style.style.datasets.get(key, DatasetStyle())
        colour = own.color or ("black" if data else COLOURS[number % len(COLOURS)])
        marker = "o" if data else MARKERS[number % len(MARKERS)]
        line = "-" if data else ("-", "--", ":")[number // len(COLOURS) % 3]
        _draw_line(ax, values, parts, fmt=marker + line, color=colour, linewidth=1.2, markersize=5,
                   zorder=5 if data else 2, label=safe_text(own.label or key))  # fmt: skip
        number += not data
    _scale(ax, [value for values in found.values() for value in values])
    _name_cuts(ax, rows)
    _name_selections(ax, parts)
    ax.set_ylabel("Weighted events after cut / all" if cutflow.weighted else "Events after cut / all", loc="top")
    ax.grid(axis="y", color="#dddddd", linewidth=0.6)
    layout.fit()
    if found:
        legend = ax.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0), borderaxespad=0.0, fontsize=11)
        layout.right = legend.get_window_extent(figure.canvas.get_renderer()).width / figure.dpi + 0.15
        layout.place()
    layout.labels(data=DATA in found)


def _selections(rows: Sequence[CutflowRow]) -> list[tuple[str, int, int]]:
    """Return name, first and last place of each selection: each one begins with all events."""
    named = groupby(enumerate(rows), key=lambda pair: pair[1].selection)
    places = [(name, [place for place, _ in members]) for name, members in named]
    return [(name, at[0], at[-1]) for name, at in places]


def _draw_line(ax: Any, values: Sequence[Efficiency], parts: Sequence[tuple[str, int, int]], **look: Any) -> None:
    """Draw efficiencies with their errors; the line does not connect selections."""
    for _, first, last in parts:
        shown = values[first : last + 1]
        centre = [one.value for one in shown]
        errors = [[one.value - one.low for one in shown], [one.high - one.value for one in shown]]
        ax.errorbar(range(first, last + 1), centre, yerr=errors, elinewidth=1.2, capsize=2, **look)
        look["label"] = None


def _scale(ax: Any, shown: Sequence[Efficiency]) -> None:
    positive = [one.value for one in shown if one.value > 0]
    if positive and max(positive) > 100 * min(positive):
        ax.set_yscale("log")
        ax.set_ylim(min(positive) / 2, 2 * max(1.0, *positive))
        return
    ends = [end for one in shown for end in (one.value, one.low, one.high) if math.isfinite(end)]
    ax.set_ylim(min([0.0, *ends]), 1.08 * max([1.0, *ends]))


def _name_cuts(ax: Any, rows: Sequence[CutflowRow]) -> None:
    lines = max(int(ROOM / max(len(rows), 1) / LINE), 1)
    texts = [_in_lines(row.label, min(lines, 3)) for row in rows]
    ax.set_xticks(range(len(rows)), texts, rotation=35, ha="right", rotation_mode="anchor",
                  fontsize=10 if len(rows) < 20 else 7)  # fmt: skip
    ax.tick_params(axis="x", which="both", top=False)
    ax.set_xlim(-0.4, max(len(rows) - 0.6, 0.4))


def _in_lines(text: str, lines: int) -> str:
    """Return a cut in at most some lines, with an ellipsis where something is missing."""
    found = textwrap.wrap(text, LABEL)
    if len(found) > lines:
        found = [*found[: lines - 1], found[lines - 1][: LABEL - 2] + " …"]
    return safe_text("\n".join(found))


def _name_selections(ax: Any, parts: Sequence[tuple[str, int, int]]) -> None:
    """Write the names of selections, if there are several, with a line between them."""
    for name, first, last in parts if len(parts) > 1 else ():
        ax.text((first + last) / 2, 0.98, safe_text(name), transform=ax.get_xaxis_transform(), ha="center", va="top",
                fontsize=11, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5})  # fmt: skip
        if first:
            ax.axvline(first - 0.5, color="#888888", linewidth=0.8)
