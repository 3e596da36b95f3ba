"""The loop of a run: hand out bundles within a window, take in results, merge, retry what was lost."""

from __future__ import annotations

import contextlib
import queue
from collections import Counter, deque
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

from fasthep_parsl.driver.state import SegmentState
from fasthep_parsl.driver.suspicion import MAX_BLOCKS_LOST, MAX_LOST, Suspicion, Verdict, is_alone
from fasthep_parsl.errors import BlockLostError, PoolError, RunError, WorkerLostError
from fasthep_parsl.events import PartitionFailed, Record, TaskFinished, TaskLost, TaskRetried, TaskSubmitted
from fasthep_parsl.interfaces import Session
from fasthep_parsl.plan import Plan
from fasthep_parsl.room import DiskFullError
from fasthep_parsl.tasks import Failure, Task, TaskResult
from fasthep_parsl.worker.trail import NOTHING, LastStep, last_step

WINDOW = 2
"""Tasks per worker that are handed out at once: one runs, one waits beside it."""
MERGE_FIRST, MAP = -1, 0


class Scheduler:
    """Run all segments of a plan in a session.

    Parameters
    ----------
    plan : Plan
        The plan.
    run_dir : Path
        The run directory; ``plan.json`` lies there.
    record : callable
        Writes to the run's event log.
    states : list of SegmentState
        One per segment; those of a resumed run know what is done.
    first_task : int
        Number of the first task (resumed runs go on counting).
    session : str
        Which execution of the run this is.
    """

    def __init__(
        self,
        plan: Plan,
        run_dir: Path,
        record: Record,
        states: list[SegmentState],
        first_task: int = 0,
        session: str = "",
    ) -> None:
        self.plan = plan
        self.run_dir = run_dir
        self.record = record
        self.states = states
        self._owners = {stage: state for state in states for stage in state.segment.stages}
        stages = {stage.id: stage for stage in plan.stages}
        self._bound = [{b.node for name in state.segment.stages for b in stages[name].bind} for state in states]
        self._next = first_task
        self._session = session
        self._finished: queue.SimpleQueue[tuple[Task, Future[TaskResult]]] = queue.SimpleQueue()
        self._open: Counter[str] = Counter()
        self._suspicion = Suspicion()
        self._suspects: deque[Task] = deque()
        self._trial = -1  # number of the suspect that runs now
        self._broken: dict[str, str] = {}
        self._modules = [Path(module.path).name for module in plan.modules]

    def run(self, session: Session) -> None:
        """Return when nothing is left to do.

        Raises
        ------
        RunError
            Some stages cannot be completed: their pool is broken, or their products cannot be merged. All that does
            not depend on them was done.
        """
        while True:
            self._release()
            for state in self.states if self._trial < 0 else ():
                self._hand_out(session, state)
            if not sum(self._open.values()):
                if self._suspects:
                    self._try_suspects(session)
                    continue
                if all(state.complete for state in self.states):
                    return
                stuck = [state for state in self.states if not state.complete]
                if not self._progress(stuck):
                    blamed = [state for state in stuck if state.blocked] or stuck
                    raise RunError("; ".join(_why_stuck(state) for state in blamed))
                continue
            self._take_in(*self._finished.get())
            with contextlib.suppress(queue.Empty):
                while True:
                    self._take_in(*self._finished.get_nowait())

    # --- what may start -----------------------------------------------------------------------------------

    def _progress(self, stuck: list[SegmentState]) -> bool:
        """Whether the next look can start something: a segment became complete, ready or blocked just now."""

        def picture() -> list[tuple[Any, ...]]:
            return [(state.blocked, state.expects_refs, state.complete, self._ready(state)) for state in stuck]

        before = picture()
        self._release()
        return before != picture() or any(self._ready(state) and not state.mapped for state in stuck)

    def _release(self) -> None:
        """Close inputs whose producers have ended; block segments that can never run."""
        for state in self.states:
            if state.expects_refs and self._owners[state.segment.input].mapped:
                state.expects_refs = False
            if state.blocked or state.complete:
                continue
            missing = [node for node in sorted(self._bound[state.segment.id]) if self._is_missing(node)]
            if missing:
                state.blocked = f"stage {missing[0]} has no product"
            elif state.segment.pool in self._broken:
                state.blocked = self._broken[state.segment.pool]

    def _is_missing(self, stage_id: str) -> bool:
        """Whether the product of a stage will never come."""
        return self._owners[stage_id].complete and not self._owners[stage_id].has_product(stage_id)

    def _ready(self, state: SegmentState) -> bool:
        if state.blocked or not all(self.states[number].complete for number in state.segment.after):
            return False
        return state.segment.scope == "partition" or not state.expects_refs

    def _hand_out(self, session: Session, state: SegmentState) -> None:
        if not state.blocked:
            while (chosen := state.start_merge(self._next))[0]:
                task = Task(**self._common("merge", state), partials=chosen[0], final=chosen[1])
                self._submit(session, state, task)
        if not self._ready(state):
            return
        pool = state.segment.pool
        while state.calls:
            self._call(session, state, state.calls.popleft())
        if state.segment.scope != "partition":
            return
        while (state.spans or state.refs or state.again) and self._open[pool] < WINDOW * session.slots(pool):
            spans, refs = state.take(session.slots(pool))
            task = Task(**self._common("map", state), partitions=spans, refs=refs, products=self._products(state))
            self._submit(session, state, task)

    def _call(self, session: Session, state: SegmentState, dataset: int) -> None:
        refs = tuple(ref for ref in state.all_refs if dataset < 0 or ref.dataset == dataset)
        spans = tuple((first, last) for d, first, last in self.plan.dataset_partitions() if dataset in (-1, d))
        task = Task(
            **self._common("call", state),
            partitions=() if state.segment.input else spans,
            refs=refs,
            products=self._products(state),
            dataset=dataset,
        )
        self._submit(session, state, task)

    def _try_suspects(self, session: Session) -> None:
        """Run a task that has lost its worker again and again, now that nothing else runs."""
        while self._suspects and self._trial < 0:
            suspect = self._suspects.popleft()
            state = self.states[suspect.segment]
            state.running.pop(suspect.id, None)
            if not self._suspicion.needs_trial(suspect):
                self._hand_back(state, suspect)
                continue
            task = replace(suspect, id=self._next)
            self._trial, self._next = self._next, self._next + 1
            if task.kind == "merge":
                state.merge_renumbered(suspect.id, task.id)
            self._submit(session, state, task)

    def _common(self, kind: str, state: SegmentState) -> dict[str, Any]:
        plan = (str(self.run_dir / "plan.json"), self.plan.hash)
        number, self._next = self._next, self._next + 1
        return {
            "kind": kind,
            "id": number,
            "segment": state.segment.id,
            "plan": plan,
            "run_dir": str(self.run_dir),
            "session": self._session,
        }

    def _products(self, state: SegmentState) -> dict[str, str]:
        return {node: self._owners[node].product for node in sorted(self._bound[state.segment.id])}

    def _submit(self, session: Session, state: SegmentState, task: Task) -> None:
        pool = state.segment.pool
        if task.kind != "merge":
            state.running[task.id] = task
        self._open[pool] += 1
        self.record(
            TaskSubmitted(task=task.id, what=task.kind, segment=task.segment, pool=pool, partitions=task.partitions)
        )
        future = session.submit(pool, task, MERGE_FIRST if task.kind == "merge" else MAP)
        future.add_done_callback(lambda done: self._finished.put((task, done)))

    # --- what has ended -----------------------------------------------------------------------------------

    def _take_in(self, task: Task, future: Future[TaskResult]) -> None:
        state = self.states[task.segment]
        self._open[state.segment.pool] -= 1
        error = future.exception()
        tried, self._trial = self._trial == task.id, -1
        if error is None:
            self._succeeded(state, task, future.result())
        elif isinstance(error, PoolError) or (isinstance(error, DiskFullError) and self._everywhere(state, error)):
            self._broken[state.segment.pool] = str(error)
            state.running.pop(task.id, None)
            self._hand_back(state, task)  # not the fault of its partitions: they are missing, not failed
        elif isinstance(error, WorkerLostError | MemoryError | DiskFullError):
            last = last_step(self.run_dir, task.id, self._modules)
            message = f"{error}: {last}" if str(last) else str(error)
            self.record(TaskLost(task=task.id, segment=task.segment, message=message))
            most = MAX_BLOCKS_LOST if isinstance(error, BlockLostError) else MAX_LOST
            self._retry(state, task, message, self._suspicion.lost(task, most, tried=tried), last)
        elif not is_alone(task) and state.done:  # some can be done: find out which of these cannot
            message = f"{type(error).__name__}: {error}"
            self.record(TaskLost(task=task.id, segment=task.segment, message=message))
            self._give_out_again(state, task)
        else:
            self._lose(state, task, f"{type(error).__name__}: {error}", "configuration")

    def _everywhere(self, state: SegmentState, error: DiskFullError) -> bool:
        """Whether the disk that is full is that of the run, and not that of one node."""
        return self.plan.pool(state.segment.pool).shared or str(self.run_dir) in str(error)

    def _succeeded(self, state: SegmentState, task: Task, result: TaskResult) -> None:
        if task.kind == "merge":
            old = state.merged(task.id, result)
            self._suspicion.cleared(task)
        else:
            old = ()
            state.add(task, result)
            for stage, refs in result.refs.items():
                for other in self.states:
                    if other.segment.input == stage:
                        other.receive(refs)
        self._record_finished(task, result, old)
        for path in old:
            Path(path).unlink(missing_ok=True)

    def _record_finished(self, task: Task, result: TaskResult, merged: tuple[str, ...]) -> None:
        for failure in (*result.failures, *result.broken):
            self._record_failure(task.segment, failure)
        self.record(
            TaskFinished(
                task=task.id,
                what=task.kind,
                segment=task.segment,
                done=result.done,
                dataset=task.dataset,
                inputs=tuple(ref.path for ref in task.refs) if task.kind == "map" else (),
                session=self._session,
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
            )
        )

    def _record_failure(self, segment: int, failure: Failure) -> None:
        self.record(
            PartitionFailed(
                segment=segment,
                cause=failure.kind,
                partition=failure.partition,
                stage=failure.stage,
                message=failure.message,
                where=failure.where,
                detail=failure.detail,
            )
        )

    def _retry(self, state: SegmentState, task: Task, message: str, verdict: Verdict, last: LastStep) -> None:
        """Give a lost task's work out again, unless it is to blame."""
        if verdict == "guilty":
            self._lose(state, task, message, "infrastructure", last)
        elif verdict == "trial":
            self.record(TaskRetried(task=task.id, segment=task.segment))
            self._suspects.append(task)  # it stays among those that run, or are merged
        else:
            self._give_out_again(state, task)

    def _give_out_again(self, state: SegmentState, task: Task) -> None:
        state.running.pop(task.id, None)
        self.record(TaskRetried(task=task.id, segment=task.segment))
        self._hand_back(state, task)

    @staticmethod
    def _hand_back(state: SegmentState, task: Task) -> None:
        if task.kind == "merge":
            state.merge_failed(task.id)
        elif task.kind == "call":
            state.calls.append(task.dataset)
        else:
            state.give_back(task)

    def _lose(self, state: SegmentState, task: Task, message: str, kind: Any, last: LastStep = NOTHING) -> None:
        """Count the work of a task as failed."""
        state.running.pop(task.id, None)
        if task.kind == "merge":
            state.merge_failed(task.id)
            state.blocked = f"its products cannot be merged: {message}"  # the others go on
            return
        numbers = [p for first, last in task.partitions for p in range(first, last)]
        numbers += [p for ref in task.refs for first, last in ref.partitions for p in range(first, last)]
        if task.kind == "call":
            numbers = [-1]
        stage = state.segment.stages[0] if task.kind == "call" else last.stage
        line = (message.splitlines() or [kind])[0][:500]
        for number in numbers:  # there may be very many: the details stand once
            detail = f"{message}\n{last.trace}"[-8000:] if number == numbers[0] else ""
            failure = Failure(number, kind, stage, line, last.where, detail)
            state.failures.append(failure)
            self._record_failure(task.segment, failure)


def _why_stuck(state: SegmentState) -> str:
    name = "/".join(state.segment.stages)
    if state.blocked:
        return f"{name} cannot go on: {state.blocked} (`--resume` continues)"
    return f"{name} is not complete, but nothing is left to run"
