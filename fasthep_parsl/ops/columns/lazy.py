"""Lazy columns: filtered, and copied to or from a GPU, when they are first used."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from fasthep_parsl.ops import device
from fasthep_parsl.ops.columns.indexing import take_events
from fasthep_parsl.ops.columns.read_only import read_only
from fasthep_parsl.ops.columns.to_device import to_gpu, to_host


class EventIndex:
    """Positions of selected events, in host memory and, if they are needed there, on the GPU.

    Parameters
    ----------
    positions : array of int, optional
        The positions, on either device.
    parts : (EventIndex, EventIndex), optional
        Instead of `positions`: a selection, and positions in its result.
    """

    __slots__ = ("_found", "_parts")

    def __init__(self, positions: Any = None, parts: tuple[EventIndex, EventIndex] | None = None) -> None:
        self._parts = parts
        self._found = {} if positions is None else {device.on_gpu(positions): positions}

    def has(self, gpu: bool) -> bool:
        """Whether the positions are available on the GPU (or the host) without a copy from the other device."""
        return gpu in self._found or (self._parts is not None and all(part.has(gpu) for part in self._parts))

    def on(self, gpu: bool) -> Any:
        """Return the positions in host memory or on the GPU."""
        if gpu not in self._found:
            if self._parts is not None:
                first, second = self._parts
                self._found[gpu] = first.on(gpu)[second.on(gpu)]
            else:
                self._found[gpu] = (device.upload if gpu else device.download)(self._found[not gpu])
        return self._found[gpu]


class LazyColumn:
    """A column in host memory, on the GPU or both, or one that still has to be taken from `source` at `index`.

    It is taken and copied once for all streams that contain it.
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
        """Whether the column is available on the GPU (or the host) without a copy from the other device."""
        if gpu in self._found:
            return True
        return not self._found and self.source is not None and self.source.has(gpu)

    def available(self) -> Any | None:
        """Return the column if it was computed already, preferably in host memory; else None. Copies nothing."""
        return self._found.get(False, self._found.get(True))

    def on(self, gpu: bool) -> Any:
        """Return the column in host memory or on the GPU."""
        if gpu not in self._found:
            if self.source is not None and self.index is not None and (not self._found or self.source.has(gpu)):
                # Copying positions to the host would wait for the GPU, so the column goes to the GPU instead.
                self._take(gpu if self.source.has(gpu) or (gpu and self.index.has(gpu)) else not gpu)
            if gpu not in self._found:
                moved = (to_gpu if gpu else to_host)(self._found[not gpu])
                if device.on_gpu(moved) is not gpu:
                    return moved  # e.g. text, which stays in host memory
                self._found[gpu] = read_only(moved)
        return self._found[gpu]

    def _take(self, gpu: bool) -> None:
        if self.source is None or self.index is None or self.shared is None or gpu in self._found:
            return
        column = self.source.on(gpu)
        gpu = gpu and device.on_gpu(column)  # text stays in host memory
        with device.stream() if gpu else nullcontext():
            self._found[gpu] = read_only(take_events(column, self.index.on(gpu), self.shared))
        if not (self.source.has(False) and self.source.has(True)):
            self.source = self.index = None
            self.shared = {}

    def at(self, index: EventIndex, combined: dict[int, EventIndex], shared: dict[tuple[int, int], Any]) -> LazyColumn:
        """Return the column at other events. `combined` and `shared` are caches for columns of the same events."""
        if self._found or self.source is None or self.index is None:
            return LazyColumn(None, self, index, shared)
        key = id(self.index)
        if key not in combined:
            combined[key] = EventIndex(parts=(self.index, index))
        return LazyColumn(None, self.source, combined[key], shared)

    def release_gpu(self) -> None:
        """Free the memory on the GPU if the column is in host memory too."""
        if False in self._found:
            self._found.pop(True, None)
