"""Events and failures of tasks, made from tasks and their results."""

from __future__ import annotations

from dataclasses import fields

from fasthep_parsl.events import NodeSeen, PartitionFailed, TaskFinished, TaskLost, TaskRetried, TaskSubmitted
from fasthep_parsl.plan import PlanSegment
from fasthep_parsl.tasks import Failure, FailureCause, NodeFacts, Task, TaskResult
from fasthep_parsl.worker.spans import union
from fasthep_parsl.worker.trail import LastStep

MAX_DETAIL = 8000
"""Characters of a traceback that are kept."""
MAX_MESSAGE = 500
"""Characters of a message that are kept."""


def submitted(task: Task, pool: str) -> TaskSubmitted:
    """Return the event of a task that was submitted."""
    return TaskSubmitted(task=task.id, what=task.kind, segment=task.segment, pool=pool, partitions=task.partitions)


def lost(task: Task, message: str) -> TaskLost:
    """Return the event of a task that ended without a result."""
    return TaskLost(task=task.id, segment=task.segment, message=message)


def retried(task: Task) -> TaskRetried:
    """Return the event of a task whose work is submitted again."""
    return TaskRetried(task=task.id, segment=task.segment)


def failed(segment: int, failure: Failure) -> PartitionFailed:
    """Return the event of a failure."""
    return PartitionFailed(
        segment=segment,
        cause=failure.kind,
        partition=failure.partition,
        stage=failure.stage,
        message=failure.message,
        where=failure.where,
        detail=failure.detail,
    )


def seen(pool: str, node: NodeFacts) -> NodeSeen:
    """Return the event of a node whose first result has arrived."""
    return NodeSeen(pool=pool, **{item.name: getattr(node, item.name) for item in fields(node)})


def finished(task: Task, result: TaskResult, merged: tuple[str, ...], again: tuple[int, ...] = ()) -> TaskFinished:
    """Return the event of a task that has returned a result.

    Parameters
    ----------
    task, result : Task, TaskResult
        The task and its result.
    merged : tuple of str
        The files that it replaces.
    again : tuple of int
        Partitions that a server has refused and that are processed again.
    """
    return TaskFinished(
        task=task.id,
        what=task.kind,
        segment=task.segment,
        done=result.done,
        dataset=task.dataset,
        inputs=tuple(ref.path for ref in task.refs) if task.kind == "map" else (),
        session=task.session,
        partial=result.partial,
        size=result.size,
        parts=result.parts,
        whole=result.whole,
        broken=tuple(failure.stage for failure in result.broken),
        merged=merged,
        refs=result.refs,
        events=result.events,
        bytes=result.bytes_read,
        wall=round(result.wall, 6),
        cpu=round(result.cpu, 6),
        peak_memory=result.peak_memory,
        host=result.host,
        pid=result.pid,
        stages={
            name: (s.calls, round(s.wall, 6), round(s.cpu, 6), s.events_in, s.events_out)
            for name, s in result.stages.items()
        },
        notes=result.notes,
        returned=tuple(union((number, number + 1) for number in again)),
        storage=result.storage,
    )


def failures_of(
    task: Task, segment: PlanSegment, cause: FailureCause, message: str, last_step: LastStep
) -> list[Failure]:
    """Return the failures of all partitions of a map or call task; the details are in the first one."""
    numbers = [p for first, last in task.partitions for p in range(first, last)]
    numbers += [p for ref in task.refs for first, last in ref.partitions for p in range(first, last)]
    stage = last_step.stage
    if task.kind == "call":
        numbers, stage = [-1], segment.stages[0]
    line = (message.splitlines() or [cause])[0][:MAX_MESSAGE]
    detail = f"{message}\n{last_step.trace}"[-MAX_DETAIL:]
    return [
        Failure(number, cause, stage, line, last_step.where, detail if number == numbers[0] else "")
        for number in numbers
    ]
