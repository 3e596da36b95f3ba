"""`Events`: the columns of a slice of events, filtered lazily.

A column is a numpy array (one value per event) or an awkward array (jagged, or with missing values). A filter
costs nothing until a column is used: a column that no later stage touches is never copied, and a chain of filters
is applied to a column once, with the combined index.

A column can lie on a GPU as well: `Events.on_gpu` gives a view in which chosen columns do. It is moved when it is used,
once for all streams that hold it; outside of such a view every column is one in host memory.
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
"""numpy array of shape (events,) or awkward array of length events; on a GPU: of cupy, or with the backend ``cuda``."""


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

    __slots__ = ("_columns", "_declared", "_length", "_lent", "_owners", "_wanted")

    def __init__(self, columns: Mapping[str, Column], length: int, owners: Any = None) -> None:
        self._columns: dict[str, LazyColumn] = {
            name: column if isinstance(column, LazyColumn) else LazyColumn(column) for name, column in columns.items()
        }
        self._length = length
        self._owners = owners if owners is None or isinstance(owners, LazyColumn) else LazyColumn(owners)
        self._wanted: frozenset[str] | None = None
        self._lent: dict[Any, Any] | None = None
        self._declared: tuple[str, frozenset[str]] | None = None

    def _like(self, columns: Mapping[str, Any], length: int, owners: LazyColumn | None) -> Events:
        """Return other events that are seen as these are."""
        events = Events(columns, length, owners)
        events._wanted = self._wanted
        events._lent = None if self._lent is None else {}
        if self._declared is not None:
            op, names = self._declared
            events._declared = op, names.union(name for name in columns if name not in self._columns)
        return events

    @property
    def owners(self) -> Any:
        """Where each event comes from, in host memory."""
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
            raise OpError(f"no field `{name}`: {suggest(name, self._columns, what='fields')}") from None
        found = column.on(self._wanted is not None and (name in self._wanted or column.has(True)))
        return shallow_copy(found) if self._lent is None else protect(found, name, self._lent)

    def _undeclared(self, name: str) -> str:
        op, names = self._declared or ("", frozenset())
        listed = ", ".join(f'"{known}"' for known in (*sorted(names & self._columns.keys()), name))
        close = suggest(name, names).question
        hint = f", or {close}" if close else ""
        return f"op `{op}` reads `{name}`, which it does not declare: write reads=[{listed}] in @op(…){hint}"

    def declared(self, op: str, names: Iterable[str]) -> Events:
        """Return the same events as an op sees them that declares to read `names`; other columns go on unseen."""
        events = self._like(self._columns, self._length, self._owners)
        events._declared = op, frozenset(names)
        return events

    def whole(self) -> Events:
        """Return the same events with all their columns to be seen."""
        events = self._like(self._columns, self._length, self._owners)
        events._declared = None
        return events

    def available(self, name: str) -> Column | None:
        """Return a column if it lies there, None if it has yet to be taken from other events; takes and moves nothing."""
        return self._columns[name].available()

    def is_part_of(self, name: str, others: Events) -> bool:
        """Whether a column has yet to be taken from that of `others`, so that all its entries are among those."""
        source = self._columns[name].source
        return source is not None and name in others and source is others._columns[name]

    def on_gpu(self, names: Iterable[str], *, lend: bool = False) -> Events:
        """Return the same events, seen on the GPU: the columns `names` are moved there, when they are used.

        With `lend`, what lies there is seen as a copy: whoever is not known to write to none can be given it.
        """
        events = Events(self._columns, self._length, self._owners)
        events._wanted = frozenset(names)
        events._lent = {} if lend else None
        return events

    def on_host(self) -> Events:
        """Return the same events, seen in host memory: what lies on a GPU alone is moved when it is used."""
        return self if self._wanted is None else Events(self._columns, self._length, self._owners)

    def release_gpu(self) -> None:
        """Give the memory of the GPU back, for columns that can be had from the host."""
        for column in self._columns.values():
            column.release_gpu()

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
        chosen = EventIndex(index)
        combined: dict[int, EventIndex] = {}
        shared: dict[tuple[int, int], Any] = {}
        columns = {name: column.at(chosen, combined, shared) for name, column in self._columns.items()}
        owners = None if self._owners is None else self._owners.at(chosen, combined, shared)
        return self._like(columns, len(index), owners)

    def select(self, names: Iterable[str]) -> Events:
        """Return the same events with only the columns `names`."""
        names = list(names)
        if self._declared is not None and not self._declared[1].issuperset(names):
            raise OpError(self._undeclared(next(name for name in names if name not in self._declared[1])))
        return self._like({name: self._columns[name] for name in names}, self._length, self._owners)

    def with_columns(self, columns: Mapping[str, Column], *, fresh: bool = False) -> Events:
        """Return the same events with `columns` added or replaced.

        Parameters
        ----------
        columns : mapping
            Field name → column.
        fresh : bool
            Whether nobody will write to them; else those that somebody could write to are copied.

        Raises
        ------
        OpError
            A column has another length than the events.
        """
        for name, column in columns.items():
            if len(column) != self._length:
                raise OpError(f"column `{name}` has {len(column)} entries for {self._length} events")
        return self._like(
            {**self._columns, **(columns if fresh else take_ownership(columns))}, self._length, self._owners
        )

    def to_awkward(self) -> Any:
        """Return an awkward record array of all columns."""
        whole = self.whole()  # what an op does not declare, it may still hand on
        return ak.zip({name: whole[name] for name in whole}, depth_limit=1)


def _positions(mask: Any, length: int) -> Any:
    """Return positions (int64) selected by `mask`, or None if it selects all."""
    if isinstance(mask, slice):
        return np.arange(length)[mask]
    if isinstance(mask, ak.Array):
        if mask.ndim != 1:
            raise OpError(f"an event selection needs one value per event, this one is {mask.type}")
        value = from_column(mask)
        mask = value.values & value.valid if isinstance(value, Masked) else value
    if not device.on_gpu(mask):
        mask = np.asarray(mask)
    if mask.dtype != bool:
        return mask
    if mask.shape != (length,):
        raise OpError(f"an event selection needs {length} values, got {mask.shape}")
    if device.on_gpu(mask):
        device.count_wait()
        found = np.flatnonzero(mask)
        return None if len(found) == length else found
    if mask.all():
        return None
    return np.flatnonzero(mask)
