"""The one function that every backend runs: a task in, counts and references out.

A ``map`` task reads adjacent partitions in one pass and runs all stages of its segment on them. A pass
that fails is halved until the partition that fails is alone, so that one bad event costs no other partition.
"""

from __future__ import annotations

import os
import pickle
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from fasthep_parsl.errors import OpError
from fasthep_parsl.interfaces import Reading
from fasthep_parsl.ops.stream import Events
from fasthep_parsl.ops.targets import partition_name
from fasthep_parsl.plan import PlanSegment
from fasthep_parsl.resources import memory
from fasthep_parsl.tasks import Failure, Ref, Task, TaskResult
from fasthep_parsl.worker import store, trail
from fasthep_parsl.worker.blame import failure_of, merge_failure, unwritable
from fasthep_parsl.worker.columns import InputFileError
from fasthep_parsl.worker.files import OpenFiles, bytes_by_branch, read_fields
from fasthep_parsl.worker.outbox import Outbox
from fasthep_parsl.worker.partials import StoreError, load_parts, save_parts
from fasthep_parsl.worker.program import Meter, Program, StageError, program
from fasthep_parsl.worker.spans import union
from fasthep_parsl.worker.sums import Sums

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
        size=work.size,
        parts=tuple(part.spans for part in work.sums.parts) if work.partial else (),
        whole=work.whole,
        refs={stage: tuple(outbox.refs) for stage, outbox in work.outboxes.items()},
        done=tuple(work.done),
        failures=tuple(work.failures),
        broken=tuple(work.sums.broken.values()),
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
        self.passes = program.passes(self.segment)
        self.sums = Sums(self._join, self._blame_merge, self._end())
        folder = Path(task.run_dir) / "work" / "streams"
        self.outboxes = {
            stage: Outbox(stage, columns, folder, _name_of(task), self.plan.pass_size, self.meter)
            for stage, columns in self.segment.stores.items()
        }
        self.done: list[Span] = []
        self.failures: list[Failure] = []
        self.events = 0
        self.bytes_read = 0
        self.partial, self.size, self.whole = "", 0, False

    def _end(self) -> int:
        """Return where the numbers end under which products are put in order: of partitions, or of calls."""
        if self.segment.scope == "partition":
            return self.plan.partitions
        return max(len(self.plan.datasets), 1) if self.segment.scope == "dataset" else 1

    # --- map ----------------------------------------------------------------------------------------------

    def map(self) -> None:
        """Run the segment over partitions of the source or over stored pieces of a stream."""
        for ref in self.task.refs:
            self._map_ref(ref)
        for span in self.passes.cut(self.task.partitions):
            self._map_span(span)
        for outbox in self.outboxes.values():
            outbox.flush()
        self._save_products()

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
        if not (self.segment.per_partition and edges):
            self._map_stored(events, ref.dataset, numbers, edges)
            return
        for number, (low, high) in zip(numbers, pairwise(edges), strict=True):
            self._map_stored(events.filter(slice(low, high)), ref.dataset, [number], [low, high])

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
        trail.at("")
        first, last = span
        dataset, file, start, _ = self.plan.partition_range(first)
        stop = self.plan.partition_range(last - 1)[3]
        owners = self._owners(first, last) if self.segment.stores else None
        source = self.plan.source.with_tree(dataset.tree)
        wall, cpu = time.perf_counter(), time.process_time()
        with self.meter.measure("read"):
            for attempt in (1, 2):
                try:
                    opened = _FILES.get(file.path, source, file)
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
        trail.at("")
        return found

    def _accept(self, found: _Pass, dataset: int, spans: Iterable[Span]) -> None:
        """Count a pass that has succeeded."""
        spans = list(spans)
        if found.products:
            self.sums.add(union(spans), found.products)
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
        for path in self.task.partials:
            for part in load_parts(path):
                self.sums.add(part.spans, part.products)
        self.sums.limit()
        self._save_products()

    def _join(self, stage: str, left: Any, right: Any) -> Any:
        """Join two products of a stage."""
        with self.meter.measure("merge"):
            found = self.program.merge(stage)(left, right)
        if found is None and left is not None:
            raise OpError("it returned None instead of a product")
        return found

    def _blame_merge(self, stage: str, error: Exception) -> Failure:
        op = self.plan.stage(stage).op
        return merge_failure(stage, op, self.program.merge(stage), self.program.module(stage), error)

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
        place = max(dataset, 0)
        self.sums.add([(place, place + 1)], {step.stage.id: product if whole else {name: product}})
        self._save_products()

    def _pieces(self) -> Iterator[Events]:
        """Yield the events of a call: stored pieces, or passes over the source."""
        self.events = 0
        for ref in self.task.refs:
            self.events += ref.events
            yield store.load_events(ref, self.segment.columns)
        for span in self.passes.cut(self.task.partitions):
            events = self._read(span)
            self.events += len(events)
            yield events

    # --- files --------------------------------------------------------------------------------------------

    def _save_products(self) -> None:
        """Write what there is of products; a stage whose product cannot be written has none."""
        parts = [part for part in self.sums.parts if part.products]
        if not parts:
            return
        folder = Path(self.task.run_dir) / "work" / "products"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.task.kind}-{self.segment.id}-{_name_of(self.task)}.pkl"
        try:
            self._write(path)
        except (OSError, MemoryError):
            raise
        except Exception:  # noqa: BLE001  (what cannot be pickled raises anything)
            self._leave_out_unwritable()
            if any(part.products for part in self.sums.parts):
                self._write(path)

    def _write(self, path: Path) -> None:
        whole = None
        if self.task.final and len(self.sums.parts) > 1:
            copy = pickle.loads(pickle.dumps(self.sums.parts, protocol=5))  # noqa: S301  (a merge may change what it is given)
            ours, self.sums.parts = self.sums.parts, copy
            whole = self.sums.whole()
            self.sums.parts = [
                replace(part, products={s: p for s, p in part.products.items() if s not in self.sums.broken})
                for part in ours
            ]
        self.size = save_parts(path, self.sums.parts, whole)
        self.partial, self.whole = str(path), whole is not None

    def _leave_out_unwritable(self) -> None:
        for stage in {stage for part in self.sums.parts for stage in part.products}:
            try:
                pickle.dumps([part.products.get(stage) for part in self.sums.parts], protocol=5)
            except Exception as error:  # noqa: BLE001
                self.sums.leave_out(stage, unwritable(stage, self.plan.stage(stage).op, error))

    def _name(self, partition: int) -> str:
        dataset = self.plan.locate(partition)[0]
        return partition_name(self.plan.datasets[dataset].name, partition)


def _name_of(task: Task) -> str:
    """Return what no other task of any execution of the run has in the names of its files."""
    return f"{task.id:06d}-{task.session}" if task.session else f"{task.id:06d}"


class _Pieces:
    """Pieces of a stream, loaded one at a time; what an op of scope dataset or workflow iterates over, also twice."""

    def __init__(self, load: Callable[[], Iterator[Events]]) -> None:
        self._load = load

    def __iter__(self) -> Iterator[Events]:
        return self._load()
