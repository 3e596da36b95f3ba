"""``diagnostics``: what goes into a stage and what comes out of it, with its time and memory."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from fasthep_parsl.atomic import write_text
from fasthep_parsl.interfaces import Call, Note, Reading
from fasthep_parsl.modifiers.diagnostics.gpu import watch_device
from fasthep_parsl.resources import memory

SCHEMA_VERSION = 1
_NOTHING = nullcontext()


class Diagnostics(BaseModel):
    """Counts what goes into a stage and what comes out.

    Events, and entries, None and NaN of each field; with time, peak memory of host and GPU, and the compressed bytes that
    were read of each branch. Nothing is computed for it that the
    stage itself does not use: a field that the op leaves alone is not counted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    needs_gpu: ClassVar[bool] = False

    fields: bool = Field(True, description="count None and NaN of each field; `false`: events, time and memory alone")

    def wrap(self, call: Call) -> Call:
        """Count around the op."""

        def counted(events: Any, **params: Any) -> Any:
            given = Inputs(events, call.reads, self.fields)
            before = memory.restart_peak()
            wall, cpu = time.perf_counter(), time.process_time()
            with watch_device() if "cupy" in sys.modules else _NOTHING as device:
                result = call.function(given.events, **params)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            peak = memory.peak_since()
            note: dict[str, Any] = {"op": call.op.name, "calls": 1, "wall": wall, "cpu": cpu, "memory": peak}
            note["added"] = max(0, peak - before)
            note |= given.counts()
            if device is not None and device.peak:
                note["gpu_memory"] = device.peak
            if call.op.stream:
                stream = result[0] if call.op.product else result
                note |= outputs(events, stream, count=self.fields)
            call.note("diagnostics", note)
            return result

        return call.using(counted)

    def reading(self, read: Reading) -> Note:
        """Keep what one reading of a file took."""
        return {"wall": read.wall, "cpu": read.cpu, "events": read.events, "branches": dict(read.branches())}

    @staticmethod
    def merge(a: Note, b: Note) -> Note:
        """Add counts and times, keep the higher peaks."""
        found = {**b, **a}
        for key in a.keys() & b.keys():
            if key in ("memory", "added", "gpu_memory"):
                found[key] = max(a[key], b[key])
            elif key == "branches":
                found[key] = {name: a[key].get(name, 0) + b[key].get(name, 0) for name in {**a[key], **b[key]}}
            elif isinstance(a[key], Mapping):
                found[key] = _add_counts(a[key], b[key])
            elif not isinstance(a[key], str):
                found[key] = a[key] + b[key]
        return found

    @staticmethod
    def write(notes: Mapping[str, Note], folder: Path) -> None:
        """Write ``diagnostics.json`` and ``diagnostics.txt``."""
        from fasthep_parsl.modifiers.diagnostics.report import content, text

        found = {"schema_version": SCHEMA_VERSION, **content(notes)}
        write_text(folder / "diagnostics.json", json.dumps(found, indent=1) + "\n")
        write_text(folder / "diagnostics.txt", text(found))


Counts = dict[str, list[int]]
"""Field → entries, None, NaN."""


def _add_counts(a: Mapping[str, list[int]], b: Mapping[str, list[int]]) -> Counts:
    return {
        name: [x + y for x, y in zip(a.get(name, (0, 0, 0)), b.get(name, (0, 0, 0)), strict=True)]
        for name in {**a, **b}
    }


class Inputs:
    """The events that an op is given; counted after the call, when what the op used lies there anyway.

    Parameters
    ----------
    events : Events, iterable of Events, or None
        What the op is given.
    reads : tuple of str
        Fields that it declares to read.
    count : bool
        Whether fields are looked at.
    """

    def __init__(self, events: Any, reads: tuple[str, ...], count: bool) -> None:
        self._reads = reads
        self._count = count
        self._whole = hasattr(events, "held")
        self._events = 0
        self._fields: Counts = {}
        self._first = True
        self._given = events
        self.events = events if events is None or self._whole else _Pieces(events, self._pass)

    def counts(self) -> dict[str, Any]:
        """Return events and counts of fields."""
        if self._whole:
            self._see(self._given)
        elif self._given is None:
            return {}
        return {"events_in": self._events, "fields_in": self._fields}

    def _pass(self, pieces: Iterable[Any]) -> Iterator[Any]:
        first, self._first = self._first, False
        for piece in pieces:
            yield piece
            if first:  # an op may go over its events more than once
                self._see(piece)

    def _see(self, events: Any) -> None:
        self._events += len(events)
        if self._count:
            names = events.fields if "*" in self._reads else [name for name in self._reads if name in events]
            found = count_columns((name, events.held(name)) for name in names)
            self._fields = _add_counts(self._fields, found) if self._fields else found


class _Pieces:
    """Pieces of a stream that are counted when the op has seen them."""

    def __init__(self, pieces: Any, watch: Callable[[Any], Iterator[Any]]) -> None:
        self._pieces = pieces
        self._watch = watch

    def __iter__(self) -> Iterator[Any]:
        return self._watch(self._pieces)


def outputs(events: Any, result: Any, *, count: bool) -> dict[str, Any]:
    """Return events that leave a stage, and counts of the fields that it has made."""
    if hasattr(result, "held"):
        made = ((name, result.held(name)) for name in result.fields)
        new = [(n, column) for n, column in made if n not in events or column is not events.held(n)]
        found: dict[str, Any] = {"events_out": len(result)}
    elif isinstance(result, Mapping):
        new, found = list(result.items()), {"events_out": len(events)}
    else:
        new, found = [(name, result[name]) for name in result.fields], {"events_out": len(result)}
    return {**found, "fields_out": count_columns(new)} if count else found


def count_columns(columns: Iterable[tuple[str, Any]]) -> Counts:
    """Return the counts of columns; those that do not lie there are left out."""
    from fasthep_parsl.modifiers.diagnostics.counting import count

    return {name: list(count(column)) for name, column in columns if column is not None}
