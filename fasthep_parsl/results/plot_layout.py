"""Layout of a picture: panels in inches, labels above them, small print below."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from fasthep_parsl.ops.products import Histogram
from fasthep_parsl.results.axis_ranges import empty_axes, filled
from fasthep_parsl.results.bins import open_ended
from fasthep_parsl.results.plot_contents import PlotContent
from fasthep_parsl.results.plot_layers import Layer
from fasthep_parsl.results.plot_recipe import Drawing
from fasthep_parsl.results.plot_texts import fit_text, length_of
from fasthep_parsl.results.style import safe_text

WIDTH, MAIN, RATIO, GAP = 6.8, 4.3, 1.35, 0.09
LEFT, RIGHT, BOTTOM, TOP, LINE = 0.95, 0.24, 0.62, 0.38, 0.17
"""Sizes, inches."""
SMALL = 8.5
MAX_NAMED = 6
"""Datasets that the small print names one by one."""
EXTENT = 0.24
"""Height of the line that says that the results are not of all events, inches."""
MAX_LINES = 4
GREY, RED = "#555555", "#b00020"
EDGE = 0.05
"""Between a text and the end of the picture, inches."""


class Layout:
    """The panels of a picture.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        An empty figure.
    drawing : Drawing
        Style and labels.
    title : str
        Title of the histogram.
    panels : int
        Panels side by side.
    ratio : bool
        Whether there is a ratio below each panel.
    height : float
        Height of the panel, inches.

    Attributes
    ----------
    main, ratio : list of Axes
        Panels, and ratios below them.
    """

    def __init__(self, figure: Any, drawing: Drawing, title: str, *, panels: int = 1, ratio: bool = False,
                 height: float = MAIN) -> None:  # fmt: skip
        self.figure, self.drawing = figure, drawing
        self.title = "   ".join(filter(None, (title, drawing.region)))
        self._panels, self._has_ratio, self._height = panels, ratio, height
        self.right = 0.0
        self.lines = 0
        self.left, self.side, self.bottom = LEFT, RIGHT, BOTTOM
        self.main = [figure.add_axes((0.1, 0.5, 0.8, 0.4)) for _ in range(panels)]
        self.ratio = [figure.add_axes((0.1, 0.1, 0.8, 0.2), sharex=ax) for ax in self.main] if ratio else []
        for ax in self.main if ratio else ():
            ax.tick_params(labelbottom=False)
        self.place()

    @property
    def lowest(self) -> list[Any]:
        """The panels with the label of x."""
        return self.ratio or self.main

    def place(self) -> None:
        """Place the panels: the figure is as large as they, their labels, the legend beside and the small print need."""
        size = self.drawing.style.figure.size
        top = TOP + (0.3 if self._two_lines else 0) + (EXTENT if self.drawing.recipe.extent else 0)
        below = self.bottom + LINE * self.lines
        extra = (RATIO + GAP) if self._has_ratio else 0.0
        wider = self.left - LEFT + self.side - RIGHT
        width = (WIDTH + wider) * self._panels + self.right if size is None else size[0]
        height = below + self._height + extra + top if size is None else size[1]
        each = (width - self.right) / self._panels
        inner = height - below - top
        share = inner * RATIO / (RATIO + self._height) if self._has_ratio else 0.0
        self.figure.set_size_inches(width, height)
        for number, ax in enumerate(self.main):
            x, w = (each * number + self.left) / width, (each - self.left - self.side) / width
            low = below + (share + GAP if self._has_ratio else 0.0)
            ax.set_position((x, low / height, w, (below + inner - low) / height))
            if self._has_ratio:
                self.ratio[number].set_position((x, below / height, w, share / height))

    @property
    def _two_lines(self) -> bool:
        return bool(self.title) and self.drawing.style.style.experiment != "plain"

    def fit(self) -> None:
        """Make room for labels of axes and bins that are longer than usual."""
        renderer, dpi = self.figure.canvas.get_renderer(), self.figure.dpi
        for ax in (*self.main, *self.ratio):
            fit_text(ax.yaxis.label, 1.02 * ax.bbox.height, upright=True)
            box = ax.yaxis.get_tightbbox(renderer)
            if box is not None:
                self.left = max(self.left, (ax.bbox.x0 - box.x0) / dpi + EDGE)
        for ax in self.lowest:
            box = ax.xaxis.get_tightbbox(renderer)
            power = bool(ax.xaxis.get_offset_text().get_text())  # it is at the right end
            share = 0.9 if power else 1.0
            ax.xaxis.label.set_x(share)
            fit_text(ax.xaxis.label, share * ax.bbox.width + 0.6 * LEFT * dpi, lines=True)
            box = ax.xaxis.get_tightbbox(renderer)
            if box is not None:
                self.left = max(self.left, (ax.bbox.x0 - box.x0) / dpi + EDGE)
                self.side = max(self.side, (box.x1 - ax.bbox.x1) / dpi + EDGE)
                self.bottom = max(self.bottom, (ax.bbox.y0 - box.y0) / dpi + EDGE)
        self.place()

    def finish(self, histogram: Histogram, found: Sequence[PlotContent]) -> None:
        """Add labels above, and the entries that are not in bins below."""
        self.fit()
        lines = list(small_print(histogram, found))
        shown = [part for line in lines for part in textwrap.wrap(line, 105 * self._panels, subsequent_indent="    ")]
        if len(shown) > MAX_LINES:
            shown = [*shown[: MAX_LINES - 1], "… all numbers are in results/"]
        self.lines = len(shown)
        self.place()
        height = self.figure.get_figheight()
        for number, line in enumerate(reversed(shown)):
            self.figure.text(0.012, (0.06 + LINE * number) / height, safe_text(line), fontsize=SMALL, color=GREY)
        self.labels(data=any(content.data is not None for content in found))
        loud = list(empty_axes(histogram)) or ([] if filled(histogram) else ["no entries"])
        if loud:
            text = "\n".join(textwrap.fill(safe_text(line), 44) for line in loud)
            self.main[0].text(0.5, 0.5, text, transform=self.main[0].transAxes, ha="center", va="center", fontsize=13,
                              color=RED, fontweight="bold", zorder=20,
                              bbox={"facecolor": "white", "edgecolor": RED, "pad": 6})  # fmt: skip

    def labels(self, *, data: bool) -> None:
        """Write the experiment, the title and the luminosity above the first panel."""
        from mplhep import label

        look, ax = self.drawing.style.style, self.main[0]
        room = self.main[-1].bbox.x1 - ax.bbox.x0
        right = self.main[-1].set_title(safe_text(self._right_text()), loc="right", fontsize=13)
        fit_text(right, 0.6 * room)
        free = room - length_of(right) - 0.15 * self.figure.dpi
        if look.experiment == "plain":
            parts = " ".join(filter(None, (self.title, look.label)))
            fit_text(ax.set_title(safe_text(parts), loc="left", fontsize=14, fontweight="bold"), free)
        else:
            suffix = " ".join(filter(None, ("" if data else "Simulation", look.label)))
            slanted = "italic" if look.experiment == "ATLAS" else "normal"
            name, behind, *_ = label.exp_text(
                look.experiment, safe_text(suffix), loc=0, ax=ax, fontsize=(17, 14, 12, 12),
                fontstyle=(slanted, "italic", "normal", "normal"), scilocator_adjust=False,
            )  # fmt: skip
            fit_text(behind, free - length_of(name) - 0.08 * self.figure.dpi)
        if self._two_lines:
            height = self.figure.get_figheight()
            at = ax.get_position()
            fit_text(self.figure.text(at.x0, at.y1 + 0.36 / height, safe_text(self.title), fontsize=12), room)
        if self.drawing.recipe.extent:
            height, at = self.figure.get_figheight(), ax.get_position()
            above = 0.36 + (0.3 if self._two_lines else 0)
            self.figure.text(at.x0, at.y1 + above / height, self.drawing.recipe.extent, fontsize=11, color=RED,
                             fontweight="bold")  # fmt: skip

    def _right_text(self) -> str:
        """Return year, luminosity and energy: ``2018, 36.3 fb⁻¹ (13 TeV)``."""
        look = self.drawing.style.style
        lumi = look.lumi
        if lumi is None and self.drawing.normalised and self.drawing.recipe.luminosity is not None:
            lumi = self.drawing.recipe.luminosity / 1000
        text = lumi_text(lumi) if isinstance(lumi, float | int) else lumi or ""
        energy = f"({look.com:g} TeV)" if isinstance(look.com, float | int) else f"({look.com})" if look.com else ""
        year = f"{look.year:g}" if isinstance(look.year, float | int) else look.year or ""
        return " ".join(filter(None, (", ".join(filter(None, (year, text))), energy)))


def lumi_text(lumi: float) -> str:
    """Return a luminosity in 1/fb as text, below 0.1 in 1/pb."""
    if lumi < 0.1:
        return rf"{lumi * 1000:.3g} pb$^{{-1}}$"
    return rf"{lumi:.0f} fb$^{{-1}}$" if lumi >= 100 else rf"{lumi:.3g} fb$^{{-1}}$"


def small_print(histogram: Histogram, found: Sequence[PlotContent]) -> Iterator[str]:
    """Yield the entries that are not in bins: of data and of each dataset, never added, and those without a value."""
    for content in found:
        layers = [*([content.data] if content.data is not None else []), *reversed(content.simulation)]
        axis = f"{content.axes[0].name}: " if len(found) > 1 and content.axes else ""
        words = {"over": "outside of the axes"} if len(content.axes) > 1 else {"under": "underflow", "over": "overflow"}
        for side, word in words.items():
            parts = _named(layers, side)
            if parts:
                yield f"{axis}{word}: {'; '.join(parts)}"
        if len(content.axes) == 1 and open_ended(content.axes[0]):
            yield f"{axis}the first or last bin has no end"
    counts = (("missing values", histogram.none), ("NaN (value or weight)", histogram.nan))
    rest = "; ".join(f"{name}: {count:,}" for name, count in counts if count)
    if rest:
        yield rest


def _named(layers: Sequence[Layer], side: str) -> list[str]:
    """Return the flow of each layer; of many layers, those with the largest one."""
    flows = [(layer, getattr(layer, side)) for layer in layers if getattr(layer, side)]
    shown = sorted(flows, key=lambda pair: (pair[0].kind != "data", -abs(pair[1])))[: MAX_NAMED + 1]
    named = [
        f"{layer.label} {_number(value)}".strip() for layer, value in flows if any(layer is one for one, _ in shown)
    ]
    return [*named, f"{len(flows) - len(shown)} more with less"] if len(flows) > len(shown) else named


def _number(value: float) -> str:
    """Return a content as text: numbers of events are whole."""
    return f"{value:,.0f}" if 1e3 <= abs(value) < 1e9 or value == int(value) else f"{value:.4g}"
