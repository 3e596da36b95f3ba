"""Consistency checks of a run: every partition is done once, and products contain exactly the partitions that are done."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from fasthep_parsl.driver.partial_products import ConsistencyError
from fasthep_parsl.plan import Plan, PlanSegment
from fasthep_parsl.tasks import Span, Task, TaskResult
from fasthep_parsl.worker.spans import count, covers, meets, union


def check_result(
    plan: Plan,
    task: Task,
    result: TaskResult,
    done_before: list[Span],
    products: AbstractSet[str],
    returned: Iterable[Span] = (),
) -> None:
    """Check the result of a map task against the task and against what is done.

    Parameters
    ----------
    plan : Plan
        The plan.
    task, result : Task, TaskResult
        The task and its result.
    done_before : list of Span
        Partitions of the segment that are done already: sorted, disjoint ranges.
    products : set of str
        Stages whose products the result must contain, unless it reports them as broken.
    returned : iterable of Span
        Partitions that are neither done nor failed, because they are processed again.

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
    if not _same(asked, [*done, *failed, *returned]) or count(result.done) != count(done):
        raise ConsistencyError(f"task {task.id} had partitions {_short(asked)} and has done {_short(done)}")
    if any(meets(done_before, span) for span in done):
        raise ConsistencyError(f"task {task.id} has done partitions {_short(done)}; some of these were done before")
    wanted = products - {failure.stage for failure in result.broken}
    listed = [span for part in result.parts for span in part]
    if (wanted or result.partial) and done and not _same(listed, done):
        raise ConsistencyError(f"products of task {task.id} contain partitions {_short(listed)}, not {_short(done)}")
    planned = (
        sum(ref.events for ref in task.refs if all(covers(done, span) for span in ref.partitions))
        if task.refs
        else sum(plan.events_in(*span) for span in done)
    )
    complete = not failed or not task.refs  # the events of a chunk that failed in part are unknown here
    if complete and result.events != planned:
        raise ConsistencyError(f"task {task.id} has processed {result.events:,} events of {planned:,}")


def check_products(segment: PlanSegment, listed: Iterable[Span], done: Iterable[Span]) -> None:
    """Check at the end of a run that the products of a segment contain each partition that is done exactly once.

    Raises
    ------
    ConsistencyError
        They do not.
    """
    listed = list(listed)
    if not _same(listed, done):
        name = "/".join(segment.stages)
        raise ConsistencyError(f"products of {name} contain partitions {_short(listed)}, not {_short(done)}")


def _same(listed: Iterable[Span], wanted: Iterable[Span]) -> bool:
    """Return whether `listed` has each partition of `wanted` exactly once, and no other."""
    listed = list(listed)
    return count(listed) == count(union(listed)) and union(listed) == union(wanted)


def _short(spans: Iterable[Span]) -> str:
    listed = union(spans)
    text = ", ".join(f"{first}–{last - 1}" if last - first > 1 else f"{first}" for first, last in listed[:5])
    return (text or "none") + (" …" if len(listed) > 5 else "")
