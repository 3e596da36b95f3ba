"""Resume a run: restore the state of its segments from its events and files."""

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

    A task counts as not done if one of its files is missing or damaged, or if its line is. So does every task that has
    used its results.
    """
    finished, last, complete = _read(events)
    repeat = _to_repeat(finished, _unusable(finished), streams=not complete)  # a complete run has removed its streams
    if complete and repeat:
        repeat = _to_repeat(finished, repeat)
    while True:
        states = [SegmentState(plan, segment) for segment in plan.segments]
        doubled = {event.task for event in finished if event.task not in repeat and not _replay(states, event)}
        for state in states:
            state.settle()
        more = (_stale(plan, states, finished) | doubled) - repeat
        if not more:
            return states, last + 1
        repeat = _to_repeat(finished, repeat | more)


def _read(events: Iterable[Event]) -> tuple[list[TaskFinished], int, bool]:
    """Return the finished tasks, the highest number of a task, and whether the run was complete.

    A driver that was replaced may have written lines after that. Only the lines of the latest session count.
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
        if not isinstance(event, BlockChanged):  # `cleanup` adds these at the end
            complete = isinstance(event, RunEnded) and event.status == "complete"
    return list(finished.values()), last, complete


def _unusable(finished: list[TaskFinished]) -> set[int]:
    """Return the tasks that must always be repeated.

    Some of their stages have no product because products could not be merged, or their products were merged across
    partitions that failed and are now processed.
    """
    return {e.task for e in finished if e.broken or (e.partial and any(len(part) > 1 for part in e.parts))}


def _stale(plan: Plan, states: list[SegmentState], finished: list[TaskFinished]) -> set[int]:
    """Return the tasks whose inputs from other segments were incomplete, and will have more events now."""
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


def _to_repeat(finished: list[TaskFinished], known: set[int], *, streams: bool = True) -> set[int]:
    """Return the tasks that must be repeated: `known`, and those that depend on them.

    - A task whose file is missing or damaged, or which has used a file of no known task.
    - For a merge: the tasks that it has merged, because their files were removed.
    - All tasks that have used the results of a repeated task: merges, so that nothing is counted twice, and readers of
      its stream, because its chunks may be different.

    Parameters
    ----------
    finished : list of TaskFinished
        All finished tasks.
    known : set of int
        Tasks that must be repeated.
    streams : bool
        Whether stored streams are needed.
    """
    writer: dict[str, int] = {}
    users: dict[int, set[int]] = defaultdict(set)
    merged: dict[int, set[int]] = defaultdict(set)
    consumed = {path for event in finished for path in event.merged}
    pending = list(known)
    for event in finished:
        task, partial = event.task, event.partial
        for path in (*event.merged, *event.inputs):
            if path in writer:
                users[writer[path]].add(task)
            else:
                pending.append(task)
        merged[task] |= {writer[path] for path in event.merged if path in writer}
        chunks = [ref for refs in event.refs.values() for ref in refs]
        writer |= dict.fromkeys([*(ref.path for ref in chunks), *([partial] if partial else [])], task)
        if streams and not all(_has_size(ref.path, ref.size) for ref in chunks):
            pending.append(task)
        if partial and partial not in consumed and not is_intact(partial, event.size):
            pending.append(task)
    found: set[int] = set()
    while pending:
        task = pending.pop()
        if task not in found:
            found.add(task)
            pending += users[task] | merged[task]
    return found


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
