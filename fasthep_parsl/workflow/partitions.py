"""Cut files into partitions."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


def cut(entries: int, clusters: Sequence[int], chunk_size: int) -> tuple[int, ...]:
    """Cut a file into partitions.

    Parameters
    ----------
    entries : int
        Number of events in the file.
    clusters : sequence of int
        Event numbers at which clusters begin, ascending; may include 0 and `entries`; empty if unknown. Reading
        within a cluster decompresses all of it, so partitions begin at clusters if possible.
    chunk_size : int
        Most events per partition.

    Returns
    -------
    tuple of int
        Edges: partition i has the events from ``edges[i]`` to ``edges[i + 1]``, last excluded; ``(0,)`` (no partition)
        for a file without events. A partition has at most `chunk_size` events; a cluster is cut only if it has more.
        Sizes are balanced, without a small rest at the end.

    Raises
    ------
    ValueError
        `chunk_size` is less than 1 or `entries` less than 0.
    """
    if chunk_size < 1 or entries < 0:
        raise ValueError(f"cannot cut {entries} events into chunks of {chunk_size}")
    inner = sorted({edge for edge in clusters if 0 < edge < entries})
    bounds = [0, *inner, entries]
    edges = [0]
    while edges[-1] < entries:
        start = edges[-1]
        last = _furthest(bounds, start, chunk_size)
        if last is None:  # a cluster is larger than a chunk: cut it into equal parts
            stop = bounds[bisect_left(bounds, start + 1)]
            edges += _equal(start, stop, chunk_size)
            continue
        edges.append(_balanced(bounds, start, last, entries, chunk_size))
    return tuple(edges)


def _furthest(bounds: list[int], start: int, chunk_size: int) -> int | None:
    """Return the last bound within `chunk_size` of `start`, None if there is none."""
    position = bisect_left(bounds, start + chunk_size + 1) - 1
    return bounds[position] if bounds[position] > start else None


def _balanced(bounds: list[int], start: int, last: int, entries: int, chunk_size: int) -> int:
    """Return the bound nearest to an equal share of the remaining events, at most `last`."""
    parts = -(-(entries - start) // chunk_size)
    share = start + (entries - start) / parts
    position = bisect_left(bounds, share)
    near = [bound for bound in bounds[max(position - 1, 0) : position + 1] if start < bound <= last]
    return min(near, key=lambda bound: abs(bound - share)) if near else last


def _equal(start: int, stop: int, chunk_size: int) -> list[int]:
    parts = -(-(stop - start) // chunk_size)
    return [start + (stop - start) * number // parts for number in range(1, parts + 1)]
