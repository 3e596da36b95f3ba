"""Streams that a task stores for other segments: passes are collected into chunks of a useful size."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from fasthep_parsl.ops.columns.gather import concatenate, type_of
from fasthep_parsl.ops.columns.layouts import from_column, to_awkward
from fasthep_parsl.ops.stream import Events
from fasthep_parsl.tasks import Ref, Span
from fasthep_parsl.worker import store
from fasthep_parsl.worker.meter import Meter


class Outbox:
    """Stores the stream of one stage in chunks.

    The types of a column can differ between files of a dataset. Events with different types are not stored in one
    chunk: converted to a common type, values would change. Nor are events with different columns: a stage that does not
    apply to a dataset writes none.

    Parameters
    ----------
    stage : str
        Id of the stage.
    columns : tuple of str
        Columns to store.
    folder : Path
        Folder of the chunks.
    task : str
        Unique name of the task, for file names.
    size : int
        Number of events after which a chunk is written.
    meter : Meter
        Measures the time for storing.

    Attributes
    ----------
    refs : list of Ref
        Chunks written so far.
    """

    def __init__(self, stage: str, columns: tuple[str, ...], folder: Path, task: str, size: int, meter: Meter) -> None:
        self.refs: list[Ref] = []
        self._stage = stage
        self._columns = columns
        self._folder = folder
        self._task = task
        self._size = size
        self._meter = meter
        self._waiting: list[Events] = []
        self._types: tuple[tuple[str, str], ...] = ()
        self._spans: list[Span] = []
        self._dataset = -1

    def put(self, events: Events, dataset: int, spans: Iterable[Span]) -> None:
        """Add the stream of a pass. Write a chunk if it is large enough, or if dataset or types change.

        The partitions of a chunk have no gap: a failed partition may be repeated later.
        """
        spans = list(spans)
        types = tuple((name, type_of(from_column(events[name]))) for name in self._columns if name in events)
        gap = bool(self._spans and spans) and self._spans[-1][1] != spans[0][0]
        if dataset != self._dataset or types != self._types or gap:
            self.flush()
            self._dataset, self._types = dataset, types
        self._waiting.append(events)
        for first, last in spans:
            if self._spans and self._spans[-1][1] == first:
                self._spans[-1] = (self._spans[-1][0], last)
            else:
                self._spans.append((first, last))
        if sum(len(part) for part in self._waiting) >= self._size:
            self.flush()

    def flush(self) -> None:
        """Write a chunk with all collected events."""
        if not self._waiting:
            return
        path = self._folder / f"{self._stage}-{self._task}-{len(self.refs):03d}.npz"
        with self._meter.measure("store"):
            self.refs.append(store.save_events(path, self._joined(), self._dataset, self._spans))
        self._waiting, self._spans = [], []

    def _joined(self) -> Events:
        parts = self._waiting
        columns: dict[str, Any] = {name: _concatenate([part[name] for part in parts]) for name, _ in self._types}
        known = all(part.owners is not None for part in parts)
        owners = np.concatenate([part.owners for part in parts]) if known else None
        return Events(columns, sum(len(part) for part in parts), owners)


def _concatenate(parts: list[Any]) -> Any:
    return parts[0] if len(parts) == 1 else to_awkward(concatenate(list(map(from_column, parts))))
