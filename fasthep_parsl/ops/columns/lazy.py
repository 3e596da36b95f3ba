"""Columns that are taken from others, and moved to a GPU or back, when they are used."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from fasthep_parsl.ops import device
from fasthep_parsl.ops.columns.indexing import take_events
from fasthep_parsl.ops.columns.read_only import read_only
from fasthep_parsl.ops.columns.to_device import to_gpu, to_host


class EventIndex:
    """Positions of events in a column's source, in host memory and, where they are needed there, on the GPU.

    Parameters
    ----------
    positions : array of int, optional
        Where they are so far.
    parts : (EventIndex, EventIndex), optional
        Or: positions in what other positions have chosen.
    """

    __slots__ = ("_found", "_parts")

    def __init__(self, positions: Any = None, parts: tuple[EventIndex, EventIndex] | None = None) -> None:
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


class LazyColumn:
    """A column, in host memory, on the GPU or both; maybe one that still has to be taken from `source` at `index`.

    It is taken and moved once for all streams that hold it.
    """

    __slots__ = ("_found", "index", "shared", "source")

    def __init__(
        self,
        column: Any = None,
        source: LazyColumn | None = None,
        index: EventIndex | None = None,
        shared: dict[tuple[int, int], Any] | None = None,
    ) -> None:
        self._found: dict[bool, Any] = {} if column is None else {device.on_gpu(column): read_only(column)}
        self.source = source
        self.index = index
        self.shared = shared

    def has(self, gpu: bool) -> bool:
        """Whether it can be had there without being moved."""
        if gpu in self._found:
            return True
        return not self._found and self.source is not None and self.source.has(gpu)

    def held(self) -> Any | None:
        """Return it if it is there, in host memory if it can be; takes and moves nothing."""
        return self._found.get(False, self._found.get(True))

    def on(self, gpu: bool) -> Any:
        """Return it in host memory or on the GPU."""
        if gpu not in self._found:
            if self.source is not None and self.index is not None and (not self._found or self.source.has(gpu)):
                # A column follows its positions to the GPU, rather than they to the host: to get them is a wait.
                self._take(gpu if self.source.has(gpu) or (gpu and self.index.has(gpu)) else not gpu)
            if gpu not in self._found:
                moved = (to_gpu if gpu else to_host)(self._found[not gpu])
                if device.on_gpu(moved) is not gpu:
                    return moved  # text, say, which no GPU takes
                self._found[gpu] = read_only(moved)
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

    def at(self, index: EventIndex, combined: dict[int, EventIndex], shared: dict[tuple[int, int], Any]) -> LazyColumn:
        """Return it at other events; `combined` and `shared` are filled for columns of the same events."""
        if self._found or self.source is None or self.index is None:
            return LazyColumn(None, self, index, shared)
        key = id(self.index)
        if key not in combined:
            combined[key] = EventIndex(parts=(self.index, index))
        return LazyColumn(None, self.source, combined[key], shared)

    def leave_gpu(self) -> None:
        """Give the memory of the GPU back where the column can be had from the host."""
        if False in self._found:
            self._found.pop(True, None)
