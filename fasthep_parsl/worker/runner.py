"""The one function that every backend runs: a task in, counts and references out.

A ``map`` task reads adjacent partitions in one pass up to a size bound and runs all stages of its segment on them. A pass
that fails is halved until the partition that fails is alone, so that one bad event costs no other partition.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from fasthep_parsl.interfaces import Reading
from fasthep_parsl.ops.stream import Events
from fasthep_parsl.ops.targets import partition_name
from fasthep_parsl.plan import PlanSegment
from fasthep_parsl.resources import memory
from fasthep_parsl.tasks import Failure, Ref, Task, TaskResult
from fasthep_parsl.worker import store, trail
from fasthep_parsl.worker.blame import failure_of
from fasthep_parsl.worker.columns import InputFileError
from fasthep_parsl.worker.files import OpenFiles, bytes_by_branch, read_fields
from fasthep_parsl.worker.outbox import Outbox
from fasthep_parsl.worker.partials import StoreError, load_products, save_products
from fasthep_parsl.worker.program import Meter, Program, StageError, program

_FILES = OpenFiles()
Span = tuple[int, int]


def run_task(task: Task) -> TaskResult:
    """Run `task` in this process.

    Parameters
    ----------
    task : Task
        What to do.

    Returns
    -------
    TaskResult
        Counts and references. A partition that fails is reported in `failures`, not raised.
    """
    wall, cpu = time.perf_counter(), time.process_time()
    trail.begin(task.run_dir, task.id)
    work = _Work(task, program(*task.plan, task.run_dir))
    work.program.notes.forget(0)  # of a task that was broken off
    if task.kind == "merge":
        work.merge()
    elif task.kind == "call":
        work.call()
    else:
        work.map()
    trail.end()
    return TaskResult(
        id=task.id,
        partial=work.partial,
        refs={stage: tuple(outbox.refs) for stage, outbox in work.outboxes.items()},
        done=tuple(work.done),
        failures=tuple(work.failures),
        stages=work.meter.result(),
        events=work.events,
        bytes_read=work.bytes_read,
        wall=time.perf_counter() - wall,
        cpu=time.process_time() - cpu,
        peak_memory=memory.peak(),
        host=socket.gethostname(),
        pid=os.getpid(),
        notes=work.program.notes.take(),
    )


@dataclass
class _Pass:
    """What one pass yields; counted only when the whole pass has succeeded."""

    products: dict[str, Any] = field(default_factory=dict)
    streams: dict[str, Events] = field(default_factory=dict)


class _Work:
    def __init__(self, task: Task, program: Program) -> None:
        self.task = task
        self.program = program
        self.plan = program.plan
        self.segment: PlanSegment = program.plan.segments[task.segment]
        self.steps = program.steps(self.segment)
        self.meter = Meter()
        self.products: dict[str, Any] = {}
        folder = Path(task.run_dir) / "work" / "streams"
        self.outboxes = {
            stage: Outbox(stage, columns, folder, task.id, self.plan.pass_size, self.meter)
            for stage, columns in self.segment.stores.items()
        }
        self.done: list[Span] = []
        self.failures: list[Failure] = []
        self.events = 0
        self.bytes_read = 0
        self.partial = ""

    # --- map ----------------------------------------------------------------------------------------------

    def map(self) -> None:
        """Run the segment over partitions of the source or over stored pieces of a stream."""
        for ref in self.task.refs:
            self._map_ref(ref)
        for span in self._passes():
            self._map_span(span)
        for outbox in self.outboxes.values():
            outbox.flush()
        if self.products:
            self._save_products()

    def _passes(self) -> Iterator[Span]:
        """Cut the task's partitions into passes: adjacent, in one file, up to the size bound."""
        for first, last in self.task.partitions:
            start = first
            while start < last:
                _, file, low, high = self.plan.partition_range(start)
                stop = start + 1
                if not self.segment.per_partition:
                    number = self.plan.locate(start)[2]
                    while stop < last and number + (stop - start) < file.partitions:
                        high = file.edges[number + (stop - start) + 1]
                        if high - low > self.plan.pass_size:
                            break
                        stop += 1
                yield start, stop
                start = stop

    def _map_span(self, span: Span) -> None:
        first, last = span
        dataset = self.plan.locate(first)[0]
        before = len(self.program.notes)
        events: Events | None = None
        found: _Pass | None = None
        try:
            events = self._read(span)
            found = self._run(events, dataset, self._name(first))
        except (StageError, InputFileError) as error:
            self.program.notes.forget(before)
            if last - first == 1:
                self.failures.append(failure_of(first, error))
                return
            events = found = None  # the halves need their memory; until here the error holds it, too
        if events is None or found is None:
            middle = (first + last) // 2
            self._map_span((first, middle))
            self._map_span((middle, last))
            return
        self.program.notes.settle(before)
        self.events += len(events)
        self._accept(found, dataset, [span])

    def _map_ref(self, ref: Ref) -> None:
        numbers = [number for first, last in ref.partitions for number in range(first, last)]
        try:
            with self.meter.measure("read"):
                events = store.load_events(ref, self.segment.columns)
        except StoreError as error:
            self._fail(numbers, error)
            return
        edges = [0, *accumulate(ref.counts)] if ref.counts else []
        self._map_stored(events, ref.dataset, numbers, edges)

    def _map_stored(self, events: Events, dataset: int, numbers: list[int], edges: list[int]) -> None:
        """Run the segment on stored events of the partitions `numbers`, which begin at `edges`."""
        before = len(self.program.notes)
        found: _Pass | None = None
        try:
            found = self._run(events, dataset, self._name(numbers[0]))
        except StageError as error:
            self.program.notes.forget(before)
            if len(numbers) == 1 or not edges:
                self._fail(numbers, error)
                return
            found = None
        if found is None:  # here the error no longer holds what the halves need of memory
            middle = len(numbers) // 2
            for part, low, high in ((numbers[:middle], 0, middle), (numbers[middle:], middle, len(numbers))):
                piece = events.filter(slice(edges[low] - edges[0], edges[high] - edges[0]))
                self._map_stored(piece, dataset, part, edges[low : high + 1])
            return
        self.program.notes.settle(before)
        self.events += len(events)
        self._accept(found, dataset, [(number, number + 1) for number in numbers])

    def _fail(self, numbers: list[int], error: Exception) -> None:
        """Count partitions as failed; the traceback is kept once."""
        first = failure_of(numbers[0], error)
        self.failures += [first, *(replace(first, partition=number, detail="") for number in numbers[1:])]

    def _read(self, span: Span) -> Events:
        first, last = span
        dataset, file, start, _ = self.plan.partition_range(first)
        stop = self.plan.partition_range(last - 1)[3]
        owners = self._owners(first, last) if self.segment.stores else None
        if not self.segment.columns:  # nothing is asked of the file: do not open it
            return Events({}, stop - start, owners)
        source = self.plan.source.with_tree(dataset.tree)
        wall, cpu = time.perf_counter(), time.process_time()
        with self.meter.measure("read"):
            for attempt in (1, 2):
                try:
                    opened = _FILES.get(file.path, source, size=file.size, mtime_ns=file.mtime_ns)
                    before = opened.bytes_read
                    columns = read_fields(opened, source, self.segment.columns, start, stop)
                    break
                except InputFileError:
                    _FILES.drop(file.path)
                    if attempt == 2 or "://" not in file.path:
                        raise
            self.bytes_read += opened.bytes_read - before
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        branches = partial(bytes_by_branch, opened, source, self.segment.columns, start, stop)
        self.program.note_reading(self.segment, Reading(stop - start, wall, cpu, branches))
        return Events(columns, stop - start, owners)

    def _owners(self, first: int, last: int) -> Any:
        """Return the partition of each event in a range of partitions of one file."""
        _, number, inside = self.plan.locate(first)
        edges = self.plan.datasets[self.plan.locate(first)[0]].files[number].edges[inside : inside + last - first + 1]
        return np.repeat(np.arange(first, last), np.diff(edges))

    def _run(self, events: Events, dataset: int, partition: str) -> _Pass:
        """Run all steps on one pass."""
        found = _Pass()
        streams: dict[str, Events] = {self.segment.input: events}
        for step in self.steps:
            stage = step.stage
            needed = set(stage.reads) | set(stage.keep)
            given = streams[stage.input]
            if "*" not in needed:
                given = given.select(name for name in given if name in needed)
            stream, product = self.program.run(step, given, dataset, partition, self.task.products, self.meter)
            if stream is not None:
                streams[stage.id] = stream
            if stage.product:
                found.products[stage.id] = product
        for stage_id, columns in self.segment.stores.items():
            stored = streams[stage_id].select(columns)
            found.streams[stage_id] = Events({name: stored[name] for name in columns}, len(stored), stored.owners)
            self.program.notes.moved(stage_id)
        return found

    def _accept(self, found: _Pass, dataset: int, spans: Iterable[Span]) -> None:
        """Count a pass that has succeeded."""
        spans = list(spans)
        for stage, product in found.products.items():
            if stage in self.products:
                with self.meter.measure("merge"):
                    product = self.program.merge(stage)(self.products[stage], product)  # noqa: PLW2901
            self.products[stage] = product
        for stage, events in found.streams.items():
            self.outboxes[stage].put(events, dataset, spans)
        for first, last in spans:
            if self.done and self.done[-1][1] == first:
                self.done[-1] = (self.done[-1][0], last)
            else:
                self.done.append((first, last))

    # --- merge and call -----------------------------------------------------------------------------------

    def merge(self) -> None:
        """Join partial products."""
        with self.meter.measure("merge"):
            for path in self.task.partials:
                for stage, product in load_products(path).items():
                    known = stage in self.products
                    self.products[stage] = (
                        self.program.merge(stage)(self.products[stage], product) if known else product
                    )
            self._save_products()

    def call(self) -> None:
        """Run a stage that sees a whole dataset or the whole workflow."""
        step = self.steps[0]
        pieces = _Pieces(self._pieces)
        dataset = self.task.dataset
        before = len(self.program.notes)
        name = self.plan.datasets[dataset].name if dataset >= 0 else "all"
        try:
            _, product = self.program.run(step, pieces, dataset, name, self.task.products, self.meter)
        except StageError as error:
            self.program.notes.forget(before)
            self.failures.append(failure_of(-1, error))
            return
        whole = step.op.scope == "workflow" or step.op.merge is not None
        self.products[step.stage.id] = product if whole else {name: product}
        self._save_products()

    def _pieces(self) -> Iterator[Events]:
        """Yield the events of a call: stored pieces, or passes over the source."""
        self.events = 0
        for ref in self.task.refs:
            self.events += ref.events
            yield store.load_events(ref, self.segment.columns)
        for span in self._passes():
            events = self._read(span)
            self.events += len(events)
            yield events

    # --- files --------------------------------------------------------------------------------------------

    def _save_products(self) -> None:
        path = self._work_file(f"{self.task.kind}-{self.segment.id}-{self.task.id:06d}.pkl", "products")
        self.partial = save_products(path, self.products)

    def _work_file(self, name: str, kind: str) -> Path:
        folder = Path(self.task.run_dir) / "work" / kind
        folder.mkdir(parents=True, exist_ok=True)
        return folder / name

    def _name(self, partition: int) -> str:
        dataset = self.plan.locate(partition)[0]
        return partition_name(self.plan.datasets[dataset].name, partition)


class _Pieces:
    """Pieces of a stream, loaded one at a time; what an op of scope dataset or workflow iterates over, also twice."""

    def __init__(self, load: Callable[[], Iterator[Events]]) -> None:
        self._load = load

    def __iter__(self) -> Iterator[Events]:
        return self._load()
