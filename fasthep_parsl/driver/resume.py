"""What an earlier run in the same directory has done, read from its events."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

from fasthep_parsl.driver.spans import Span, subtract, union
from fasthep_parsl.driver.state import SegmentState
from fasthep_parsl.events import read_events
from fasthep_parsl.interfaces import Ref
from fasthep_parsl.plan import Plan


def restore(plan: Plan, run_dir: Path) -> tuple[list[SegmentState], int]:
    """Return the states of all segments after the events in `run_dir`, and the number of the next task.

    Partial products and stored streams whose files are gone count as not done.
    """
    states = [SegmentState(plan, segment) for segment in plan.segments]
    last = -1
    path = run_dir / "events.jsonl"
    events = list(read_events(path)) if path.exists() else []
    lost = _Lost(events)
    for event in events:
        last = max(last, int(event.get("task", -1)))
        if event["kind"] == "finished":
            _replay(states, event, lost)
    for state in states:
        _settle(state)
    return states, last + 1


class _Lost:
    """Tasks whose files are gone: their work must be done again."""

    def __init__(self, events: list[dict[str, Any]]) -> None:
        finished = [event for event in events if event["kind"] == "finished"]
        consumed = {path for event in finished for path in event["merged"]}
        self.partials: set[str] = set()
        for event in reversed(finished):  # a lost sum loses what it was made from
            partial = event["partial"]
            gone = partial and (partial in self.partials or (partial not in consumed and not Path(partial).exists()))
            if gone:
                self.partials.add(partial)
                self.partials |= set(event["merged"])

    def __call__(self, event: dict[str, Any]) -> bool:
        files = [ref["path"] for refs in event["refs"].values() for ref in refs]
        return event["partial"] in self.partials or not all(Path(file).exists() for file in files)


def _replay(states: list[SegmentState], event: dict[str, Any], lost: _Lost) -> None:
    state = states[event["segment"]]
    if lost(event):
        return
    if event["what"] == "merge":
        covered = [span for path in event["merged"] for span in state.partials.pop(path, [])]
        state.partials[event["partial"]] = union(covered)
        return
    spans: list[Span] = [(first, stop) for first, stop in event["done"]]
    state.done = union([*state.done, *spans])
    if event["partial"]:
        state.partials[event["partial"]] = spans
    if event["what"] == "call" and event["partial"] and event["dataset"] in state.calls:
        state.calls.remove(event["dataset"])
    for stage, refs in event["refs"].items():
        for other in states:
            if other.segment.input == stage:
                found = [_ref(ref) for ref in refs]
                other.all_refs += found
                other.refs.extend(found)


def _ref(content: dict[str, Any]) -> Ref:
    spans = tuple((first, last) for first, last in content["partitions"])
    return Ref(**{**content, "partitions": spans})


def _settle(state: SegmentState) -> None:
    """Leave in the queues what is not done."""
    if state.segment.input:
        state.refs = deque(ref for ref in state.all_refs if subtract(ref.partitions, state.done))
    else:
        state.restore_missing(list(state.spans))
