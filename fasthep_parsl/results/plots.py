"""Draw histograms without a window system: one picture per histogram and region."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fasthep_parsl.atomic import atomic
from fasthep_parsl.ops.products import Cutflow, Histogram
from fasthep_parsl.plan.styles import PictureFormat
from fasthep_parsl.results.histograms import dataset_axis
from fasthep_parsl.results.plot_contents import contents, variation_axis
from fasthep_parsl.results.plot_layout import Layout
from fasthep_parsl.results.plot_recipe import Drawing
from fasthep_parsl.results.result_plots import ResultPlot
from fasthep_parsl.results.style import STYLE, look

_METADATA: dict[PictureFormat, dict[str, Any]] = {
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
    "png": {},
}
"""No time of drawing in files: the same results are the same file."""


def warm_up() -> None:
    """Load the fonts, so that the first plot takes no longer than the others."""
    import mplhep  # noqa: F401  (it registers its fonts)
    from matplotlib import font_manager, rc_context

    with rc_context(STYLE):
        font_manager.findfont(font_manager.FontProperties())


def draw(
    histogram: Histogram,
    path: Path,
    drawing: Drawing,
    *,
    formats: Sequence[PictureFormat] = ("png",),
) -> list[Path]:
    """Draw one histogram to files.

    Data are summed and drawn as points with the errors of Garwood. Simulation is stacked, with one colour per ``group``
    (or dataset, if it has no group), and a band of its statistical uncertainty and of systematic variations, in
    quadrature. Their ratio is below. Without a dataset axis a histogram with one axis is a line with a band. Two axes
    give colour maps of data and simulation with one scale. For three axes the projections are drawn. Contents of bins
    with different widths are divided by the width, as the label shows.

    Parameters
    ----------
    histogram : Histogram
        With 1 to 3 axes, without the axes of datasets, regions and variations; may be empty.
    path : Path
        The file without suffix; files are written atomically.
    drawing : Drawing
        Datasets, variations and style.
    formats : sequence of str
        ``png``, ``pdf``, ``svg``.
    """
    return _drawn(path, formats, drawing, lambda figure: _panels(figure, histogram, drawing))


def draw_cutflow(
    cutflow: Cutflow, path: Path, drawing: Drawing, *, title: str = "", formats: Sequence[PictureFormat] = ("png",)
) -> list[Path]:
    """Draw the cumulative efficiencies of a cutflow; parameters as in `draw`."""
    from fasthep_parsl.results.plot_cutflows import draw_efficiencies

    return _drawn(path, formats, drawing, lambda figure: draw_efficiencies(figure, cutflow, drawing, title))


def draw_files(plot: ResultPlot, path: Path) -> list[Path]:
    """Draw a plot of a run to files; parameters and result as of `draw`."""
    if isinstance(plot.result, Cutflow):
        return draw_cutflow(plot.result, path, plot.drawing, title=plot.key[0], formats=plot.formats)
    return draw(plot.result, path, plot.drawing, formats=plot.formats)


def draw_figure(plot: ResultPlot) -> Any:
    """Return a plot of a run as a figure of matplotlib."""
    from fasthep_parsl.results.plot_cutflows import draw_efficiencies

    with _looking(plot.drawing):
        if isinstance(plot.result, Histogram):
            return figure_of(plot.result, plot.drawing)
        figure = _figure(plot.drawing)
        draw_efficiencies(figure, plot.result, plot.drawing, plot.key[0])
        return figure


def figure_of(histogram: Histogram, drawing: Drawing) -> Any:
    """Return the figure of a histogram; call it within ``rc_context(look(…))``."""
    figure = _figure(drawing)
    _panels(figure, histogram, drawing)
    return figure


def _figure(drawing: Drawing) -> Any:
    import mplhep  # noqa: F401  (it registers its fonts)

    from fasthep_parsl.results.plot_figure import PlotFigure

    return PlotFigure(drawing.style.style.experiment, dpi=drawing.style.figure.dpi)


@contextmanager
def _looking(drawing: Drawing) -> Iterator[None]:
    """Use the fonts and ticks of a plot. A box is drawn for a glyph that no font has."""
    from matplotlib import rc_context

    with rc_context(look(drawing.style.style.experiment)), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        yield


def _drawn(path: Path, formats: Sequence[PictureFormat], drawing: Drawing, fill: Callable[[Any], None]) -> list[Path]:
    written = []
    with _looking(drawing):
        figure = _figure(drawing)
        fill(figure)
        for kind in formats:
            target = path.with_name(f"{path.name}.{kind}")
            options = {"pil_kwargs": {"compress_level": 4}} if kind == "png" else {}
            with atomic(target) as draft:
                figure.savefig(draft, format=kind, dpi=drawing.style.figure.dpi, metadata=_METADATA[kind], **options)
                if kind == "svg":
                    _name_other_fonts(draft)
            written.append(target)
    return written


def _name_other_fonts(path: Path) -> None:
    """Name fonts of formulas that other machines have, as matplotlib does for other text."""
    text = path.read_text(encoding="utf-8")
    for font, others in (("Heros", "Helvetica, Arial, sans-serif"), ("Termes", "'Times New Roman', serif")):
        text = text.replace(f"'TeX Gyre {font}'\"", f"'TeX Gyre {font}', {others}\"")
    path.write_text(text, encoding="utf-8")


def _panels(figure: Any, histogram: Histogram, drawing: Drawing) -> None:
    from fasthep_parsl.results.plot_panels import draw_panel

    position = dataset_axis(histogram.hist, drawing.recipe.datasets)
    outer = {position, variation_axis(histogram, position)}
    others = [number for number in range(histogram.hist.ndim) if number not in outer]
    if len(others) == 2:
        from fasthep_parsl.results.maps import draw_maps

        draw_maps(figure, histogram, (position, others), drawing)
        return
    if not others:  # only a dataset axis
        others, position = [0], None
    found = [contents(histogram, [axis], position, drawing) for axis in others]
    ratio = drawing.style.data_mc.ratio and all(content.data is not None and content.stack for content in found)
    layout = Layout(figure, drawing, histogram.title, panels=len(others), ratio=ratio)
    for number, (axis, content) in enumerate(zip(others, found, strict=True)):
        draw_panel(layout, number, histogram.hist.axes[axis], content, legend=position is not None)
    layout.finish(histogram, found)
