"""The figure of a plot, which a notebook shows and which keeps its fonts when it is saved. Imports matplotlib."""

from __future__ import annotations

import io
from typing import Any

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fasthep_parsl.results.style import look


class PlotFigure(Figure):
    """A figure outside pyplot.

    Parameters
    ----------
    experiment : str
        Whose fonts it has.
    **settings
        As of `matplotlib.figure.Figure`.
    """

    def __init__(self, experiment: str = "", **settings: Any) -> None:
        super().__init__(**settings)
        self._look = look(experiment)
        FigureCanvasAgg(self)

    def draw(self, renderer: Any) -> None:
        """Draw with the settings of the plot; those of formulas are read only now."""
        with rc_context(self._look):
            super().draw(renderer)

    def _repr_png_(self) -> bytes:
        """Return the picture for notebooks. They know figures of themselves only after pyplot was imported."""
        content = io.BytesIO()
        self.savefig(content, format="png")
        return content.getvalue()
