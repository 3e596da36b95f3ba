"""What is known of one segment while a run goes on: what waits, what runs, what is there."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from fasthep_parsl.driver.pace import Pace
from fasthep_parsl.driver.spans import Span, count, halves, subtract, union
from fasthep_parsl.interfaces import Failure, Ref, Task, TaskResult
from fasthep_parsl.plan import Plan, PlanSegment

FAN_IN = 8
"""Partial products that one merge task joins."""


class SegmentState:
    """Bookkeeping of one segment; pure, knows no backend.

    Parameters
    ----------
    plan : Plan
        The plan.
    segment : PlanSegment
        The segment.
    """

    def __init__(self, plan: Plan, segment: PlanSegment) -> None:
        self.plan = plan
        self.segment = segment
        self.pace = Pace()
        mine = segment.scope == "partition" and not segment.input
        self.spans: deque[Span] = deque(
            (first, last) for _, first, last in plan.dataset_partitions() if mine and last > first
        )
        self.refs: deque[Ref] = deque()
        self.all_refs: list[Ref] = []
        self.expects_refs = bool(segment.input)
        self.again: deque[tuple[tuple[Span, ...], tuple[Ref, ...]]] = deque()
        self.calls = deque(_calls(plan, segment))
        self.running: dict[int, Task] = {}
        self.merging: dict[int, dict[str, list[Span]]] = {}
        self.partials: dict[str, list[Span]] = {}
        self.done: list[Span] = []
        self.failures: list[Failure] = []
        self.blocked = ""

    # --- what is left -------------------------------------------------------------------------------------

    @property
    def mapped(self) -> bool:
        """Whether all its map or call tasks have ended."""
        if self.blocked:
            return not self.running
        if self.running or self.expects_refs:
            return False
        if self.segment.scope != "partition":
            return not self.calls
        return not (self.spans or self.refs or self.again)

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do, merges included."""
        return self.mapped and not self.merging and len(self.partials) <= 1

    @property
    def product(self) -> str:
        """File of the merged products, empty if there are none."""
        return next(iter(self.partials), "") if self.complete else ""

    def _left(self) -> tuple[int, int]:
        events = sum(_events(self.plan, span) for span in self.spans) + sum(ref.events for ref in self.refs)
        return events, count(self.spans) + len(self.refs)

    def take(self, slots: int) -> tuple[tuple[Span, ...], tuple[Ref, ...]]:
        """Cut the next bundle off what is left: partitions or references for one task."""
        if self.again:
            return self.again.popleft()
        events, parts = self._left()
        target = self.pace.target(events, parts, slots)
        spans: list[Span] = []
        refs: list[Ref] = []
        spent = 0.0
        while spent < target and self.refs:
            refs.append(self.refs.popleft())
            spent += self.pace.seconds(refs[-1].events, 1)
        while spent < target and self.spans:
            first, last = self.spans.popleft()
            stop = first
            while stop < last and spent < target:
                step = min(max((last - stop) // 64, 1), last - stop)  # no need to be exact in long ranges
                spent += self.pace.seconds(_events(self.plan, (stop, stop + step)), step)
                stop += step
            spans.append((first, stop))
            if stop < last:
                self.spans.appendleft((stop, last))
        return tuple(spans), tuple(refs)

    def give_back(self, task: Task) -> None:
        """Put back what a lost task was to do, in halves, so that what kills workers is found."""
        left, right = halves(task.partitions)
        middle = len(task.refs) // 2
        bundles = ((tuple(left), task.refs[:middle]), (tuple(right), task.refs[middle:]))
        self.again.extend(bundle for bundle in bundles if any(bundle))

    # --- what has happened --------------------------------------------------------------------------------

    def add(self, task: Task, result: TaskResult) -> None:
        """Take in a finished map or call task."""
        self.running.pop(task.id, None)
        self.done = union([*self.done, *result.done])
        self.failures += result.failures
        if result.partial:
            self.partials[result.partial] = list(result.done)
        if task.kind == "map":
            events = result.events
            self.pace.learn(events, count(task.partitions) + len(task.refs), result.wall)

    def start_merge(self, task_id: int) -> tuple[str, ...]:
        """Return partial products that `task_id` should join now, none if it is too early."""
        last = self.mapped and not self.merging and len(self.partials) > 1
        if len(self.partials) < FAN_IN and not last:
            return ()
        chosen = tuple(self.partials)[:FAN_IN]
        self.merging[task_id] = {path: self.partials.pop(path) for path in chosen}
        return chosen

    def merged(self, task_id: int, result: str) -> tuple[str, ...]:
        """Replace partial products by their sum; return the files that are no longer needed."""
        joined = self.merging.pop(task_id)
        self.partials[result] = union(span for spans in joined.values() for span in spans)
        return tuple(joined)

    def merge_failed(self, task_id: int) -> None:
        """Put partial products back after a merge was lost."""
        self.partials |= self.merging.pop(task_id)

    def restore_missing(self, wanted: Iterable[Span]) -> None:
        """Set what is left to `wanted` minus what is done (resume)."""
        self.spans = deque(subtract(wanted, self.done))


def _calls(plan: Plan, segment: PlanSegment) -> list[int]:
    """Return the datasets that a segment is called for: each, or -1 for all at once."""
    return {"partition": [], "workflow": [-1], "dataset": list(range(len(plan.datasets)))}[segment.scope]


def _events(plan: Plan, span: Span) -> int:
    """Return the number of events in a range of partitions."""
    first, last = span
    total = 0
    while first < last:
        dataset, number, inside = plan.locate(first)
        file = plan.datasets[dataset].files[number]
        stop = min(file.partitions, inside + (last - first))
        total += file.edges[stop] - file.edges[inside]
        first += stop - inside
    return total
