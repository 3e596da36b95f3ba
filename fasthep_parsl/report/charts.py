"""Geometry of the charts: numbers become SVG coordinates. Charts have no text: labels are HTML, readable at any width."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fasthep_parsl.report.models import MemoryRow, Raster, TimePart

LEVELS = 4
"""Shades of the raster."""


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a bar, in per cent of its length; `tone` chooses the colour."""

    name: str
    start: float
    length: float
    tone: int


def slices(parts: Iterable[TimePart], total: float) -> list[Slice]:
    """Return the parts of a stacked bar."""
    found: list[Slice] = []
    start = 0.0
    for number, part in enumerate(parts, 1):
        length = 100 * part.seconds / total if total > 0 else 0.0
        found.append(Slice(part.name, round(start, 3), round(length, 3), number))
        start += length
    return found


def area(values: Sequence[float], top: float) -> str:
    """Return the path of an area below steps: `x` per value, 100 units high."""
    if not values or top <= 0:
        return ""
    steps = [f"V{round(100 - 100 * min(value / top, 1.0), 1):g}h1" for value in values]
    return f"M0 100{''.join(steps)}V100Z"


def raster_paths(raster: Raster) -> list[str]:
    """Return one path for each shade, from light to dark: runs of intervals with about the same busy fraction."""
    paths: list[list[str]] = [[] for _ in range(LEVELS)]
    for y, row in enumerate(raster.rows):
        shades = [level(value) for value in row.busy]
        x = 0
        while x < len(shades):
            end = x
            while end < len(shades) and shades[end] == shades[x]:
                end += 1
            if shades[x]:
                paths[shades[x] - 1].append(f"M{x} {y}h{end - x}v.9h-{end - x}z")
            x = end
    return ["".join(path) for path in paths]


def level(value: float) -> int:
    """Return the shade of a busy fraction: 0 for idle, then 1 to `LEVELS`."""
    return 0 if value < 0.01 else min(int(value * LEVELS) + 1, LEVELS)


def memory_bars(row: MemoryRow) -> str:
    """Return the path of a histogram of memory: one unit per bin, 100 units high; one worker is always visible."""
    top = max(row.bins)
    bars = [f"M{x}.1 100V{round(98 - 96 * value / top, 1):g}h.8V100Z" for x, value in enumerate(row.bins) if value]
    return "".join(bars)
