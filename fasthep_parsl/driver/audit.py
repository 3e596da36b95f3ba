"""The books of a run are checked: every partition is done once, and every product holds what is done, no more and no less."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fasthep_parsl.driver.shelf import BookkeepingError
from fasthep_parsl.tasks import Task, TaskResult
from fasthep_parsl.worker.spans import Span, count, covers, meets, union

if TYPE_CHECKING:
    from fasthep_parsl.driver.state import SegmentState


def check_result(state: SegmentState, task: Task, result: TaskResult) -> None:
    """Check what a map or call task says that it has done.

    Raises
    ------
    BookkeepingError
        That is not what it was asked to do, or it is done already, or its products hold something else.
    """
    if task.kind != "map":
        return
    asked = [*task.partitions, *(span for ref in task.refs for span in ref.partitions)]
    done = union(result.done)
    failed = union((failure.partition, failure.partition + 1) for failure in result.failures if failure.partition >= 0)
    if not _same(asked, [*done, *failed]) or count(result.done) != count(done):
        raise BookkeepingError(f"task {task.id} was to do partitions {_short(asked)}, it did {_short(done)}")
    if any(meets(state.done, span) for span in done):
        raise BookkeepingError(f"task {task.id} did partitions {_short(done)}, of which some were done before")
    wanted = {*state.segment.products} - state.broken.keys() - {failure.stage for failure in result.broken}
    listed = [span for part in result.parts for span in part]
    if (wanted or result.partial) and done and not _same(listed, done):
        raise BookkeepingError(f"products of task {task.id} hold partitions {_short(listed)}, not {_short(done)}")
    planned = (
        sum(ref.events for ref in task.refs if all(covers(done, span) for span in ref.partitions))
        if task.refs
        else sum(state.plan.events_in(*span) for span in done)
    )
    complete = not failed or not task.refs  # of a piece that failed in part, only its worker knows
    if complete and result.events != planned:
        raise BookkeepingError(f"task {task.id} worked on {result.events:,} events of {planned:,}")


def check_all(states: Iterable[SegmentState]) -> None:
    """Check at the end that products hold each partition that is done exactly once.

    Raises
    ------
    BookkeepingError
        One does not.
    """
    for state in states:
        if state.segment.scope != "partition" or not state.product:
            continue
        listed = state.shelf.spans()
        if not _same(listed, state.done):
            name = "/".join(state.segment.stages)
            raise BookkeepingError(f"products of {name} hold partitions {_short(listed)}, not {_short(state.done)}")


def _same(listed: Iterable[Span], wanted: Iterable[Span]) -> bool:
    """Whether `listed` holds each partition of `wanted` exactly once, and no other."""
    listed = list(listed)
    return count(listed) == count(union(listed)) and union(listed) == union(wanted)


def _short(spans: Iterable[Span]) -> str:
    listed = union(spans)
    words = ", ".join(f"{first}–{last - 1}" if last - first > 1 else f"{first}" for first, last in listed[:5])
    return (words or "none") + (" …" if len(listed) > 5 else "")
