"""Draw cutflows: the share of events that is left after each cut."""

from __future__ import annotations

import textwrap
from typing import Any

from fasthep_parsl.interfaces import DatasetInfo
from fasthep_parsl.ops.products import Cutflow, CutflowRow
from fasthep_parsl.plan.styles import DatasetStyle
from fasthep_parsl.results.plot_layers import COLOURS, key_kind
from fasthep_parsl.results.plot_layout import Layout
from fasthep_parsl.results.plot_recipe import Drawing
from fasthep_parsl.results.style import safe_text

MARKERS = "osD^v<>PX*"
LABEL = 30
"""Characters of a line of a cut."""
HEIGHT = 3.4


def efficiencies(cutflow: Cutflow, drawing: Drawing) -> dict[str, list[float]]:
    """Return dataset or group → share of its events after each cut, of those before the first cut of the selection.

    Sums of weights are used if events are weighted, else numbers of events. It is NaN where nothing came in.
    """
    infos = {info.name: info for info in drawing.recipe.datasets}
    passed: dict[str, list[float]] = {}
    started: dict[str, list[float]] = {}
    for dataset, rows in cutflow.rows.items():
        key, kind = key_kind(infos.get(dataset, DatasetInfo(dataset)), drawing.style)
        if not kind:
            continue
        out, first = [], []
        before: dict[str, float] = {}
        for row in rows:
            start, left = _numbers(row, weighted=cutflow.weighted)
            out.append(left)
            first.append(before.setdefault(row.selection, start))
        known = passed.get(key)
        passed[key] = out if known is None else [a + b for a, b in zip(known, out, strict=True)]
        started[key] = first if known is None else [a + b for a, b in zip(started[key], first, strict=True)]
    return {
        key: [part / whole if whole else float("nan") for part, whole in zip(passed[key], started[key], strict=True)]
        for key in passed
    }


def _numbers(row: CutflowRow, *, weighted: bool) -> tuple[float, float]:
    return (row.sumw_in, row.sumw_out) if weighted else (float(row.n_in), float(row.n_out))


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
    import numpy as np

    found = efficiencies(cutflow, drawing)
    rows = next(iter(cutflow.rows.values()), ())
    layout = Layout(figure, drawing, title, height=HEIGHT)
    ax = layout.main[0]
    places = np.arange(len(rows))
    drawn = []
    number = 0
    for key, values in found.items():
        data = key == "Data"
        own = drawing.style.style.datasets.get(key, DatasetStyle())
        colour = own.color or ("black" if data else COLOURS[number % len(COLOURS)])
        ax.plot(places, values, marker=MARKERS[number % len(MARKERS)], color=colour, linewidth=1.2, markersize=5.5,
                linestyle=("-", "--", ":")[number // len(COLOURS) % 3] if not data else "-",
                zorder=5 if data else 2,
            label=safe_text(own.label or key))  # fmt: skip
        number += not data
        drawn += [value for value in values if value > 0]
    if drawn and max(drawn) > 100 * min(drawn):
        ax.set_yscale("log")
        ax.set_ylim(min(drawn) / 2, 2)
    else:
        ax.set_ylim(0, 1.08)
    texts = [safe_text("\n".join(textwrap.wrap(row.label, LABEL)[:3])) for row in rows]
    ax.set_xticks(places, texts, rotation=35, ha="right", rotation_mode="anchor", fontsize=10)
    ax.tick_params(axis="x", which="both", top=False)
    ax.set_xlim(-0.4, max(len(rows) - 0.6, 0.4))
    ax.set_ylabel("Weighted events after cut / all" if cutflow.weighted else "Events after cut / all", loc="top")
    ax.grid(axis="y", color="#dddddd", linewidth=0.6)
    longest = max((len(row.label[:LABEL]) for row in rows), default=0)
    layout.bottom = 0.35 + 0.05 * longest
    layout.place()
    if found:
        legend = ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0, fontsize=11)
        extent = legend.get_window_extent(figure.canvas.get_renderer())
        layout.right = extent.width / figure.dpi + 0.15
        layout.place()
    layout.labels(data="Data" in found)
