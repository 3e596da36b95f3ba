"""Find events of one tree in another by integer keys, such as run, luminosity block and event number."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import awkward as ak
import numpy as np

from fasthep_parsl.ops.stream import Column

MAX_BYTES = 256_000_000
"""Most memory of the indices that a worker keeps besides the one in use."""
SHOWN = 3
"""Number of keys in a message."""


class KeyMatchError(ValueError):
    """Keys cannot be used; the text says why."""


class KeyIndex:
    """Rows by their keys. Exact: keys are compared, not hashed.

    The keys are numbered column by column: a run by its place among all runs, a pair of run and luminosity block by its
    place among all pairs, and so on. A look-up is a binary search per column and pair.

    Parameters
    ----------
    names : sequence of str
        Names of the key columns.
    columns : sequence of array of int64, shape (rows,)
        The keys of all rows.

    Raises
    ------
    KeyMatchError
        Two rows have equal keys.
    """

    def __init__(self, names: Sequence[str], columns: Sequence[Any]) -> None:
        self._levels: list[tuple[Any, Any]] = []
        code = np.zeros(len(columns[0]), np.int64)
        for column in columns:
            values, places = np.unique(column, return_inverse=True)
            pairs, code = np.unique(code * max(len(values), 1) + places, return_inverse=True)
            self._levels.append((values, pairs))
        self._rows = np.empty(len(self._levels[-1][1]), np.int64)
        self._rows[code] = np.arange(len(code))
        if len(self._rows) < len(code):
            often = np.bincount(code)
            first = np.flatnonzero((often > 1)[code])
            raise KeyMatchError(
                f"{int((often > 1).sum()):,} keys occur more than once, such as {shown(names, columns, first)}"
            )

    @property
    def nbytes(self) -> int:
        """Size in memory."""
        return int(self._rows.nbytes + sum(values.nbytes + pairs.nbytes for values, pairs in self._levels))

    def find(self, columns: Sequence[Any]) -> Any:
        """Return the row of each key (int64), −1 where there is none."""
        number = len(columns[0])
        if not len(self._rows):
            return np.full(number, -1)
        code, known = np.zeros(number, np.int64), np.ones(number, bool)
        for column, (values, pairs) in zip(columns, self._levels, strict=True):
            place = _place(values, column, known)
            code = _place(pairs, code * len(values) + place, known)
        return np.where(known, self._rows[code], -1)


def _place(ordered: Any, wanted: Any, known: Any) -> Any:
    """Return the places of values in an ordered array; `known` becomes false for those that are not in it."""
    place = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
    known &= ordered[place] == wanted
    return place


def shown(names: Sequence[str], columns: Sequence[Any], rows: Any) -> str:
    """Return the first few keys as text: ``run 1, event 7``."""
    keys = dict.fromkeys(tuple(int(column[row]) for column in columns) for row in rows[:1000].tolist())
    texts = [", ".join(f"{name} {value}" for name, value in zip(names, key, strict=True)) for key in keys]
    return "; ".join(texts[:SHOWN])


def as_keys(column: Column, name: str) -> Any:
    """Return a column of integers as int64. Unsigned numbers of 64 bits keep their bits.

    Raises
    ------
    KeyMatchError
        It does not consist of one integer per event.
    """
    if isinstance(column, ak.Array) and column.ndim == 1 and not ak.any(ak.is_none(column)):
        column = ak.to_numpy(ak.drop_none(column))
    if not isinstance(column, np.ndarray) or column.ndim != 1 or column.dtype.kind not in "iub":
        raise KeyMatchError(not_a_key(name))
    return column.astype(np.int64, copy=False)


def not_a_key(name: str) -> str:
    """Return why a branch cannot be a key."""
    return f"branch `{name}` is not one integer per event, and cannot be a key"


class KeyIndices:
    """The indices of the friend files that were used last."""

    def __init__(self, limit: int = MAX_BYTES) -> None:
        self._limit = limit
        self._known: OrderedDict[tuple[object, ...], KeyIndex] = OrderedDict()

    def get(self, identity: tuple[object, ...], make: Callable[[], KeyIndex]) -> KeyIndex:
        """Return the index of a file. It is made if it is not known."""
        index = self._known.pop(identity, None) or make()
        self._known[identity] = index
        while len(self._known) > 1 and sum(item.nbytes for item in self._known.values()) > self._limit:
            self._known.popitem(last=False)
        return index
