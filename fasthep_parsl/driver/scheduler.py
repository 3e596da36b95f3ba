"""Main loop of a run: submit tasks within a window, process their results, merge, and retry lost tasks."""

from __future__ import annotations

import contextlib
import queue
from collections import Counter, deque
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from fasthep_parsl.driver import task_events
from fasthep_parsl.driver.credential_gate import CredentialGate
from fasthep_parsl.driver.retry_policy import MAX_BLOCKS_LOST, MAX_LOST, RetryDecision, RetryPolicy, is_indivisible
from fasthep_parsl.driver.segment_state import SegmentState
from fasthep_parsl.driver.servers import Avoidance
from fasthep_parsl.driver.task_factory import TaskFactory
from fasthep_parsl.errors import BlockLostError, PoolError, RunError, WorkerLostError
from fasthep_parsl.events import Record, ServerChanged
from fasthep_parsl.interfaces import Session
from fasthep_parsl.plan import Plan
from fasthep_parsl.room import DiskFullError
from fasthep_parsl.tasks import FailureCause, NodeFacts, Task, TaskResult
from fasthep_parsl.worker.trail import NOTHING, LastStep, last_step

WINDOW = 2
"""Tasks per worker that are submitted at once: one runs, one waits."""
MERGE_FIRST, MAP = -1, 0
"""Priorities."""


class Scheduler:
    """Run all segments of a plan in a session.

    Parameters
    ----------
    plan : Plan
        The plan.
    run_dir : Path
        The run directory, with ``plan.json``.
    record : callable
        Writes an event to the run's event log.
    states : list of SegmentState
        One for each segment. In a resumed run some of the work is done.
    first_task : int
        Number of the first task. A resumed run continues the numbers.
    session : str
        Identifies this execution of the plan.
    gate : CredentialGate, optional
        Holds work back while a credential has expired.
    """

    def __init__(
        self,
        plan: Plan,
        run_dir: Path,
        record: Record,
        states: list[SegmentState],
        first_task: int = 0,
        session: str = "",
        gate: CredentialGate | None = None,
    ) -> None:
        self.plan = plan
        self.run_dir = run_dir
        self.record = record
        self.states = states
        self._factory = TaskFactory(plan, run_dir, states, first_task, session)
        self._finished: queue.SimpleQueue[tuple[Task, Future[TaskResult]] | None] = queue.SimpleQueue()
        self._gate = CredentialGate(plan) if gate is None else gate
        self._gate.watch.listen(lambda: self._finished.put(None))  # the main loop may wait for a credential
        self._avoidance = Avoidance(plan)
        self._open: Counter[str] = Counter()
        self._policy = RetryPolicy()
        self._to_isolate: deque[Task] = deque()
        self._isolated = -1  # number of the task that runs alone
        self._broken_pools: dict[str, str] = {}
        self._seen: set[tuple[str, int, str]] = set()
        self._modules = [Path(module.path).name for module in plan.modules]

    def run(self, session: Session) -> None:
        """Return when nothing is left to do.

        Raises
        ------
        RunError
            Some stages cannot be completed: their pool is broken, or their products cannot be merged. Everything that
            does not depend on them is done.
        """
        self._change_servers(self._avoidance.begin())
        while True:
            self._update_states()
            self._gate.begin()
            for state in self.states if self._isolated < 0 else ():
                self._submit_ready(session, state)
            if not sum(self._open.values()) and not self._waits():
                if self._to_isolate:
                    self._submit_isolated(session)
                    continue
                if all(state.complete for state in self.states):
                    return
                stuck = [state for state in self.states if not state.complete]
                if not self._can_continue(stuck):
                    blocked = [state for state in stuck if state.blocked] or stuck
                    raise RunError("; ".join(_why_stuck(state) for state in blocked))
                continue
            self._take(self._finished.get())
            with contextlib.suppress(queue.Empty):
                while True:
                    self._take(self._finished.get_nowait())

    def _waits(self) -> bool:
        """Return whether only a fresh credential lets the run continue."""
        if self._to_isolate:
            task = self._to_isolate[0]
            return task.kind != "merge" and self._gate.holds(self.states[task.segment].segment)
        return self._gate.waiting

    def _take(self, finished: tuple[Task, Future[TaskResult]] | None) -> None:
        if finished is not None:
            self._process(*finished)

    # --- ready segments -----------------------------------------------------------------------------------

    def _can_continue(self, stuck: list[SegmentState]) -> bool:
        """Return whether the next round can submit a task: a segment has become complete, ready or blocked."""

        def summary() -> list[tuple[Any, ...]]:
            return [(state.blocked, state.expects_refs, state.complete, self._ready(state)) for state in stuck]

        before = summary()
        self._update_states()
        return before != summary() or any(self._ready(state) and not state.mapped for state in stuck)

    def _update_states(self) -> None:
        """Close inputs whose producers have ended. Block segments that can never run."""
        for state in self.states:
            if state.expects_refs and self._factory.producers[state.segment.input].mapped:
                state.expects_refs = False
            if state.blocked or state.complete:
                continue
            missing = self._factory.missing_product(state)
            if missing:
                state.blocked = f"stage {missing} has no product"
            elif state.segment.pool in self._broken_pools:
                state.blocked = self._broken_pools[state.segment.pool]

    def _ready(self, state: SegmentState) -> bool:
        if state.blocked or not all(self.states[number].complete for number in state.segment.after):
            return False
        return state.segment.scope == "partition" or not state.expects_refs

    # --- submission ---------------------------------------------------------------------------------------

    def _submit_ready(self, session: Session, state: SegmentState) -> None:
        while not state.blocked and (merge := self._factory.merge(state)) is not None:
            self._submit(session, state, merge)
        if not self._ready(state) or not (state.calls or state.has_bundles) or self._gate.holds(state.segment):
            return
        while state.calls:
            self._submit(session, state, self._factory.call(state, state.calls.popleft()))
        if state.segment.scope != "partition":
            return
        pool = state.segment.pool
        slots = session.slots(pool)
        while state.has_bundles and self._open[pool] < WINDOW * slots:
            self._submit(session, state, self._factory.map(state, slots))

    def _submit_isolated(self, session: Session) -> None:
        """Run alone a task that has lost its worker several times: another task may have caused it."""
        while self._to_isolate and self._isolated < 0:
            task = self._to_isolate.popleft()
            state = self.states[task.segment]
            state.running.pop(task.id, None)
            if not self._policy.must_isolate(task):
                self._return_work(state, task)
                continue
            again = self._factory.repeat(state, task)
            self._isolated = again.id
            self._submit(session, state, again)

    def _submit(self, session: Session, state: SegmentState, task: Task) -> None:
        pool = state.segment.pool
        if task.kind != "merge":
            state.running[task.id] = task
        self._open[pool] += 1
        self._gate.submitted(task)
        self.record(task_events.submitted(task, pool))
        future = session.submit(pool, task, MERGE_FIRST if task.kind == "merge" else MAP)
        future.add_done_callback(lambda done: self._finished.put((task, done)))

    # --- results ------------------------------------------------------------------------------------------

    def _process(self, task: Task, future: Future[TaskResult]) -> None:
        state = self.states[task.segment]
        self._open[state.segment.pool] -= 1
        error = future.exception()
        alone, self._isolated = self._isolated == task.id, -1
        if error is None:
            self._succeeded(state, task, future.result())
        elif isinstance(error, PoolError) or (isinstance(error, DiskFullError) and self._affects_pool(state, error)):
            self._broken_pools[state.segment.pool] = str(error)
            state.running.pop(task.id, None)
            self._return_work(state, task)  # its partitions are missing, not failed
        elif isinstance(error, WorkerLostError | MemoryError | DiskFullError):
            last = last_step(self.run_dir, task.id, self._modules)
            message = f"{error}: {last}" if str(last) else str(error)
            self.record(task_events.lost(task, message))
            most = MAX_BLOCKS_LOST if isinstance(error, BlockLostError) else MAX_LOST
            self._retry(state, task, message, self._policy.lost(task, most, alone=alone), last)
        elif not is_indivisible(task) and state.done:  # some partitions work: find those that do not
            self.record(task_events.lost(task, f"{type(error).__name__}: {error}"))
            self._resubmit(state, task)
        else:
            self._fail(state, task, f"{type(error).__name__}: {error}", "configuration")

    def _affects_pool(self, state: SegmentState, error: DiskFullError) -> bool:
        """Return whether the full disk is that of the run, not that of one node."""
        return self.plan.pool(state.segment.pool).shared or Path(error.folder).is_relative_to(self.run_dir)

    def _succeeded(self, state: SegmentState, task: Task, result: TaskResult) -> None:
        if result.node is not None:
            self._record_node(state.segment.pool, result.node)
        self._change_servers(self._avoidance.add(result.storage))
        result, again = self._gate.judge(state, task, result)
        if task.kind == "merge":
            old = state.merged(task.id, result)
            self._policy.succeeded(task)
        else:
            old = ()
            state.add(task, result, again)
            for stage, refs in result.refs.items():
                for other in self.states:
                    if other.segment.input == stage:
                        other.receive(refs)
        for failure in (*result.failures, *result.broken):
            self.record(task_events.failed(task.segment, failure))
        self.record(task_events.finished(task, result, old, again))
        for path in old:
            Path(path).unlink(missing_ok=True)

    def _record_node(self, pool: str, node: NodeFacts) -> None:
        """Record a node once for each block, though each of its workers reports it."""
        key = (pool, node.block, node.node)
        if key not in self._seen:
            self._seen.add(key)
            self.record(task_events.seen(pool, node))

    def _change_servers(self, changes: list[ServerChanged]) -> None:
        """Record which servers are avoided, and let the next tasks know."""
        for change in changes:
            self.record(change)
        self._factory.avoid = self._avoidance.servers

    # --- lost tasks ---------------------------------------------------------------------------------------

    def _retry(self, state: SegmentState, task: Task, message: str, decision: RetryDecision, last: LastStep) -> None:
        if decision == "fail":
            self._fail(state, task, message, "infrastructure", last)
        elif decision == "isolate":
            self.record(task_events.retried(task))
            self._to_isolate.append(task)  # it still counts as running or merging
        else:
            self._resubmit(state, task)

    def _resubmit(self, state: SegmentState, task: Task) -> None:
        state.running.pop(task.id, None)
        self.record(task_events.retried(task))
        self._return_work(state, task)

    @staticmethod
    def _return_work(state: SegmentState, task: Task) -> None:
        """Put the work of a task back into the queues of its segment."""
        if task.kind == "merge":
            state.merge_failed(task.id)
        elif task.kind == "call":
            state.calls.append(task.dataset)
        else:
            state.give_back(task)

    def _fail(
        self, state: SegmentState, task: Task, message: str, cause: FailureCause, last: LastStep = NOTHING
    ) -> None:
        """Count the partitions of a task as failed."""
        state.running.pop(task.id, None)
        if task.kind == "merge":
            state.merge_failed(task.id)
            state.blocked = f"its products cannot be merged: {message}"  # other segments continue
            return
        for failure in task_events.failures_of(task, state.segment, cause, message, last):
            state.failures.append(failure)
            self.record(task_events.failed(task.segment, failure))


def _why_stuck(state: SegmentState) -> str:
    name = "/".join(state.segment.stages)
    if state.blocked:
        return f"{name} cannot continue: {state.blocked} (to resume the run continues it)"
    return f"{name} is not complete, but nothing is left to run"
