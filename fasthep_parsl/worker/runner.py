"""Run a task. This is the function that all backends call: it receives a task and returns counts and references.

A ``map`` task reads adjacent partitions in one pass and runs all stages of its segment on them. A pass that fails is
halved until the failing partition is alone, so that a bad event fails only its own partition.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import accumulate, pairwise
from pathlib import Path

from fasthep_parsl.interfaces import InputFileError
from fasthep_parsl.ops.stream import Events
from fasthep_parsl.ops.targets import partition_name
from fasthep_parsl.plan import PlanSegment
from fasthep_parsl.resources import memory
from fasthep_parsl.tasks import Failure, Ref, Span, Task, TaskResult
from fasthep_parsl.worker import store, trail
from fasthep_parsl.worker.failures import concerns_file, failure_of
from fasthep_parsl.worker.meter import Meter
from fasthep_parsl.worker.node_facts import first_facts
from fasthep_parsl.worker.outbox import Outbox
from fasthep_parsl.worker.partials import StoreError, load_parts
from fasthep_parsl.worker.products import Products, unique_name
from fasthep_parsl.worker.program import Program, StageError, program
from fasthep_parsl.worker.reading import Reader
from fasthep_parsl.worker.replicas import replicas_of
from fasthep_parsl.worker.segment_steps import PassResults, Steps
from fasthep_parsl.worker.spans import union


def run_task(task: Task) -> TaskResult:
    """Run `task` in this process.

    Parameters
    ----------
    task : Task
        The task.

    Returns
    -------
    TaskResult
        Counts and references. A partition that fails is reported in `failures`, not raised.
    """
    wall, cpu = time.perf_counter(), time.process_time()
    trail.begin(task.run_dir, task.id)
    work = _TaskRun(task, program(*task.plan, task.run_dir, task.session))
    work.program.notes.forget(0)  # of an interrupted task
    if task.kind == "merge":
        work.merge()
    elif task.kind == "call":
        work.call()
    else:
        work.map()
    trail.end()
    return TaskResult(
        id=task.id,
        partial=work.products.path,
        size=work.products.size,
        parts=work.products.parts,
        whole=work.products.whole,
        refs={stage: tuple(outbox.refs) for stage, outbox in work.outboxes.items()},
        done=tuple(work.done),
        failures=tuple(work.failures),
        broken=tuple(work.products.sums.broken.values()),
        stages=work.meter.result(),
        events=work.events,
        bytes_read=work.reader.bytes_read,
        wall=time.perf_counter() - wall,
        cpu=time.process_time() - cpu,
        peak_memory=memory.peak(),
        host=socket.gethostname(),
        pid=os.getpid(),
        notes=work.program.notes.take(),
        node=first_facts(),
        storage=work.replicas.take(),
    )


class _TaskRun:
    def __init__(self, task: Task, program: Program) -> None:
        self.task = task
        self.program = program
        self.plan = program.plan
        self.segment: PlanSegment = program.plan.segments[task.segment]
        self.meter = Meter()
        self.steps = Steps(program, self.segment, task.products, self.meter)
        self.passes = program.passes(self.segment)
        self.replicas = replicas_of(task.session)
        self.replicas.begin(task.avoid)
        self.reader = Reader(program, self.segment, self.meter, self.replicas)
        self.products = Products(task, program, self.segment, self.meter)
        folder = Path(task.run_dir) / "work" / "streams"
        self.outboxes = {
            stage: Outbox(stage, columns, folder, unique_name(task), self.plan.pass_size, self.meter)
            for stage, columns in self.segment.stores.items()
        }
        self.done: list[Span] = []
        self.failures: list[Failure] = []
        self.events = 0

    # --- map ----------------------------------------------------------------------------------------------

    def map(self) -> None:
        """Run the segment over partitions of the source or over stored chunks of a stream."""
        for ref in self.task.refs:
            self._map_ref(ref)
        for span, following in _followed(self.passes.cut(self.task.partitions)):
            self._map_span(span, self.plan.locate(span[0]), following)
        for outbox in self.outboxes.values():
            outbox.flush()
        self.products.save()

    def _map_span(self, span: Span, place: tuple[int, int, int], following: Span | None = None) -> None:
        """Run the segment on partitions of one file; `place` is where the first one is (`Plan.locate`).

        What is `following` is read ahead meanwhile.
        """
        first, last = span
        dataset, file, number = place
        before = len(self.program.notes)
        events: Events | None = None
        found: PassResults | None = None
        try:
            events = self.reader.read(span, place)
            if following is not None:
                self.reader.ahead(following)
            found = self.steps.run(events, dataset, self._name(dataset, first))
        except (StageError, InputFileError) as error:
            self.program.notes.forget(before)
            if last - first == 1 or concerns_file(error):
                self._fail(list(range(first, last)), error)
                return
            events = found = None  # release the memory for the halves; the error has held it, too
        if events is None or found is None:
            middle = (first + last) // 2
            self._map_span((first, middle), place)
            self._map_span((middle, last), (dataset, file, number + middle - first))
            return
        self.program.notes.settle(before)
        self.events += len(events)
        self._accept(found, dataset, [span])

    def _map_ref(self, ref: Ref) -> None:
        numbers = [number for first, last in ref.partitions for number in range(first, last)]
        try:
            with self.meter.measure("read"):
                events = self._load(ref)
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
        found: PassResults | None = None
        try:
            found = self.steps.run(events, dataset, self._name(dataset, numbers[0]))
        except StageError as error:
            self.program.notes.forget(before)
            if len(numbers) == 1 or not edges:
                self._fail(numbers, error)
                return
            found = None
        if found is None:  # the error no longer holds the memory that the halves need
            middle = len(numbers) // 2
            for part, low, high in ((numbers[:middle], 0, middle), (numbers[middle:], middle, len(numbers))):
                piece = events.filter(slice(edges[low] - edges[0], edges[high] - edges[0]))
                self._map_stored(piece, dataset, part, edges[low : high + 1])
            return
        self.program.notes.settle(before)
        self.events += len(events)
        self._accept(found, dataset, [(number, number + 1) for number in numbers])

    def _fail(self, numbers: list[int], error: Exception) -> None:
        """Record partitions as failed. The traceback is kept once."""
        first = failure_of(numbers[0], error)
        self.failures += [first, *(replace(first, partition=number, detail="") for number in numbers[1:])]

    def _accept(self, found: PassResults, dataset: int, spans: Iterable[Span]) -> None:
        """Record a pass that has succeeded."""
        spans = list(spans)
        if self.segment.products:
            self.products.sums.add(union(spans), found.products)
        for stage, events in found.streams.items():
            self.outboxes[stage].put(events, dataset, spans)
        for first, last in spans:
            if self.done and self.done[-1][1] == first:
                self.done[-1] = (self.done[-1][0], last)
            else:
                self.done.append((first, last))

    # --- merge and call -----------------------------------------------------------------------------------

    def merge(self) -> None:
        """Merge partial products."""
        for path in self.task.partials:
            for part in load_parts(path):
                self.products.sums.add(part.spans, part.products)
        self.products.sums.limit(list(self.task.gaps))
        self.products.save()

    def call(self) -> None:
        """Run a stage of scope dataset or workflow."""
        step = self.steps.all[0]
        chunks = _Chunks(self._chunks)
        dataset = self.task.dataset
        place = max(dataset, 0)
        if not self.program.views.of(step.stage, dataset).runs:
            self.products.sums.add([(place, place + 1)], {})
            self.products.save()
            return
        before = len(self.program.notes)
        name = self.plan.datasets[dataset].name if dataset >= 0 else "all"
        try:
            _, product = self.program.run(step, chunks, dataset, name, self.task.products, self.meter)
        except StageError as error:
            self.program.notes.forget(before)
            self.failures.append(failure_of(-1, error))
            return
        whole = step.op.scope == "workflow" or step.op.merge is not None
        self.products.sums.add([(place, place + 1)], {step.stage.id: product if whole else {name: product}})
        self.products.save()

    def _chunks(self) -> Iterator[Events]:
        """Yield the events of a call: stored chunks, or passes over the input files, of datasets to which it applies."""
        self.events = 0
        for ref in self.task.refs:
            if self._applies(ref.dataset):
                self.events += ref.events
                yield self._load(ref)
        spans = [span for span in self.passes.cut(self.task.partitions) if self._applies(self.plan.locate(span[0])[0])]
        for span, following in _followed(spans):
            events = self.reader.read(span, self.plan.locate(span[0]))
            if following is not None:
                self.reader.ahead(following)
            self.events += len(events)
            yield events

    def _load(self, ref: Ref) -> Events:
        """Return a stored chunk with the columns that the segment reads."""
        optional = self.program.views.optional(self.segment, ref.dataset)
        return store.load_events(ref, self.segment.columns, optional)

    def _applies(self, dataset: int) -> bool:
        """Whether the stage of a call applies to a dataset."""
        return self.program.views.of(self.steps.all[0].stage, dataset).runs

    def _name(self, dataset: int, partition: int) -> str:
        return partition_name(self.plan.datasets[dataset].name, partition)


def _followed(spans: Iterable[Span]) -> Iterator[tuple[Span, Span | None]]:
    """Yield each range with the one that comes next."""
    before: Span | None = None
    for span in spans:
        if before is not None:
            yield before, span
        before = span
    if before is not None:
        yield before, None


class _Chunks:
    """Chunks of a stream, loaded one at a time. An op of scope dataset or workflow can iterate over them repeatedly."""

    def __init__(self, load: Callable[[], Iterator[Events]]) -> None:
        self._load = load

    def __iter__(self) -> Iterator[Events]:
        return self._load()
