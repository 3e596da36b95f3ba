"""What an earlier run in the same directory has done, read from its events."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from fasthep_parsl.driver.spans import Span, add, union
from fasthep_parsl.driver.state import SegmentState
from fasthep_parsl.events import read_events
from fasthep_parsl.plan import Plan
from fasthep_parsl.tasks import Ref


def restore(plan: Plan, run_dir: Path) -> tuple[list[SegmentState], int]:
    """Return the states of all segments after the events in `run_dir`, and the number of the next task.

    Work whose files are gone counts as not done, and so does everything that was made from it.
    """
    last = -1
    complete = False
    finished: list[dict[str, Any]] = []
    path = run_dir / "events.jsonl"
    for event in read_events(path) if path.exists() else ():
        last = max(last, int(event.get("task", -1)))
        if event["kind"] == "finished":
            finished.append(event)
        if event["kind"] != "block":  # `cleanup` adds some at the end
            complete = event["kind"] == "ended" and event["status"] == "complete"
    lost = _lost(finished, set(), streams=not complete)  # a complete run has removed its streams
    if complete and lost:
        lost = _lost(finished, lost)
    while True:
        states = [SegmentState(plan, segment) for segment in plan.segments]
        for event in finished:
            if event["task"] not in lost:
                _replay(states, event)
        for state in states:
            state.settle()
        stale = _stale(plan, states, finished) - lost
        if not stale:
            return states, last + 1
        lost = _lost(finished, lost | stale)


def _stale(plan: Plan, states: list[SegmentState], finished: list[dict[str, Any]]) -> set[int]:
    """Return tasks that saw less than there will be: what they took from other segments is not complete any more."""
    unfinished: set[str] = set()  # stages
    stale: set[int] = set()
    for state in states:  # producers come first
        segment = state.segment
        bound = {binding.node for stage in segment.stages for binding in plan.stage(stage).bind}
        short = segment.input in unfinished
        if bound & unfinished or (short and segment.scope != "partition"):
            stale |= {event["task"] for event in finished if event["segment"] == segment.id}
        left = state.calls if segment.scope != "partition" else state.spans or state.refs
        if short or bound & unfinished or left:
            unfinished |= set(segment.stages)
    return stale


def _lost(finished: list[dict[str, Any]], known: set[int], *, streams: bool = True) -> set[int]:
    """Return the tasks that must be done again: `known` and more.

    `streams` is whether stored streams are needed.

    A task is lost if a file of its is gone. A lost sum loses the tasks it was made from, whose own files were removed
    when it was written. A lost task loses what was made from it: sums, so that nothing is counted twice, and tasks that
    read its stream, which will come again in other pieces.
    """
    maker: dict[str, int] = {}
    users: dict[int, set[int]] = defaultdict(set)
    parts: dict[int, set[int]] = defaultdict(set)
    consumed = {path for event in finished for path in event["merged"]}
    pending = list(known)
    for event in finished:
        task, partial = event["task"], event["partial"]
        for path in (*event["merged"], *event["inputs"]):
            if path in maker:
                users[maker[path]].add(task)
        parts[task] |= {maker[path] for path in event["merged"] if path in maker}
        files = [ref["path"] for refs in event["refs"].values() for ref in refs]
        files += [partial] if partial and partial not in consumed else []
        maker |= dict.fromkeys([*files, *([partial] if partial else [])], task)
        needed = files if streams else [partial] * (partial in files)
        if not all(Path(file).exists() for file in needed):
            pending.append(task)
    lost: set[int] = set()
    while pending:
        task = pending.pop()
        if task not in lost:
            lost.add(task)
            pending += users[task] | parts[task]
    return lost


def _replay(states: list[SegmentState], event: dict[str, Any]) -> None:
    state = states[event["segment"]]
    if event["what"] == "merge":
        covered = [span for path in event["merged"] for span in state.partials.pop(path, [])]
        state.partials[event["partial"]] = union(covered)
        return
    spans: list[Span] = [(first, stop) for first, stop in event["done"]]
    for span in spans:
        add(state.done, span)
    if event["partial"]:
        state.partials[event["partial"]] = spans
    if event["what"] == "call" and event["partial"] and event["dataset"] in state.calls:
        state.calls.remove(event["dataset"])
    for stage, refs in event["refs"].items():
        for other in states:
            if other.segment.input == stage:
                other.receive(_ref(ref) for ref in refs)


def _ref(content: dict[str, Any]) -> Ref:
    spans = tuple((first, last) for first, last in content["partitions"])
    return Ref(**{**content, "partitions": spans, "counts": tuple(content["counts"])})
