"""Consistency checks of a run: every partition is done once, and products contain exactly the partitions that are done."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fasthep_parsl.driver.partial_products import ConsistencyError
from fasthep_parsl.tasks import Span, Task, TaskResult
from fasthep_parsl.worker.spans import count, covers, meets, union

if TYPE_CHECKING:
    from fasthep_parsl.driver.segment_state import SegmentState


def check_result(state: SegmentState, task: Task, result: TaskResult) -> None:
    """Check the result of a map task against the task and against what is done.

    Raises
    ------
    ConsistencyError
        It has other partitions than the task, they are done already, or its products have others.
    """
    if task.kind != "map":
        return
    asked = [*task.partitions, *(span for ref in task.refs for span in ref.partitions)]
    done = union(result.done)
    failed = union((failure.partition, failure.partition + 1) for failure in result.failures if failure.partition >= 0)
    if not _same(asked, [*done, *failed]) or count(result.done) != count(done):
        raise ConsistencyError(f"task {task.id} had partitions {_short(asked)} and has done {_short(done)}")
    if any(meets(state.done, span) for span in done):
        raise ConsistencyError(f"task {task.id} has done partitions {_short(done)}; some of these were done before")
    wanted = {*state.segment.products} - state.broken.keys() - {failure.stage for failure in result.broken}
    listed = [span for part in result.parts for span in part]
    if (wanted or result.partial) and done and not _same(listed, done):
        raise ConsistencyError(f"products of task {task.id} contain partitions {_short(listed)}, not {_short(done)}")
    planned = (
        sum(ref.events for ref in task.refs if all(covers(done, span) for span in ref.partitions))
        if task.refs
        else sum(state.plan.events_in(*span) for span in done)
    )
    complete = not failed or not task.refs  # the events of a chunk that failed in part are unknown here
    if complete and result.events != planned:
        raise ConsistencyError(f"task {task.id} has processed {result.events:,} events of {planned:,}")


def check_all(states: Iterable[SegmentState]) -> None:
    """Check at the end of a run that products contain each partition that is done exactly once.

    Raises
    ------
    ConsistencyError
        A product does not.
    """
    for state in states:
        if state.segment.scope != "partition" or not state.product:
            continue
        listed = state.partials.spans()
        if not _same(listed, state.done):
            name = "/".join(state.segment.stages)
            raise ConsistencyError(f"products of {name} contain partitions {_short(listed)}, not {_short(state.done)}")


def _same(listed: Iterable[Span], wanted: Iterable[Span]) -> bool:
    """Return whether `listed` has each partition of `wanted` exactly once, and no other."""
    listed = list(listed)
    return count(listed) == count(union(listed)) and union(listed) == union(wanted)


def _short(spans: Iterable[Span]) -> str:
    listed = union(spans)
    text = ", ".join(f"{first}–{last - 1}" if last - first > 1 else f"{first}" for first, last in listed[:5])
    return (text or "none") + (" …" if len(listed) > 5 else "")
