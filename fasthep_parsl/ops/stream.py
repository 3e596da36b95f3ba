"""`Events`: the columns of a slice of events, filtered lazily.

A column is a numpy array (one value per event) or an awkward array (jagged, or with missing values). Filters are
applied when a column is used. A column that no later stage uses is never copied, and a chain of filters is applied once,
with the combined index.

`Events.on_gpu` returns a view with chosen columns on a GPU. A column is copied when it is used, once for all streams
that contain it. Outside of such a view every column is in host memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fasthep_parsl.errors import OpError, suggest
from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import ak, np
from fasthep_parsl.ops.columns.layouts import from_column
from fasthep_parsl.ops.columns.lazy import EventIndex, LazyColumn
from fasthep_parsl.ops.columns.read_only import protect, shallow_copy, take_ownership
from fasthep_parsl.ops.columns.value_types import Masked

Column = Any
"""numpy array of shape (events,), or awkward array; on a GPU cupy array, or awkward array with the backend ``cuda``."""


class Events(Mapping[str, Column]):
    """Columns of equal length, one entry per collision event.

    Like an awkward record array it supports ``events.Muon_pt``, ``events["Muon_pt"]``, ``events[mask]``,
    ``events.fields`` and ``len(events)``, the number of events.

    Parameters
    ----------
    columns : mapping
        Field name → column.
    length : int
        Number of events.
    owners : array of int, shape (events,), optional
        Number in the plan of the partition that each event comes from. Filters keep it; it is not a column.
    """

    __slots__ = ("_columns", "_copies", "_declared", "_gpu_names", "_length", "_owners")

    def __init__(self, columns: Mapping[str, Column], length: int, owners: Any = None) -> None:
        self._columns: dict[str, LazyColumn] = {
            name: column if isinstance(column, LazyColumn) else LazyColumn(column) for name, column in columns.items()
        }
        self._length = length
        self._owners = owners if owners is None or isinstance(owners, LazyColumn) else LazyColumn(owners)
        self._gpu_names: frozenset[str] | None = None
        self._copies: dict[Any, Any] | None = None
        self._declared: tuple[str, frozenset[str]] | None = None

    def _like(self, columns: Mapping[str, Any], length: int, owners: LazyColumn | None) -> Events:
        """Return events with other columns and the same view: device, copies and declared fields."""
        events = Events(columns, length, owners)
        events._gpu_names = self._gpu_names
        events._copies = None if self._copies is None else {}
        if self._declared is not None:
            op, names = self._declared
            events._declared = op, names.union(name for name in columns if name not in self._columns)
        return events

    @property
    def owners(self) -> Any:
        """Number of the partition of each event, in host memory."""
        return None if self._owners is None else self._owners.on(False)

    @property
    def fields(self) -> list[str]:
        """Names of the columns."""
        return list(self)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns if self._declared is None else [n for n in self._columns if n in self._declared[1]])

    def __contains__(self, name: object) -> bool:
        return name in self._columns and (self._declared is None or name in self._declared[1])

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
        if self._declared is not None and name not in self._declared[1]:
            raise OpError(self._undeclared(name))
        try:
            column = self._columns[name]
        except KeyError:
            raise OpError(f"unknown field `{name}`: {suggest(name, self._columns, what='fields')}") from None
        found = column.on(self._gpu_names is not None and (name in self._gpu_names or column.has(True)))
        return shallow_copy(found) if self._copies is None else protect(found, name, self._copies)

    def _undeclared(self, name: str) -> str:
        op, names = self._declared or ("", frozenset())
        listed = ", ".join(f'"{known}"' for known in (*sorted(names & self._columns.keys()), name))
        close = suggest(name, names).question
        hint = f", or {close}" if close else ""
        return f"op `{op}` reads `{name}`, which it does not declare: write reads=[{listed}] in @op(…){hint}"

    def declared(self, op: str, names: Iterable[str]) -> Events:
        """Return the same events for an op that declares to read `names`. Other columns are hidden but kept."""
        events = self._like(self._columns, self._length, self._owners)
        events._declared = op, frozenset(names)
        return events

    def whole(self) -> Events:
        """Return the same events with all columns visible."""
        events = self._like(self._columns, self._length, self._owners)
        events._declared = None
        return events

    def available(self, name: str) -> Column | None:
        """Return a column if it was computed already, else None. Copies nothing."""
        return self._columns[name].available()

    def is_part_of(self, name: str, others: Events) -> bool:
        """Whether a column still has to be taken from that of `others`, so that all its entries occur there."""
        source = self._columns[name].source
        return source is not None and name in others and source is others._columns[name]

    def on_gpu(self, names: Iterable[str], *, copies: bool = False) -> Events:
        """Return a view of the same events with the columns `names` on the GPU, copied when they are used.

        With `copies` the view returns copies of columns on the GPU, for ops that may write to them.
        """
        events = Events(self._columns, self._length, self._owners)
        events._gpu_names = frozenset(names)
        events._copies = {} if copies else None
        return events

    def on_host(self) -> Events:
        """Return a view of the same events in host memory. Columns on the GPU only are copied when they are used."""
        return self if self._gpu_names is None else Events(self._columns, self._length, self._owners)

    def release_gpu(self) -> None:
        """Free the memory on the GPU of columns that are in host memory too."""
        for column in self._columns.values():
            column.release_gpu()

    def filter(self, mask: Any) -> Events:
        """Return the events where `mask` is true.

        Parameters
        ----------
        mask : array of bool, shape (events,), or array of int
            Missing values count as false. Integers are positions.

        Raises
        ------
        OpError
            `mask` is not one value per event.
        """
        index = _positions(mask, self._length)
        if index is None:
            return self
        chosen = EventIndex(index)
        combined: dict[int, EventIndex] = {}
        shared: dict[tuple[int, int], Any] = {}
        columns = {name: column.at(chosen, combined, shared) for name, column in self._columns.items()}
        owners = None if self._owners is None else self._owners.at(chosen, combined, shared)
        return self._like(columns, len(index), owners)

    def select(self, names: Iterable[str]) -> Events:
        """Return the same events with the columns `names` only."""
        names = list(names)
        if self._declared is not None and not self._declared[1].issuperset(names):
            raise OpError(self._undeclared(next(name for name in names if name not in self._declared[1])))
        return self._like({name: self._columns[name] for name in names}, self._length, self._owners)

    def renamed(self, columns: Mapping[str, str]) -> Events:
        """Return the same events with some columns only: new name → name. They are shared, not copied."""
        return self._like({name: self._columns[old] for name, old in columns.items()}, self._length, self._owners)

    def with_columns_of(self, others: Events, columns: Mapping[str, str]) -> Events:
        """Return these events with columns of `others`, which are the same events: name there → name here."""
        added = {new: others._columns[name] for name, new in columns.items()}
        return self._like({**self._columns, **added}, self._length, self._owners)

    def with_columns(self, columns: Mapping[str, Column], *, fresh: bool = False) -> Events:
        """Return the same events with `columns` added or replaced.

        Parameters
        ----------
        columns : mapping
            Field name → column.
        fresh : bool
            The caller does not write to the columns any more. If false, columns that it could write to are copied.

        Raises
        ------
        OpError
            The length of a column is not the number of events.
        """
        for name, column in columns.items():
            if len(column) != self._length:
                raise OpError(f"column `{name}` has {len(column)} entries, but there are {self._length} events")
        return self._like(
            {**self._columns, **(columns if fresh else take_ownership(columns))}, self._length, self._owners
        )

    def to_awkward(self) -> Any:
        """Return an awkward record array of all columns."""
        whole = self.whole()  # undeclared columns may be passed on
        return ak.zip({name: whole[name] for name in whole}, depth_limit=1)


def _positions(mask: Any, length: int) -> Any:
    """Return the positions (int64) that `mask` selects, or None if it selects all events."""
    if isinstance(mask, slice):
        return np.arange(length)[mask]
    if isinstance(mask, ak.Array):
        if mask.ndim != 1:
            raise OpError(f"an event selection needs one value per event, but its type is {mask.type}")
        value = from_column(mask)
        mask = value.values & value.valid if isinstance(value, Masked) else value
    if not device.on_gpu(mask):
        mask = np.asarray(mask)
    if mask.dtype != bool:
        return mask
    if mask.shape != (length,):
        raise OpError(f"an event selection needs {length} values, but has {mask.shape}")
    if device.on_gpu(mask):
        device.count_wait()
        found = np.flatnonzero(mask)
        return None if len(found) == length else found
    if mask.all():
        return None
    return np.flatnonzero(mask)
