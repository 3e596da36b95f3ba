"""`Events`: the columns of a slice of events, filtered lazily.

A column is a numpy array (one value per event) or an awkward array (jagged, or with missing values). A filter
costs nothing until a column is used: a column that no later stage touches is never copied, and a chain of filters
is applied to a column once, with the combined index.

A column can lie on a GPU as well: `Events.on_gpu` gives a view in which chosen columns do. It is moved when it is used,
once for all streams that hold it; outside of such a view every column is one in host memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from typing import Any

from fasthep_parsl.errors import OpError, suggest
from fasthep_parsl.ops import device
from fasthep_parsl.ops.arrays import ak, np
from fasthep_parsl.ops.columns.picking import take_events
from fasthep_parsl.ops.columns.placing import to_gpu, to_host
from fasthep_parsl.ops.columns.values import Masked, from_column

Column = Any
"""numpy array of shape (events,) or awkward array of length events; on a GPU: of cupy, or with the backend ``cuda``."""


class _Chosen:
    """Positions of events in a column's source, in host memory and, where they are needed there, on the GPU.

    Parameters
    ----------
    positions : array of int, optional
        Where they are so far.
    parts : (_Chosen, _Chosen), optional
        Or: positions in what other positions have chosen.
    """

    __slots__ = ("_found", "_parts")

    def __init__(self, positions: Any = None, parts: tuple[_Chosen, _Chosen] | None = None) -> None:
        self._parts = parts
        self._found = {} if positions is None else {device.on_gpu(positions): positions}

    def has(self, gpu: bool) -> bool:
        """Whether they can be had there without being moved."""
        return gpu in self._found or (self._parts is not None and all(part.has(gpu) for part in self._parts))

    def on(self, gpu: bool) -> Any:
        """Return them in host memory or on the GPU."""
        if gpu not in self._found:
            if self._parts is not None:
                first, second = self._parts
                self._found[gpu] = first.on(gpu)[second.on(gpu)]
            else:
                self._found[gpu] = (device.upload if gpu else device.download)(self._found[not gpu])
        return self._found[gpu]


class _Column:
    """A column, in host memory, on the GPU or both; maybe one that still has to be taken from `source` at `index`.

    It is taken and moved once for all streams that hold it.
    """

    __slots__ = ("_found", "index", "shared", "source")

    def __init__(
        self,
        column: Column = None,
        source: _Column | None = None,
        index: _Chosen | None = None,
        shared: dict[tuple[int, int], Any] | None = None,
    ) -> None:
        self._found: dict[bool, Column] = {} if column is None else {device.on_gpu(column): read_only(column)}
        self.source = source
        self.index = index
        self.shared = shared

    def has(self, gpu: bool) -> bool:
        """Whether it can be had there without being moved."""
        if gpu in self._found:
            return True
        return not self._found and self.source is not None and self.source.has(gpu)

    def held(self) -> Column | None:
        """Return it if it is there, in host memory if it can be; takes and moves nothing."""
        return self._found.get(False, self._found.get(True))

    def on(self, gpu: bool) -> Column:
        """Return it in host memory or on the GPU."""
        if gpu not in self._found:
            if self.source is not None and self.index is not None and (not self._found or self.source.has(gpu)):
                # A column follows its positions to the GPU, rather than they to the host: to get them is a wait.
                self._take(gpu if self.source.has(gpu) or (gpu and self.index.has(gpu)) else not gpu)
            if gpu not in self._found:
                moved = (to_gpu if gpu else to_host)(self._found[not gpu])
                if device.on_gpu(moved) is not gpu:
                    return moved  # text, say, which no GPU takes
                self._found[gpu] = moved
        return self._found[gpu]

    def _take(self, gpu: bool) -> None:
        if self.source is None or self.index is None or self.shared is None or gpu in self._found:
            return
        column = self.source.on(gpu)
        gpu = gpu and device.on_gpu(column)  # text, say, stays in host memory
        with device.stream() if gpu else nullcontext():
            self._found[gpu] = read_only(take_events(column, self.index.on(gpu), self.shared))
        if not (self.source.has(False) and self.source.has(True)):
            self.source = self.index = None
            self.shared = {}

    def at(self, index: _Chosen, combined: dict[int, _Chosen], shared: dict[tuple[int, int], Any]) -> _Column:
        """Return it at other events; `combined` and `shared` are filled for columns of the same events."""
        if self._found or self.source is None or self.index is None:
            return _Column(None, self, index, shared)
        key = id(self.index)
        if key not in combined:
            combined[key] = _Chosen(parts=(self.index, index))
        return _Column(None, self.source, combined[key], shared)

    def leave_gpu(self) -> None:
        """Give the memory of the GPU back where the column can be had from the host."""
        if False in self._found:
            self._found.pop(True, None)


def read_only(array: Any) -> Any:
    """Return an array, to which nothing can be written any more if it is numpy's: other stages use it as well."""
    if isinstance(array, np.ndarray) and array.flags.writeable:
        array.flags.writeable = False
    return array


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

    __slots__ = ("_columns", "_length", "_owners", "_wanted")

    def __init__(self, columns: Mapping[str, Column], length: int, owners: Any = None) -> None:
        self._columns: dict[str, _Column] = {
            name: column if isinstance(column, _Column) else _Column(column) for name, column in columns.items()
        }
        self._length = length
        self._owners = owners if owners is None or isinstance(owners, _Column) else _Column(owners)
        self._wanted: frozenset[str] | None = None

    def _like(self, columns: Mapping[str, Any], length: int, owners: _Column | None) -> Events:
        """Return other events that are seen as these are."""
        events = Events(columns, length, owners)
        events._wanted = self._wanted
        return events

    @property
    def owners(self) -> Any:
        """Where each event comes from, in host memory."""
        return None if self._owners is None else self._owners.on(False)

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
            column = self._columns[name]
        except KeyError:
            raise OpError(f"no field `{name}`: {suggest(name, self._columns, what='fields')}") from None
        return column.on(self._wanted is not None and (name in self._wanted or column.has(True)))

    def held(self, name: str) -> Column | None:
        """Return a column if it lies there, None if it has yet to be taken from other events; takes and moves nothing."""
        return self._columns[name].held()

    def is_part_of(self, name: str, others: Events) -> bool:
        """Whether a column has yet to be taken from that of `others`, so that all its entries are among those."""
        source = self._columns[name].source
        return source is not None and name in others and source is others._columns[name]

    def on_gpu(self, names: Iterable[str]) -> Events:
        """Return the same events, seen on the GPU: the columns `names` are moved there, when they are used."""
        events = Events(self._columns, self._length, self._owners)
        events._wanted = frozenset(names)
        return events

    def on_host(self) -> Events:
        """Return the same events, seen in host memory: what lies on a GPU alone is moved when it is used."""
        return self if self._wanted is None else Events(self._columns, self._length, self._owners)

    def leave_gpu(self) -> None:
        """Give the memory of the GPU back, for columns that can be had from the host."""
        for column in self._columns.values():
            column.leave_gpu()

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
        chosen = _Chosen(index)
        combined: dict[int, _Chosen] = {}
        shared: dict[tuple[int, int], Any] = {}
        columns = {name: column.at(chosen, combined, shared) for name, column in self._columns.items()}
        owners = None if self._owners is None else self._owners.at(chosen, combined, shared)
        return self._like(columns, len(index), owners)

    def select(self, names: Iterable[str]) -> Events:
        """Return the same events with only the columns `names`."""
        return self._like({name: self._columns[name] for name in names}, self._length, self._owners)

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
        return self._like({**self._columns, **columns}, self._length, self._owners)

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
        value = from_column(mask)
        mask = value.values & value.valid if isinstance(value, Masked) else value
    if not device.on_gpu(mask):
        mask = np.asarray(mask)
    if mask.dtype != bool:
        return mask
    if mask.shape != (length,):
        raise OpError(f"an event selection needs {length} values, got {mask.shape}")
    if device.on_gpu(mask):
        device.waited()
        found = np.flatnonzero(mask)
        return None if len(found) == length else found
    if mask.all():
        return None
    return np.flatnonzero(mask)
