"""Edges and tick labels of the bins of an axis in a plot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fasthep_parsl.results.histograms import categories_of
from fasthep_parsl.results.style import safe_text

MAX_TICKS = 40
"""Labelled categories: thousands of labels take a minute to draw and cannot be read."""


def bin_names(axis: Any) -> list[Any] | None:
    """Return the names of the bins of `axis`: its categories, or False and True. None for an axis of numbers."""
    return ["False", "True"] if type(axis).__name__ == "Boolean" else categories_of(axis)


def of_integers(axis: Any) -> bool:
    """Return whether each bin of `axis` is an integer."""
    return type(axis).__name__ == "Integer"


def open_ended(axis: Any) -> bool:
    """Return whether the first or the last bin extends to infinity."""
    import numpy as np

    return categories_of(axis) is None and not np.isfinite(np.asarray(axis.edges, dtype=np.float64)).all()


def drawn_edges(axis: Any) -> Any:
    """Return the edges of the bins of `axis` in a plot, float64, shape (bins + 1,).

    Categories have width one and are centred at integers, as bins of integers are. An infinite bin is as wide as its
    neighbour.
    """
    import numpy as np

    if bin_names(axis) is not None:
        return np.arange(len(axis) + 1.0) - 0.5
    edges = np.array(axis.edges, dtype=np.float64) - (0.5 if of_integers(axis) else 0.0)
    finite = np.flatnonzero(np.isfinite(edges))
    if not len(finite):
        return np.array([-1.0, 1.0])
    first, last = finite[0], finite[-1]
    edges[:first] = edges[first] - (edges[first + 1] - edges[first] if last > first else 1.0)
    edges[last + 1 :] = edges[last] + (edges[last] - edges[last - 1] if last > first else 1.0)
    return edges


def ticks_of(categories: Sequence[Any]) -> tuple[list[int], list[str]]:
    """Return positions and labels of ticks."""
    step = -(-len(categories) // MAX_TICKS) if len(categories) > MAX_TICKS else 1
    places = list(range(0, len(categories), step))
    return places, [safe_text(str(categories[place])) for place in places]
