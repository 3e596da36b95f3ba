"""Sets of luminosity sections: run → ranges, as in the JSON files of CMS. Imports no array library."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Ranges = tuple[tuple[int, int], ...]
"""First and last section of each range, both included; sorted, and neither overlapping nor adjacent."""
Sections = Mapping[int, Ranges]
"""Run → its sections."""


def joined(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Return the same sections as few, sorted ranges.

    Examples
    --------
    >>> joined([(5, 7), (1, 2), (3, 3), (6, 9)])
    ((1, 3), (5, 9))
    """
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return tuple(found)


def united(*many: Sections) -> dict[int, Ranges]:
    """Return the sections that are in any of `many`, with sorted runs."""
    found: dict[int, list[tuple[int, int]]] = {}
    for sections in many:
        for run, ranges in sections.items():
            found.setdefault(run, []).extend(ranges)
    return {run: joined(found[run]) for run in sorted(found) if found[run]}


def common_sections(a: Sections, b: Sections) -> dict[int, Ranges]:
    """Return the sections that are in both."""
    found: dict[int, Ranges] = {}
    for run in sorted(a.keys() & b.keys()):
        pairs = ((max(x[0], y[0]), min(x[1], y[1])) for x in a[run] for y in b[run])
        same = joined(pair for pair in pairs if pair[0] <= pair[1])
        if same:
            found[run] = same
    return found


def without(a: Sections, b: Sections) -> dict[int, Ranges]:
    """Return the sections of `a` that are not in `b`."""
    found: dict[int, Ranges] = {}
    for run in sorted(a):
        left: list[tuple[int, int]] = []
        holes = b.get(run, ())
        for first, last in a[run]:
            start = first
            for low, high in holes:
                if high < start or low > last:
                    continue
                if low > start:
                    left.append((start, low - 1))
                start = max(start, high + 1)
            if start <= last:
                left.append((start, last))
        if left:
            found[run] = joined(left)
    return found


def number_of(sections: Sections) -> int:
    """Return the number of sections."""
    return sum(last - first + 1 for ranges in sections.values() for first, last in ranges)


def written(sections: Sections) -> dict[str, list[list[int]]]:
    """Return sections as JSON files have them: ``{"274968": [[1, 5]]}``."""
    return {str(run): [[first, last] for first, last in sections[run]] for run in sorted(sections)}


def read_sections(content: object) -> dict[int, Ranges]:
    """Return the sections of a JSON file.

    Raises
    ------
    ValueError
        It is not run → list of [first, last].
    """
    if not isinstance(content, dict) or not content:
        raise ValueError("expected run → list of [first, last]")
    found: dict[int, Ranges] = {}
    for run, ranges in content.items():
        if not str(run).isdecimal() or not isinstance(ranges, list):
            raise ValueError(f"run {run!r}: expected a run number and a list of [first, last]")
        for pair in ranges:
            if not isinstance(pair, list) or len(pair) != 2 or not all(type(edge) is int for edge in pair):
                raise ValueError(f"run {run}: expected [first, last], got {pair}")
            if not 0 <= pair[0] <= pair[1] < 1 << 32:
                raise ValueError(f"run {run}: the range {pair} is not in order")
        found[int(run)] = joined((pair[0], pair[1]) for pair in ranges)
    return {run: ranges for run, ranges in sorted(found.items()) if ranges}
