"""What is known of one segment while a run goes on: what waits, what runs, what is there."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable

from fasthep_parsl.driver.audit import check_result
from fasthep_parsl.driver.pace import Pace
from fasthep_parsl.driver.pieces import halves_of, left_of
from fasthep_parsl.driver.shelf import Shelf, Volume
from fasthep_parsl.plan import Plan, PlanSegment
from fasthep_parsl.tasks import Failure, Ref, Task, TaskResult
from fasthep_parsl.worker.passes import Passes
from fasthep_parsl.worker.spans import Span, add, count, halves, subtract, union


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
        self.shelf = Shelf()
        self.passes = Passes(plan, segment)
        self.broken: dict[str, Failure] = {}
        self.done: list[Span] = []
        self.failures: list[Failure] = []
        self._lost_once: set[Span] = set()
        self.blocked = ""
        self._count_left()

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
        return self.mapped and self.shelf.complete

    @property
    def product(self) -> str:
        """File of the merged products, empty if there are none."""
        return self.shelf.volumes[0].path if self.complete and self.shelf.volumes else ""

    def has_product(self, stage: str) -> bool:
        """Whether the merged product of a stage is there."""
        return bool(self.product) and stage not in self.broken

    def receive(self, refs: Iterable[Ref]) -> None:
        """Queue pieces of the stream that it reads."""
        for ref in refs:
            self.refs.append(ref)
            self.all_refs.append(ref)
            self._events_left += ref.events
            self._parts_left += 1

    def _count_left(self) -> None:
        """Count the events and partitions (or pieces) that were not handed out; kept up to date from then on."""
        self._events_left = sum(self.plan.events_in(*span) for span in self.spans) + sum(r.events for r in self.refs)
        self._parts_left = count(self.spans) + len(self.refs)

    def take(self, slots: int) -> tuple[tuple[Span, ...], tuple[Ref, ...]]:
        """Cut the next bundle off what is left: partitions or references for one task."""
        if self.again:
            return self.again.popleft()
        target = self.pace.target(self._events_left, self._parts_left, slots)
        spans: list[Span] = []
        refs: list[Ref] = []
        spent = 0.0
        while spent < target and self.refs:
            refs.append(self.refs.popleft())
            spent += self._spend(refs[-1].events, 1)
        while spent < target and self.spans:
            first, last = self.spans.popleft()
            stop = self.passes.end(self._reach(first, last, target - spent), first, last)
            spent += self._spend(self.plan.events_in(first, stop), stop - first)
            spans.append((first, stop))
            if stop < last:
                self.spans.appendleft((stop, last))
        return tuple(spans), tuple(refs)

    def _spend(self, events: int, parts: int) -> float:
        self._events_left -= events
        self._parts_left -= parts
        return self.pace.seconds(events, parts)

    def _reach(self, first: int, last: int, seconds: float) -> int:
        """Return where a range of partitions must end to take about `seconds`; it has at least one."""

        def cost(stop: int) -> float:
            return self.pace.seconds(self.plan.events_in(first, stop), stop - first)

        return first + 1 + bisect_left(range(first + 1, last), seconds, key=cost)

    def give_back(self, task: Task) -> None:
        """Put back what a lost task was to do, in halves, so that what kills workers is found.

        A single pass is first done again as it is: its sums are the same then. Only if it is lost again it is cut.
        """
        refs = tuple(halves_of(task.refs[0])) if len(task.refs) == 1 else task.refs
        middle = len(refs) // 2
        left, right = self.passes.halves(task.partitions)
        if not task.refs and len(left) == 1 and not right:
            if left[0] in self._lost_once:
                left, right = halves(left)
            else:
                self._lost_once.add(left[0])
        bundles = ((tuple(union(left)), refs[:middle]), (tuple(union(right)), refs[middle:]))
        self.again.extend(bundle for bundle in bundles if any(bundle))

    # --- what has happened --------------------------------------------------------------------------------

    def add(self, task: Task, result: TaskResult) -> None:
        """Take in a finished map or call task.

        Raises
        ------
        BookkeepingError
            It has done what it was not asked to do, or what is done already.
        """
        check_result(self, task, result)
        self.running.pop(task.id, None)
        for span in result.done:
            add(self.done, span)
        self.shelf.settle((*task.partitions, *(span for ref in task.refs for span in ref.partitions)))
        self.failures += result.failures
        self.break_off(result.broken)
        if result.partial:
            self.shelf.put(Volume(result.partial, result.parts, result.whole))
        if task.kind == "map":
            events = result.events
            self.pace.learn(events, count(task.partitions) + len(task.refs), result.wall)

    def break_off(self, broken: Iterable[Failure]) -> None:
        """Note stages whose products cannot be joined; if there is nothing else to do here, nothing more is done."""
        for failure in broken:
            if failure.stage not in self.broken:
                self.broken[failure.stage] = failure
                self.failures.append(failure)
        if self.broken and not self.segment.stores and set(self.segment.products) <= set(self.broken):
            self.blocked = self.blocked or "its products cannot be joined"

    def start_merge(self, task_id: int) -> tuple[tuple[str, ...], bool]:
        """Return partial products that `task_id` should join now, none if it is too early; and whether that is all."""
        chosen, final = self.shelf.take(task_id, last=self.mapped)
        return tuple(volume.path for volume in chosen), final

    def merged(self, task_id: int, result: TaskResult) -> tuple[str, ...]:
        """Replace partial products by their sum; return the files that are no longer needed.

        Raises
        ------
        BookkeepingError
            It does not hold what they held.
        """
        self.break_off(result.broken)
        if not result.partial:  # not a single stage of them has a product any more
            return tuple(volume.path for volume in self.shelf.drop(task_id))
        old = self.shelf.joined(task_id, Volume(result.partial, result.parts, result.whole))
        return tuple(volume.path for volume in old)

    def merge_renumbered(self, task_id: int, number: int) -> None:
        """Give another number to a merge that is run once more."""
        self.shelf.away[number] = self.shelf.away.pop(task_id)

    def merge_failed(self, task_id: int) -> None:
        """Put partial products back after a merge was lost."""
        self.shelf.put_back(task_id)

    def settle(self) -> None:
        """Leave in the queues what is not done (resume)."""
        self.spans = deque(subtract(self.spans, self.done))
        self.refs = deque(part for ref in self.all_refs for part in left_of(ref, self.done))
        self.shelf.settle(self.done)
        self._count_left()


def _calls(plan: Plan, segment: PlanSegment) -> list[int]:
    """Return the datasets that a segment is called for: each, or -1 for all at once."""
    return {"partition": [], "workflow": [-1], "dataset": list(range(len(plan.datasets)))}[segment.scope]
