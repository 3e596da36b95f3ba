"""The gate for credentials: refused work is repeated, nothing is lost or counted twice, and a hopeless run stops."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

import pytest

from fasthep_parsl.driver import segment_state, summary
from fasthep_parsl.driver.credential_gate import MANY, MAX_REFUSED, MAX_RETURNED, CredentialGate
from fasthep_parsl.driver.scheduler import Scheduler
from fasthep_parsl.plan import PlanFile
from fasthep_parsl.tasks import Failure, TaskResult

HIST = {"products": ("A",)}


class FakeWatch:
    """Stands for the keeper: a test says when a credential expires and when a fresh one is there."""

    def __init__(self):
        self.version, self.usable, self.near = 0, True, False
        self.held = threading.Event()
        self.changed = None

    def suspect(self):
        if self.near:
            self.usable = False
        return self.near

    def hold(self):
        self.held.set()

    def listen(self, changed):
        self.changed = changed

    def fresh(self):
        self.version, self.usable, self.near = self.version + 1, True, False
        self.changed()


@pytest.fixture
def remote(make_plan, scripted):
    """Make a run over 64 partitions of a file on a server, which answers by `refuse(partition) -> bool`."""

    def make(refuse, watch=None, segments=(("A", "p", HIST),), partitions=64, slots=2, each=64, datasets=1):
        plan = make_plan([([name], pool, facts) for name, pool, facts in segments], partitions, datasets=datasets)
        share = partitions // datasets
        files = tuple(_remote(n, min(each, share - n)) for n in range(0, share, each))
        far = tuple(dataset.model_copy(update={"files": files}) for dataset in plan.datasets)
        run = scripted(plan.model_copy(update={"datasets": far}), slots=slots)
        work = run.session._run

        def answer(pool, task):
            run.session.fails = {p for span in task.partitions for p in range(*span) if refuse(p)}
            result = work(pool, task)
            return result if task.kind != "map" else _refused(result)

        run.session._run = answer
        run.watch = watch or FakeWatch()
        gate = CredentialGate(run.plan, run.watch)
        run.scheduler = Scheduler(run.plan, Path("/nowhere"), run.events.append, run.states, gate=gate)
        return run

    return make


def _remote(number, partitions):
    edges = tuple(range(0, 10 * partitions + 1, 10))
    return PlanFile(path=f"root://host//{number}.root", entries=10 * partitions, edges=edges)


def _refused(result):
    from dataclasses import replace

    found = tuple(Failure(f.partition, "credential", "", "root://host//a.root: not permitted") for f in result.failures)
    return replace(result, failures=found)


def product(run):
    return run.session.files[run.states[0].product]


def test_a_refusal_that_passes_costs_no_partition(remote):
    left = Counter({3: 1, 4: 2, 40: 1})

    def refuse(partition):
        left[partition] -= 1
        return left[partition] >= 0

    run = remote(refuse)
    run.scheduler.run(run.session)
    assert product(run) == Counter(range(64))
    assert run.states[0].done == [(0, 64)]
    assert not run.states[0].failures
    assert run.kinds()["failed"] == 0
    returned = [span for event in run.events if event.kind == "finished" for span in event.returned]
    assert sorted(p for span in returned for p in range(*span)) == [3, 4, 4, 40]


def test_what_is_always_refused_with_a_good_credential_fails_as_data(remote):
    tries = Counter()

    def refuse(partition):
        tries[partition] += 1
        return partition in (3, 60)

    run = remote(refuse)
    run.scheduler.run(run.session)
    assert product(run) == Counter(set(range(64)) - {3, 60})
    assert {(f.partition, f.kind, f.message) for f in run.states[0].failures} == {
        (3, "data", "root://host//a.root: not permitted"),
        (60, "data", "root://host//a.root: not permitted"),
    }
    assert tries[3] == tries[60] == MAX_REFUSED
    assert summary.missing_partitions(run.states, run.plan) == [(3, 4), (60, 61)]


@pytest.mark.slow
@pytest.mark.parametrize("datasets", [1, 3])
def test_a_credential_that_opens_nothing_ends_the_run_soon(remote, datasets):
    tries = Counter()

    def refuse(partition):
        tries[partition] += 1
        return True

    run = remote(refuse, partitions=30_000, each=20, datasets=datasets)
    run.scheduler.run(run.session)
    assert run.states[0].blocked == "servers refuse the credentials of this run: root://host//a.root: not permitted"
    assert max(tries.values()) == MAX_REFUSED
    assert len(run.session.tasks) < 50 * datasets
    assert datasets == 3 or len(tries) < 20_000  # all datasets are tried
    assert sum(tries.values()) < 60_000


def test_datasets_and_files_that_nobody_may_read_do_not_stop_the_others(remote):
    """The first dataset is embargoed; of the second only one file with very many partitions."""

    def refuse(partition):
        return partition < 1000 or 1200 <= partition < 1400

    run = remote(refuse, partitions=2000, each=20, datasets=2)
    assert run.plan.datasets[0].files[49].partitions == 20 > MANY
    run.scheduler.run(run.session)
    assert not run.states[0].blocked
    assert run.states[0].done == [(1000, 1200), (1400, 2000)]
    assert product(run) == Counter([*range(1000, 1200), *range(1400, 2000)])


def test_new_versions_of_a_credential_do_not_repeat_a_hopeless_partition_for_ever(remote):
    watch = FakeWatch()

    def refuse(partition):
        if partition == 7:
            watch.version += 1
        return partition == 7

    run = remote(refuse, watch)
    run.scheduler.run(run.session)
    assert [f.partition for f in run.states[0].failures] == [7]
    assert sum(7 in range(*span) for task in run.session.tasks for span in task.partitions) == MAX_RETURNED


def waits(run, pause):
    """Run until work waits for a credential, call `pause`, then provide a fresh one."""

    def user():
        if run.watch.held.wait(20):
            pause()
            run.watch.fresh()

    thread = threading.Thread(target=user)
    thread.start()
    run.scheduler.run(run.session)
    thread.join()


def test_work_waits_for_a_fresh_credential_and_continues(remote):
    watch = FakeWatch()
    watch.near = True
    segments = (
        ("A", "p", {"products": ("A",), "stores": {"A": ("x",)}}),
        ("B", "q", {"products": ("B",), "input": "A"}),
    )
    run = remote(lambda partition: partition >= 20 and not watch.version, watch, segments)
    before = []
    waits(run, lambda: before.extend(run.session.tasks))
    assert run.states[1].done == [(0, 64)]
    assert product(run) == Counter(range(64))
    assert run.session.files[run.states[1].product] == Counter(range(64))
    assert not any(state.failures for state in run.states)
    assert run.kinds()["failed"] == 0
    assert {task.segment for task in before} == {0, 1}  # the stream was read in spite of the pause
    asked = [p for task in before if task.segment == 0 for span in task.partitions for p in range(*span)]
    assert max(Counter(asked).values()) == 1  # refused work is not submitted while the credential has expired


def test_calls_wait_too(remote):
    watch = FakeWatch()
    watch.usable = False
    run = remote(lambda _: False, watch, (("W", "p", {"products": ("W",), "scope": "workflow"}),))
    before = []
    waits(run, lambda: before.extend(run.session.tasks))
    assert not before
    assert product(run) == Counter(range(64))


def test_a_refused_call_is_repeated(remote):
    run = remote(lambda _: False, segments=(("E", "p", {"products": ("E",), "scope": "workflow"}),))
    work, calls = run.session._run, []

    def answer(pool, task):
        calls.append(task.kind)
        if len(calls) == 1:
            refusal = Failure(-1, "credential", "E", "not permitted")
            return TaskResult(id=task.id, failures=(refusal,))
        return work(pool, task)

    run.session._run = answer
    run.scheduler.run(run.session)
    assert calls[:2] == ["call", "call"]
    assert product(run) == Counter(range(64))
    assert not run.states[0].failures


def test_local_files_do_not_wait(make_plan, scripted):
    watch = FakeWatch()
    watch.usable = False
    run = scripted(make_plan([(["A"], "p", HIST)], 64))
    Scheduler(run.plan, Path("/nowhere"), run.events.append, run.states, gate=CredentialGate(run.plan, watch)).run(
        run.session
    )
    assert product(run) == Counter(range(64))
    assert not watch.held.is_set()


@pytest.mark.parametrize("refused", [range(0, 50, 2), range(12, 13), range(50)])
def test_many_gaps_that_are_filled_later_are_in_the_sum_once(remote, monkeypatch, refused):
    """Merges join parts across gaps only if nothing fills them later."""
    watch = FakeWatch()
    watch.near = True
    run = remote(lambda partition: partition % 50 in refused and not watch.version, watch, partitions=640, slots=16)
    run.session.most_parts = 4
    monkeypatch.setattr(segment_state, "MOST_PARTS", 4)
    waits(run, lambda: None)
    assert product(run) == Counter(range(640))
    parts = [p for part in run.session.parts[run.states[0].product] for p in part.products["A"]]
    assert parts == sorted(parts)
