"""Retry policy: a task that kills its worker fails, the tasks next to it do not."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import Future
from pathlib import Path

import pytest

from fasthep_parsl.driver.retry_policy import MAX_ISOLATED
from fasthep_parsl.driver.scheduler import Scheduler
from fasthep_parsl.errors import WorkerLostError
from fasthep_parsl.worker.spans import count

HIST = {"products": ("A",)}


class Crowded:
    """A session in which tasks that run together die together, if one of them kills.

    Parameters
    ----------
    session : ScriptedSession
        Runs the tasks.
    """

    def __init__(self, session):
        self.session = session
        self.crowds = []
        self._waiting = []
        self._lock = threading.Lock()

    def slots(self, pool):
        return self.session.slots(pool)

    def submit(self, pool, task, priority):
        late = Future()
        with self._lock:
            self._waiting.append((pool, task, priority, late))
            if len(self._waiting) == 1:  # those that are handed out within this time run together
                threading.Timer(0.02, self._end).start()
        return late

    def _end(self):
        with self._lock:
            crowd, self._waiting = self._waiting, []
        self.crowds.append([task for _, task, _, _ in crowd])
        dead = any(self._kills(task) for _, task, _, _ in crowd)
        done = [Future() if dead else self.session.submit(pool, task, priority) for pool, task, priority, _ in crowd]
        for future, (_, _, _, late) in zip(done, crowd, strict=True):
            if dead:
                late.set_exception(WorkerLostError("worker was killed"))
            else:
                late.set_result(future.result())

    def _kills(self, task):
        wanted = {p for first, last in task.partitions for p in range(first, last)}
        return task.kind == "map" and wanted & self.session.kills


@pytest.mark.parametrize("bad", [{2}, {0, 7}, {3, 4, 5}])
def test_tasks_next_to_a_killer_are_done(make_plan, scripted, bad):
    run = scripted(make_plan([(["A"], "p", HIST)], 8), kills=bad)
    session = Crowded(run.session)
    Scheduler(run.plan, Path("/nowhere"), lambda *_, **__: None, run.states).run(session)
    assert {f.partition for f in run.states[0].failures} == bad
    assert set(range(8)) - bad == {p for first, last in run.states[0].done for p in range(first, last)}
    alone = [crowd[0] for crowd in session.crowds if len(crowd) == 1]
    assert {(p, p + 1) for p in bad} <= {task.partitions[0] for task in alone if task.kind == "map"}


@pytest.mark.slow
def test_if_all_tasks_kill_few_run_alone(make_plan, scripted):
    run = scripted(make_plan([(["A"], "p", HIST)], 100), kills=set(range(100)))
    session = Crowded(run.session)
    Scheduler(run.plan, Path("/nowhere"), lambda *_, **__: None, run.states).run(session)
    assert len(run.states[0].failures) == 100
    trials = [crowd for crowd in session.crowds if len(crowd) == 1 and count(crowd[0].partitions) == 1]
    assert len(trials) <= MAX_ISOLATED + 3


def test_a_merge_that_was_killed_with_others_runs_alone(make_plan, scripted):
    plan = make_plan([(["A"], "p", HIST), (["B"], "p", {"products": ("B",)})], 40)
    run = scripted(plan, kills={17})
    session = Crowded(run.session)
    Scheduler(plan, Path("/nowhere"), lambda *_, **__: None, run.states).run(session)
    assert not any(state.blocked for state in run.states)
    for state in run.states:
        assert {f.partition for f in state.failures} == {17}
        assert run.session.files[state.product] == Counter(set(range(40)) - {17})


def test_an_odd_error_of_a_bundle_is_traced_to_its_partition(make_plan, scripted):
    run = scripted(make_plan([(["A"], "p", HIST)], 64))
    plain = run.session._run

    def odd(pool, task):
        if any(first <= 40 < last for first, last in task.partitions):
            raise ValueError("cannot be pickled")
        return plain(pool, task)

    run.session._run = odd
    run.go()
    assert [(f.partition, f.kind, f.message) for f in run.states[0].failures] == [
        (40, "configuration", "ValueError: cannot be pickled")
    ]
    assert run.session.files[run.states[0].product] == Counter(set(range(64)) - {40})


def test_a_stored_chunk_is_divided_until_the_killer_is_alone(make_plan, scripted):
    segments = [(["A"], "p", {"stores": {"A": ("x",)}}), (["B"], "q", {"products": ("B",), "input": "A"})]
    run = scripted(make_plan(segments, 30))
    plain = run.session._run

    def deadly(pool, task):
        if pool == "q" and any(first <= 17 < last for ref in task.refs for first, last in ref.partitions):
            raise WorkerLostError("worker was killed")
        return plain(pool, task)

    run.session._run = deadly
    run.go()
    assert {f.partition for f in run.states[1].failures} == {17}
    assert run.session.files[run.states[1].product] == Counter(set(range(30)) - {17})
