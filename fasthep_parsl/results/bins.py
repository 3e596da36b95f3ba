"""Where the bins of an axis are drawn, and what is written below them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fasthep_parsl.results.histograms import categories_of
from fasthep_parsl.results.style import safe_text

MOST_TICKS = 40
"""Of more categories only some are named: thousands of texts take a minute, and nobody could read them."""


def open_ended(axis: Any) -> bool:
    """Whether the first or the last bin goes on to infinity."""
    import numpy as np

    return categories_of(axis) is None and not np.isfinite(np.asarray(axis.edges, dtype=np.float64)).all()


def drawn_edges(axis: Any) -> Any:
    """Return the edges of the bins of `axis` in a picture, float64, shape (bins + 1,).

    Categories are one wide, at whole numbers; a bin without an end is as wide as its neighbour.
    """
    import numpy as np

    if categories_of(axis) is not None:
        return np.arange(len(axis) + 1.0) - 0.5
    edges = np.array(axis.edges, dtype=np.float64)
    finite = np.flatnonzero(np.isfinite(edges))
    if not len(finite):
        return np.array([-1.0, 1.0])
    first, last = finite[0], finite[-1]
    edges[:first] = edges[first] - (edges[first + 1] - edges[first] if last > first else 1.0)
    edges[last + 1 :] = edges[last] + (edges[last] - edges[last - 1] if last > first else 1.0)
    return edges


def ticks_of(categories: Sequence[Any]) -> tuple[list[int], list[str]]:
    """Return places and names of ticks."""
    step = -(-len(categories) // MOST_TICKS) if len(categories) > MOST_TICKS else 1
    places = list(range(0, len(categories), step))
    return places, [safe_text(str(categories[place])) for place in places]
