"""State of one segment during a run: the work that is waiting, running and done."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable

from fasthep_parsl.driver.bundle_size import BundleSizer
from fasthep_parsl.driver.consistency import check_result
from fasthep_parsl.driver.partial_products import PartialFile, PartialProducts
from fasthep_parsl.driver.stream_chunks import halves_of, remaining
from fasthep_parsl.plan import Plan, PlanSegment
from fasthep_parsl.tasks import Failure, Ref, Span, Task, TaskResult
from fasthep_parsl.worker.passes import Passes
from fasthep_parsl.worker.spans import add, count, halves, subtract, union
from fasthep_parsl.worker.sums import MOST_PARTS


class SegmentState:
    """Work of one segment. Pure: it uses no backend and no files.

    Parameters
    ----------
    plan : Plan
        The plan.
    segment : PlanSegment
        The segment.

    Attributes
    ----------
    spans, refs : deque
        Partitions of the source, and chunks of the stream that it reads, that no task has yet.
    all_refs : list of Ref
        All chunks received so far.
    expects_refs : bool
        Whether more chunks may come.
    again : deque
        Bundles of lost tasks.
    calls : deque of int
        Datasets to call the stage for, -1 for all.
    running : dict
        Number of a map or call task → the task.
    partials : PartialProducts
        Files with partial products.
    broken : dict
        Stage whose products cannot be merged → why.
    done : list of (first, last)
        Partitions that are done.
    failures : list of Failure
        Partitions and stages that have failed.
    blocked : str
        Why the segment cannot continue, empty if it can.
    """

    def __init__(self, plan: Plan, segment: PlanSegment) -> None:
        self.plan = plan
        self.segment = segment
        self.bundles = BundleSizer()
        reads_source = segment.scope == "partition" and not segment.input
        self.spans: deque[Span] = deque(
            (first, last) for _, first, last in plan.dataset_partitions() if reads_source and last > first
        )
        self.refs: deque[Ref] = deque()
        self.all_refs: list[Ref] = []
        self.expects_refs = bool(segment.input)
        self.again: deque[tuple[tuple[Span, ...], tuple[Ref, ...]]] = deque()
        self.calls = deque(_calls(plan, segment))
        self.running: dict[int, Task] = {}
        self.partials = PartialProducts()
        self.passes = Passes(plan, segment)
        self.broken: dict[str, Failure] = {}
        self.done: list[Span] = []
        self.failures: list[Failure] = []
        self._lost_once: set[Span] = set()
        self.blocked = ""
        self._count_left()

    # --- waiting ------------------------------------------------------------------------------------------

    @property
    def has_bundles(self) -> bool:
        """Whether there is work for a map task."""
        return bool(self.spans or self.refs or self.again)

    @property
    def mapped(self) -> bool:
        """Whether all its map or call tasks have ended."""
        if self.blocked:
            return not self.running
        if self.running or self.expects_refs:
            return False
        if self.segment.scope != "partition":
            return not self.calls
        return not self.has_bundles

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do, merges included."""
        return self.mapped and self.partials.complete

    @property
    def product(self) -> str:
        """File of the merged products, empty if there are none."""
        return self.partials.files[0].path if self.complete and self.partials.files else ""

    def has_product(self, stage: str) -> bool:
        """Return whether the merged product of a stage exists."""
        return bool(self.product) and stage not in self.broken

    def receive(self, refs: Iterable[Ref]) -> None:
        """Queue chunks of the stream that it reads."""
        for ref in refs:
            self.refs.append(ref)
            self.all_refs.append(ref)
            self._events_left += ref.events
            self._parts_left += 1

    def _count_left(self) -> None:
        """Count the events and partitions (or chunks) that no task has; from then on the counts are updated."""
        self._events_left = sum(self.plan.events_in(*span) for span in self.spans) + sum(r.events for r in self.refs)
        self._parts_left = count(self.spans) + len(self.refs)

    def take(self, slots: int) -> tuple[tuple[Span, ...], tuple[Ref, ...]]:
        """Remove the next bundle from the queues and return it: partitions or chunks for one task."""
        if self.again:
            return self.again.popleft()
        target = self.bundles.target(self._events_left, self._parts_left, slots)
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
        return self.bundles.seconds(events, parts)

    def _reach(self, first: int, last: int, seconds: float) -> int:
        """Return where a range of partitions must end to take about `seconds`; it has at least one."""

        def cost(stop: int) -> float:
            return self.bundles.seconds(self.plan.events_in(first, stop), stop - first)

        return first + 1 + bisect_left(range(first + 1, last), seconds, key=cost)

    def give_back(self, task: Task) -> None:
        """Queue the work of a lost map task again, in halves, to find what kills the workers.

        A single pass is first repeated as it is, because its sums are then the same. It is divided after a second loss.
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

    # --- results ------------------------------------------------------------------------------------------

    def add(self, task: Task, result: TaskResult, again: Iterable[int] = ()) -> None:
        """Add the result of a map or call task.

        Parameters
        ----------
        task, result : Task, TaskResult
            The task and its result.
        again : iterable of int
            Partitions of the source that are to be processed again; -1 for a call.

        Raises
        ------
        ConsistencyError
            It contains partitions that the task did not have, or that are done already.
        """
        returned = union((number, number + 1) for number in again)
        wanted = set(self.segment.products) - self.broken.keys()
        check_result(self.plan, task, result, self.done, wanted, returned)
        self.running.pop(task.id, None)
        if returned and task.kind == "call":
            self.calls.append(task.dataset)
            return
        for span in result.done:
            add(self.done, span)
        asked = (*task.partitions, *(span for ref in task.refs for span in ref.partitions))
        self.partials.settle(subtract(asked, returned) if returned else asked)
        if returned:
            self.again.append((tuple(returned), ()))
        self.failures += result.failures
        self.mark_broken(result.broken)
        if result.partial:
            self.partials.add(PartialFile(result.partial, result.parts, result.whole))
        tried = count(task.partitions) - count(returned) + len(task.refs)
        if task.kind == "map" and tried:
            self.bundles.learn(result.events, tried, result.wall)

    def mark_broken(self, broken: Iterable[Failure]) -> None:
        """Note stages whose products cannot be merged. Block the segment if it has nothing else to do."""
        for failure in broken:
            if failure.stage not in self.broken:
                self.broken[failure.stage] = failure
                self.failures.append(failure)
        if self.broken and not self.segment.stores and set(self.segment.products) <= set(self.broken):
            self.blocked = self.blocked or "its products cannot be merged"

    def start_merge(self, task_id: int) -> tuple[tuple[str, ...], bool, tuple[Span, ...]]:
        """Return the files that a task should merge, none if it is too early, whether these are all, and `Task.gaps`."""
        chosen, final = self.partials.start_merge(task_id, last=self.mapped)
        return tuple(file.path for file in chosen), final, self._failed_between(chosen)

    def _failed_between(self, files: list[PartialFile]) -> tuple[Span, ...]:
        """Return the failed partitions between those of files. What is done or not yet processed is in other files."""
        if sum(len(file.parts) for file in files) <= MOST_PARTS or self.segment.scope != "partition":
            return ()
        whole = (files[0].first, max(file.last for file in files))
        missing = subtract(subtract([whole], (span for file in files for span in file.spans())), self.done)
        return tuple(subtract(missing, subtract(missing, self.partials.settled)))

    def merged(self, task_id: int, result: TaskResult) -> tuple[str, ...]:
        """Add the result of a merge task, and return the files that it replaces.

        Raises
        ------
        ConsistencyError
            It has other partitions than these files.
        """
        self.mark_broken(result.broken)
        if not result.partial:  # none of its stages has a product any more
            return tuple(file.path for file in self.partials.drop(task_id))
        old = self.partials.end_merge(task_id, PartialFile(result.partial, result.parts, result.whole))
        return tuple(file.path for file in old)

    def renumber_merge(self, task_id: int, number: int) -> None:
        """Give another number to a merge that is repeated."""
        self.partials.merging[number] = self.partials.merging.pop(task_id)

    def merge_failed(self, task_id: int) -> None:
        """Put back the partial products of a merge that was lost."""
        self.partials.cancel_merge(task_id)

    def settle(self) -> None:
        """Remove from the queues what is done (resume)."""
        self.spans = deque(subtract(self.spans, self.done))
        self.refs = deque(part for ref in self.all_refs for part in remaining(ref, self.done))
        self.partials.settle(self.done)
        self._count_left()


def _calls(plan: Plan, segment: PlanSegment) -> list[int]:
    """Return the datasets that a segment is called for: each, or -1 for all at once."""
    return {"partition": [], "workflow": [-1], "dataset": list(range(len(plan.datasets)))}[segment.scope]
