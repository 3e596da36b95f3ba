"""Columns of entries in any order, read cluster by cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import awkward as ak
import numpy as np

from fasthep_parsl.interfaces import OpenInput
from fasthep_parsl.ops.columns.gather import take
from fasthep_parsl.ops.columns.layouts import from_column, to_column
from fasthep_parsl.ops.stream import Column

LARGE = 100_000
"""Entries of a cluster above which only a part of it is read at once."""


def gathered(file: OpenInput, branches: Iterable[str], rows: Any, valid: Any = None) -> dict[str, Column]:
    """Return branches at given entries.

    Only clusters that contain one of the entries are read, and about as many entries at once as are asked for.

    Parameters
    ----------
    file : OpenInput
        The open file.
    branches : iterable of str
        The branches.
    rows : array of int64
        The entries, in any order.
    valid : array of bool, optional
        The values are missing where it is false. If it is given, columns have an option type.
    """
    branches = list(branches)
    needed = rows if valid is None else rows[valid]
    if len(needed) and valid is None and needed[-1] - needed[0] + 1 == len(needed) and (np.diff(needed) == 1).all():
        found = file.read(branches, int(needed[0]), int(needed[-1]) + 1)
        return {name: to_column(from_column(column), len(rows)) for name, column in found.items()}
    ordered = np.unique(needed)
    pieces: dict[str, list[Any]] = {name: [] for name in branches}
    for start, stop in _ranges(ordered, file.clusters(), len(rows)):
        first, last = np.searchsorted(ordered, (start, stop))
        inside = ordered[first:last] - start
        for name, column in file.read(branches, start, stop).items():
            whole = len(inside) == stop - start
            pieces[name].append(column if whole else _picked(column, inside, None))
    places = np.searchsorted(ordered, rows)
    return {name: _picked(_joined(found), places, valid) for name, found in pieces.items()}


def _ranges(ordered: Any, clusters: list[int], most: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of entries that contain all of `ordered`, cut at clusters, with about `most` entries each."""
    if not len(ordered):
        yield 0, 0
        return
    edges = _cut(clusters, max(most, LARGE))
    touched = np.unique(np.searchsorted(edges, ordered, side="right") - 1)
    start = stop = int(edges[touched[0]])
    for cluster in touched.tolist():
        first, last = int(edges[cluster]), int(edges[cluster + 1])
        if first != stop or (last - start > most and stop > start):
            yield start, stop
            start = first
        stop = last
    yield start, stop


def _cut(clusters: list[int], most: int) -> Any:
    """Return the edges of clusters with at most `most` entries: branches without common clusters have one for all."""
    parts = [np.arange(first, last, most) for first, last in pairwise(clusters)]
    return np.concatenate([*parts, clusters[-1:]])


def _joined(pieces: list[Any]) -> Any:
    if len(pieces) == 1:
        return pieces[0]
    if all(isinstance(piece, np.ndarray) for piece in pieces):
        return np.concatenate(pieces)
    return ak.concatenate(pieces)


def _picked(column: Any, places: Any, valid: Any) -> Column:
    return to_column(take(from_column(column), places, valid), len(places))
