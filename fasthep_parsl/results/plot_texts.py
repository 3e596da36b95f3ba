"""Texts of a picture that are longer than the room they have."""

from __future__ import annotations

import textwrap
from typing import Any

SMALLEST = 8.0
"""Smallest letters, points."""


def length_of(text: Any, *, upright: bool = False) -> float:
    """Return the length of a text in pixels, of its height if it is upright."""
    extent = text.get_window_extent(text.figure.canvas.get_renderer())
    return float(extent.height if upright else extent.width)


def fit_text(text: Any, room: float, *, upright: bool = False, lines: bool = False) -> None:
    """Make the letters of a text smaller until it fits; what does not fit then has several lines, or is cut.

    Parameters
    ----------
    text : matplotlib.text.Text
        The text.
    room : float
        Pixels.
    upright : bool
        Whether it is written from below.
    lines : bool
        Whether it may have several lines. A text with a formula has one.
    """
    length = length_of(text, upright=upright) if text.get_text() else 0.0
    if length <= room:
        return
    size = max(text.get_fontsize() * room / length, SMALLEST)
    text.set_fontsize(size)
    length = length_of(text, upright=upright)
    written = text.get_text()
    if length <= 1.02 * room or "$" in written:
        return
    letters = max(int(len(written) * room / length) - 1, 8)
    text.set_text(textwrap.fill(written, letters) if lines else textwrap.shorten(written, letters, placeholder=" …"))
