"""What an earlier run in the same directory has done, read from its events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from fasthep_parsl.driver.partial_products import PartialFile
from fasthep_parsl.driver.segment_state import SegmentState
from fasthep_parsl.events import (
    BlockChanged,
    Event,
    RunEnded,
    RunStarted,
    TaskFinished,
    TaskLost,
    TaskRetried,
    TaskSubmitted,
)
from fasthep_parsl.plan import Plan
from fasthep_parsl.worker.partials import is_intact
from fasthep_parsl.worker.spans import add, meets


def restore(plan: Plan, events: Iterable[Event]) -> tuple[list[SegmentState], int]:
    """Return the states of all segments after the events of a run, and the number of the next task.

    Work whose files are gone or damaged counts as not done, and so does everything that was made from it, or from
    tasks of which the events say nothing: a line may be damaged.
    """
    finished, last, complete = _read(events)
    lost = _lost(finished, _unusable(finished), streams=not complete)  # a complete run has removed its streams
    if complete and lost:
        lost = _lost(finished, lost)
    while True:
        states = [SegmentState(plan, segment) for segment in plan.segments]
        doubled = {event.task for event in finished if event.task not in lost and not _replay(states, event)}
        for state in states:
            state.settle()
        again = (_stale(plan, states, finished) | doubled) - lost
        if not again:
            return states, last + 1
        lost = _lost(finished, lost | again)


def _read(events: Iterable[Event]) -> tuple[list[TaskFinished], int, bool]:
    """Return what tasks have finished, the highest number of a task, and whether the run was complete.

    A driver that was replaced may have written a line too many: only that counts which the latest one has written.
    """
    finished: dict[int, TaskFinished] = {}
    last, complete, session = -1, False, ""
    for event in events:
        if isinstance(event, RunStarted):
            session = event.session
        elif isinstance(event, TaskSubmitted | TaskFinished | TaskLost | TaskRetried):
            last = max(last, event.task)
        if isinstance(event, TaskFinished) and event.checked and event.session == session:
            finished.setdefault(event.task, event)
        if not isinstance(event, BlockChanged):  # `cleanup` adds some at the end
            complete = isinstance(event, RunEnded) and event.status == "complete"
    return list(finished.values()), last, complete


def _unusable(finished: list[TaskFinished]) -> set[int]:
    """Return tasks that have to be done again whatever else there is.

    Stages of them have no product because products could not be joined; or products were joined across partitions
    that will come now.
    """
    return {e.task for e in finished if e.broken or (e.partial and any(len(part) > 1 for part in e.parts))}


def _stale(plan: Plan, states: list[SegmentState], finished: list[TaskFinished]) -> set[int]:
    """Return tasks that saw less than there will be: what they took from other segments is not complete any more."""
    unfinished: set[str] = set()  # stages
    stale: set[int] = set()
    for state in states:  # producers come first
        segment = state.segment
        bound = {binding.node for stage in segment.stages for binding in plan.stage(stage).bind}
        short = segment.input in unfinished
        if bound & unfinished or (short and segment.scope != "partition"):
            stale |= {event.task for event in finished if event.segment == segment.id}
        left = state.calls if segment.scope != "partition" else state.spans or state.refs
        if short or bound & unfinished or left:
            unfinished |= set(segment.stages)
    return stale


def _lost(finished: list[TaskFinished], known: set[int], *, streams: bool = True) -> set[int]:
    """Return the tasks that must be done again: `known` and more.

    `streams` is whether stored streams are needed.

    A task is lost if a file of its is gone or damaged, or if it was made from what no known task has written. A lost sum loses the tasks it was made from, whose own files were removed
    when it was written. A lost task loses what was made from it: sums, so that nothing is counted twice, and tasks that
    read its stream, which will come again in other pieces.
    """
    maker: dict[str, int] = {}
    users: dict[int, set[int]] = defaultdict(set)
    parts: dict[int, set[int]] = defaultdict(set)
    consumed = {path for event in finished for path in event.merged}
    pending = list(known)
    for event in finished:
        task, partial = event.task, event.partial
        for path in (*event.merged, *event.inputs):
            if path in maker:
                users[maker[path]].add(task)
            else:
                pending.append(task)
        parts[task] |= {maker[path] for path in event.merged if path in maker}
        pieces = [ref for refs in event.refs.values() for ref in refs]
        maker |= dict.fromkeys([*(ref.path for ref in pieces), *([partial] if partial else [])], task)
        if streams and not all(_has_size(ref.path, ref.size) for ref in pieces):
            pending.append(task)
        if partial and partial not in consumed and not is_intact(partial, event.size):
            pending.append(task)
    lost: set[int] = set()
    while pending:
        task = pending.pop()
        if task not in lost:
            lost.add(task)
            pending += users[task] | parts[task]
    return lost


def _has_size(path: str, size: int) -> bool:
    try:
        return Path(path).stat().st_size == size
    except OSError:
        return False


def _replay(states: list[SegmentState], event: TaskFinished) -> bool:
    """Apply what a task has done; return False if some of that was done already."""
    state = states[event.segment]
    if event.partial:
        level = 1 if event.what == "merge" else 0
        state.partials.replace(set(event.merged), PartialFile(event.partial, event.parts, event.whole, level))
    if event.what == "merge":
        return True
    if any(meets(state.done, span) for span in event.done):
        return False
    for span in event.done:
        add(state.done, span)
    if event.what == "call" and event.partial and event.dataset in state.calls:
        state.calls.remove(event.dataset)
    for stage, refs in event.refs.items():
        for other in states:
            if other.segment.input == stage:
                other.receive(refs)
    return True
