"""`Events`: the columns of a slice of events, filtered lazily.

A column is a numpy array (one value per event) or an awkward array (jagged, or with missing values). A filter
costs nothing until a column is used: a column that no later stage touches is never copied, and a chain of filters
is applied to a column once, with the combined index.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fasthep_parsl.errors import OpError, suggest
from fasthep_parsl.ops.arrays import ak, np
from fasthep_parsl.ops.columns.picking import take_events

Column = Any
"""numpy array of shape (events,) or awkward array of length events."""


class _Pending:
    """A column that still has to be taken from `source` at `index`; taken once for all streams that hold it."""

    __slots__ = ("index", "result", "shared", "source")

    def __init__(self, source: Column, index: Any, shared: dict[tuple[int, int], Any]) -> None:
        self.source = source
        self.index = index
        self.shared = shared
        self.result: Column = None

    def take(self) -> Column:
        if self.result is None:
            self.result = take_events(self.source, self.index, self.shared)
            self.source = self.index = None
            self.shared = {}
        return self.result


class Events(Mapping[str, Column]):
    """Columns of equal length, one entry per collision event.

    Behaves like an awkward record array where it matters: ``events.Muon_pt``, ``events["Muon_pt"]``,
    ``events[mask]``, ``events.fields``, ``len(events)``. (`len` is the number of events.)

    Parameters
    ----------
    columns : mapping
        Field name → column.
    length : int
        Number of events.
    owners : array of int, shape (events,), optional
        Plan-wide number of the partition that each event comes from; kept through filters, not a column.
    """

    __slots__ = ("_columns", "_length", "owners")

    def __init__(self, columns: Mapping[str, Column], length: int, owners: Any = None) -> None:
        self._columns: dict[str, Any] = dict(columns)
        self._length = length
        self.owners = owners

    @property
    def fields(self) -> list[str]:
        """Names of the columns."""
        return list(self._columns)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            return self._column(key)
        if isinstance(key, list) and all(isinstance(name, str) for name in key):
            return self.select(key)
        return self.filter(key)

    def __getattr__(self, name: str) -> Column:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self._column(name)
        except OpError as error:
            raise AttributeError(str(error)) from None

    def _column(self, name: str) -> Column:
        try:
            value = self._columns[name]
        except KeyError:
            raise OpError(f"no field `{name}`: {suggest(name, self._columns, what='fields')}") from None
        if isinstance(value, _Pending):
            value = self._columns[name] = value.take()
        return value

    def held(self, name: str) -> Column | None:
        """Return a column if it lies there, None if it has yet to be taken from other events; takes nothing."""
        value = self._columns[name]
        return value.result if isinstance(value, _Pending) else value

    def filter(self, mask: Any) -> Events:
        """Return the events where `mask` is true.

        Parameters
        ----------
        mask : array of bool, shape (events,), or array of int
            A missing value counts as false; integers are positions.

        Raises
        ------
        OpError
            `mask` is not one value per event.
        """
        index = _positions(mask, self._length)
        if index is None:
            return self
        combined: dict[int, Any] = {}
        shared: dict[tuple[int, int], Any] = {}
        columns: dict[str, Any] = {}
        for name, value in self._columns.items():
            if not isinstance(value, _Pending):
                columns[name] = _Pending(value, index, shared)
            elif value.result is not None:
                columns[name] = _Pending(value.result, index, shared)
            else:
                key = id(value.index)
                if key not in combined:
                    combined[key] = value.index[index]
                columns[name] = _Pending(value.source, combined[key], shared)
        return Events(columns, len(index), None if self.owners is None else self.owners[index])

    def select(self, names: Iterable[str]) -> Events:
        """Return the same events with only the columns `names`."""
        return Events({name: self._columns[name] for name in names}, self._length, self.owners)

    def with_columns(self, columns: Mapping[str, Column]) -> Events:
        """Return the same events with `columns` added or replaced.

        Raises
        ------
        OpError
            A column has another length than the events.
        """
        for name, column in columns.items():
            if len(column) != self._length:
                raise OpError(f"column `{name}` has {len(column)} entries for {self._length} events")
        return Events({**self._columns, **columns}, self._length, self.owners)

    def to_awkward(self) -> Any:
        """Return an awkward record array of all columns."""
        return ak.zip({name: self[name] for name in self}, depth_limit=1)


def _positions(mask: Any, length: int) -> Any:
    """Return positions (int64) selected by `mask`, or None if it selects all."""
    if isinstance(mask, slice):
        return np.arange(length)[mask]
    if isinstance(mask, ak.Array):
        if mask.ndim != 1:
            raise OpError(f"an event selection needs one value per event, this one is {mask.type}")
        mask = ak.to_numpy(ak.fill_none(mask, False))
    mask = np.asarray(mask)
    if mask.dtype != bool:
        return mask
    if mask.shape != (length,):
        raise OpError(f"an event selection needs {length} values, got {mask.shape}")
    if mask.all():
        return None
    return np.flatnonzero(mask)
