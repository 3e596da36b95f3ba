"""Build the tasks of a run: numbered, with what they read and the products that they need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fasthep_parsl.driver.segment_state import SegmentState
from fasthep_parsl.plan import Plan
from fasthep_parsl.tasks import Task, TaskKind


class TaskFactory:
    """Build tasks for the segments of a plan.

    Parameters
    ----------
    plan : Plan
        The plan.
    run_dir : Path
        The run directory, with ``plan.json``.
    states : list of SegmentState
        One for each segment.
    first_task : int
        Number of the first task. A resumed run continues the numbers.
    session : str
        The execution of the plan that the tasks belong to.

    Attributes
    ----------
    avoid : mapping
        Server that the next tasks avoid → why.
    """

    def __init__(self, plan: Plan, run_dir: Path, states: list[SegmentState], first_task: int, session: str) -> None:
        self._plan = plan
        self._run_dir = run_dir
        self._session = session
        self._next = first_task
        self.avoid: Mapping[str, str] = {}
        self.producers = {stage: state for state in states for stage in state.segment.stages}
        stages = {stage.id: stage for stage in plan.stages}
        self._bound = [{b.node for name in state.segment.stages for b in stages[name].bind} for state in states]

    def missing_product(self, state: SegmentState) -> str:
        """Return the first stage that a segment needs a product of and that will never have one, else ``""``."""
        for stage in sorted(self._bound[state.segment.id]):
            producer = self.producers[stage]
            if producer.complete and not producer.has_product(stage):
                return stage
        return ""

    def merge(self, state: SegmentState) -> Task | None:
        """Return a task that merges partial products, None if it is too early."""
        partials, final, gaps = state.start_merge(self._next)
        return Task(**self._common("merge", state), partials=partials, final=final, gaps=gaps) if partials else None

    def map(self, state: SegmentState, slots: int) -> Task:
        """Return a task for the next bundle of a segment whose pool has `slots` workers."""
        spans, refs = state.take(slots)
        return Task(**self._common("map", state), partitions=spans, refs=refs, products=self._products(state))

    def call(self, state: SegmentState, dataset: int) -> Task:
        """Return a task that calls a stage once for a dataset, or for all if `dataset` is -1."""
        refs = tuple(ref for ref in state.all_refs if dataset < 0 or ref.dataset == dataset)
        spans = tuple((first, last) for d, first, last in self._plan.dataset_partitions() if dataset in (-1, d))
        return Task(
            **self._common("call", state),
            partitions=() if state.segment.input else spans,
            refs=refs,
            products=self._products(state),
            dataset=dataset,
        )

    def repeat(self, state: SegmentState, task: Task) -> Task:
        """Return the same task with a new number."""
        again = replace(task, id=self._number(), avoid=self.avoid)
        if task.kind == "merge":
            state.renumber_merge(task.id, again.id)
        return again

    def _common(self, kind: TaskKind, state: SegmentState) -> dict[str, Any]:
        return {
            "kind": kind,
            "id": self._number(),
            "segment": state.segment.id,
            "plan": (str(self._run_dir / "plan.json"), self._plan.hash),
            "run_dir": str(self._run_dir),
            "session": self._session,
            "avoid": {} if kind == "merge" else self.avoid,
        }

    def _number(self) -> int:
        number, self._next = self._next, self._next + 1
        return number

    def _products(self, state: SegmentState) -> dict[str, str]:
        return {stage: self.producers[stage].product for stage in sorted(self._bound[state.segment.id])}
