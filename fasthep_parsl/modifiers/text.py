"""Tables and quantities for text files that people read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> str:
    """Return a table with aligned columns: the first `left` to the left, the others to the right. Empty columns are left out."""
    lines = [tuple(row) for row in rows]
    filled = [i for i in range(len(head)) if any(line[i] for line in lines)]
    lines = [tuple(line[i] for i in filled) for line in (tuple(head), *lines)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(filled))]
    lines.insert(1, tuple("-" * width for width in widths))
    align = [str.ljust if i < left else str.rjust for i in filled]
    return "".join("  ".join(map(_cell, align, line, widths)).rstrip() + "\n" for line in lines)


def _cell(align: Any, text: str, width: int) -> str:
    found: str = align(text, width)
    return found


def durations(values: Iterable[float | None]) -> list[str]:
    """Return durations (s) as text, all in one unit; None becomes empty."""
    return _in_one_unit(values, ((1e-2, 1e6, "µs"), (10.0, 1e3, "ms"), (float("inf"), 1.0, "s")))


def sizes(values: Iterable[float | None]) -> list[str]:
    """Return numbers of bytes as text, all in one unit; None becomes empty."""
    units = ((1e4, 1.0, "B"), (1e7, 1e-3, "kB"), (1e10, 1e-6, "MB"), (float("inf"), 1e-9, "GB"))
    return _in_one_unit(values, units)


def _in_one_unit(values: Iterable[float | None], units: tuple[tuple[float, float, str], ...]) -> list[str]:
    """Return values in the unit of the largest one, with three of its digits."""
    listed = list(values)
    largest = max((value for value in listed if value is not None), default=0.0)
    factor, unit = next((factor, unit) for limit, factor, unit in units if largest < limit)
    digits = max(0, 3 - len(str(int(largest * factor)))) if unit != "B" else 0
    return ["" if value is None else f"{value * factor:,.{digits}f} {unit}" for value in listed]


def duration(value: float) -> str:
    """Return a duration (s) as text."""
    return durations([value])[0]


def size(value: float) -> str:
    """Return a number of bytes as text."""
    return sizes([value])[0]


def share(part: float, whole: float) -> str:
    """Return `part` of `whole` in percent; empty if `whole` is 0."""
    return f"{100 * part / whole:.1f} %" if whole else ""
