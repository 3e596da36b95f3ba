"""Bins of an axis as a plot draws them, and the errors of data in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fasthep_parsl.plan.styles import AxisStyle
from fasthep_parsl.results.bins import bin_names, drawn_edges, of_integers, open_ended
from fasthep_parsl.results.intervals import garwood
from fasthep_parsl.results.plot_layers import Layer
from fasthep_parsl.results.style import y_label


@dataclass(frozen=True)
class Binning:
    """Bins of a panel.

    Attributes
    ----------
    edges : array of float64, shape (bins + 1,)
        As drawn.
    scale : array of float64, shape (bins,)
        Factor of contents: 1, or 1 / width if widths differ.
    word : str
        What a bin holds, such as ``Events / 2 GeV``.
    categories : list or None
        Names of bins.
    integers : bool
        Whether bins are integers.
    log : bool
        Whether the axis is logarithmic.
    """

    edges: Any
    scale: Any
    word: str
    categories: list[Any] | None = None
    integers: bool = False
    log: bool = False

    @property
    def centres(self) -> Any:
        """Centres of bins, as they are drawn."""
        import numpy as np

        first, last = self.edges[:-1], self.edges[1:]
        return np.sqrt(first * last) if self.log else (first + last) / 2

    def limits(self, style: AxisStyle) -> tuple[float, float]:
        """Return the ends of the axis. Those that a style gives for integers are edges of the histogram."""
        if style.limits is None:
            return float(self.edges[0]), float(self.edges[-1])
        low, high = (value - 0.5 if self.integers and value == int(value) else value for value in style.limits)
        return low, high


def binning(axis: Any, style: AxisStyle) -> Binning:
    """Return the bins of a histogram axis as they are drawn.

    Parameters
    ----------
    axis : hist axis
        The axis.
    style : AxisStyle
        Its style. The axis is also logarithmic if its bins are equal in the logarithm.
    """
    import numpy as np

    edges, categories = drawn_edges(axis), bin_names(axis)
    widths = np.diff(edges)
    if categories is not None or of_integers(axis):
        return Binning(edges, np.ones_like(widths), "Events", categories, of_integers(axis))
    equal, endless = bool(np.allclose(widths, widths[:1])), open_ended(axis)
    one = equal or endless
    word = "Events / bin" if endless else y_label(axis, widths, equal)
    log = style.scale == "log" or (style.scale == "auto" and str(getattr(axis, "transform", None)) == "log")
    log = log and len(edges) > 2 and bool(edges[1] > 0)
    if log and edges[0] <= 0:
        edges[0] = edges[1] ** 2 / edges[2]
    return Binning(edges, np.ones_like(widths) if one else 1.0 / widths, word, log=log)


def data_errors(layer: Layer) -> tuple[Any, Any]:
    """Return the errors of data, down and up: Garwood's for counts, the root of the sum of squares for weights."""
    import numpy as np

    root = np.sqrt(np.maximum(layer.variances, 0))
    if not np.array_equal(layer.values, layer.variances) or (layer.values < 0).any():
        return root, root
    low, high = garwood(layer.values)
    return layer.values - low, high - layer.values
