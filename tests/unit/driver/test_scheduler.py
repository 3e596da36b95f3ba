"""Scheduler: all work is done once, lost work is submitted again, failures are named."""

from __future__ import annotations

import time
import tracemalloc
from collections import Counter
from contextlib import nullcontext

import pytest

from fasthep_parsl.driver.partial_products import FAN_IN
from fasthep_parsl.driver.retry_policy import MAX_LOST
from fasthep_parsl.errors import RunError, WorkerLostError
from fasthep_parsl.plan import Binding
from fasthep_parsl.room import DiskFullError
from fasthep_parsl.worker.spans import count, union

HIST = {"products": ("A",)}
ALL = {"products": ("W",), "scope": "workflow", "input": "A"}


def product(run, number=0):
    return run.session.files[run.states[number].product]


def test_every_partition_is_in_the_sum_exactly_once(make_plan, scripted):
    run = scripted(make_plan([(["A"], "p", HIST)], 500, datasets=2)).go()
    assert product(run) == Counter(range(500))
    assert run.states[0].done == [(0, 500)]
    assert run.kinds()["submitted"] == run.kinds()["finished"]
    assert len(run.session.files) == 1  # no partial sum is left over


def test_more_than_a_hundred_partial_sums_are_joined_in_a_tree(make_plan, scripted):
    plan = make_plan([(["A"], "p", HIST)], 4000)
    run = scripted(plan, slots=40).go()
    merges = [task for task in run.session.tasks if task.kind == "merge"]
    maps = [task for task in run.session.tasks if task.kind == "map"]
    assert len(maps) > 100
    assert all(2 <= len(task.partials) <= FAN_IN for task in merges)
    assert product(run) == Counter(range(4000))
    assert {priority for kind, priority in run.session.priorities if kind == "merge"} == {-1}


def test_no_more_tasks_than_the_window_are_open_at_once(make_plan, scripted):
    plan = make_plan([(["A"], "p", HIST)], 500)
    run = scripted(plan, slots=3)
    open_now, most = 0, 0

    def observe(event):
        nonlocal open_now, most
        if event.kind in ("submitted", "finished") and event.what == "map":
            open_now += 1 if event.kind == "submitted" else -1
        most = max(most, open_now)

    from pathlib import Path

    from fasthep_parsl.driver.scheduler import WINDOW, Scheduler

    Scheduler(plan, Path("/nowhere"), observe, run.states).run(run.session)
    assert 0 < most <= WINDOW * 3


def test_a_lost_bundle_is_halved_and_done(make_plan, scripted):
    run = scripted(make_plan([(["A"], "p", HIST)], 64), lose={0: WorkerLostError("gone")}).go()
    lost = next(task for task in run.session.tasks if task.id == 0)
    size = count(lost.partitions)
    assert size > 1
    later = [count(t.partitions) for t in run.session.tasks if t.id and t.kind == "map" and t.partitions[0][0] < size]
    assert later == [size // 2, size - size // 2]
    assert product(run) == Counter(range(64))
    assert run.kinds()["lost"] == run.kinds()["retried"] == 1
    assert not run.states[0].failures


@pytest.mark.parametrize(("folder", "stops"), [("/nowhere/work", True), ("/nowhere-else", False), ("/scratch", False)])
def test_a_full_disk_stops_a_pool_if_it_is_that_of_the_run(make_plan, scripted, folder, stops):
    """The disk of one node is no reason to stop: another worker does the task. The folder decides, not the message."""
    plan = make_plan([(["A"], "p", HIST)], 64)
    far = tuple(pool.model_copy(update={"shared": False}) for pool in plan.pools)
    error = DiskFullError("the disk of /nowhere is full", folder)
    run = scripted(plan.model_copy(update={"pools": far}), lose={0: error})
    with pytest.raises(RunError, match="is full") if stops else nullcontext():
        run.go()
    assert (run.states[0].done == [(0, 64)]) is not stops
    assert not run.states[0].failures


@pytest.mark.parametrize("bad", [{0}, {63}, {17, 40}])
def test_a_partition_that_kills_workers_is_named_and_the_others_are_done(make_plan, scripted, bad):
    run = scripted(make_plan([(["A"], "p", HIST)], 64), kills=bad).go()
    assert product(run) == Counter(set(range(64)) - bad)
    assert {f.partition for f in run.states[0].failures} == bad
    assert {f.kind for f in run.states[0].failures} == {"infrastructure"}
    for partition in bad:
        alone = [t for t in run.session.tasks if t.partitions == ((partition, partition + 1),)]
        assert len(alone) == MAX_LOST


def test_an_op_that_raises_costs_only_its_partitions(make_plan, scripted):
    run = scripted(make_plan([(["A"], "p", HIST)], 64), fails={3, 4}).go()
    assert product(run) == Counter(set(range(64)) - {3, 4})
    assert run.kinds()["failed"] == 2
    assert run.states[0].done == [(0, 3), (5, 64)]


def test_streams_reach_every_reader_once(make_plan, scripted):
    segments = [
        (["A"], "p", {"products": ("A",), "stores": {"A": ("x",)}}),
        (["B"], "q", {"products": ("B",), "input": "A"}),
        (["C"], "r", {"products": ("C",), "input": "A"}),
    ]
    run = scripted(make_plan(segments, 200), fails={5}, kills={70}).go()
    good = Counter(set(range(200)) - {5, 70})
    assert product(run, 0) == product(run, 1) == product(run, 2) == good


def test_a_call_waits_for_all_chunks_and_readers_of_its_product_wait_for_it(make_plan, scripted):
    segments = [
        (["A"], "p", {"stores": {"A": ("x",)}}),
        (["W"], "p", ALL),
        (["B"], "p", {"products": ("B",), "input": "A", "after": (1,)}),
    ]
    plan = make_plan(segments, 100, binds={"B": (Binding(node="W", port="p", to="given"),)})
    run = scripted(plan).go()
    kinds = [(task.kind, task.segment) for task in run.session.tasks if task.kind != "merge"]
    call = kinds.index(("call", 1))
    assert {segment for kind, segment in kinds[:call]} == {0}
    assert {segment for kind, segment in kinds[call + 1 :]} == {2}
    assert product(run, 1) == product(run, 2) == Counter(range(100))
    assert all(
        task.products == {"W": run.states[1].product}
        for task in run.session.tasks
        if task.segment == 2 and task.kind == "map"
    )


def test_dataset_scope_is_called_for_each_dataset(make_plan, scripted):
    segments = [(["E"], "p", {"products": ("E",), "scope": "dataset"})]
    run = scripted(make_plan(segments, 90, datasets=3)).go()
    calls = [(task.dataset, task.partitions) for task in run.session.tasks if task.kind == "call"]
    assert calls == [(0, ((0, 30),)), (1, ((30, 60),)), (2, ((60, 90),))]
    assert product(run) == Counter(range(90))


def test_a_lost_call_is_repeated_a_few_times(make_plan, scripted):
    segments = [(["W"], "p", {"products": ("W",), "scope": "workflow"})]
    again = scripted(make_plan(segments, 10), lose={0: WorkerLostError("gone")}).go()
    assert product(again) == Counter(range(10))
    never = scripted(make_plan(segments, 10), kills={4}).go()
    assert never.states[0].product == ""
    (failure,) = never.states[0].failures
    assert (failure.partition, failure.stage) == (-1, "W")


def test_a_lost_merge_is_repeated(make_plan, scripted):
    plan = make_plan([(["A"], "p", HIST)], 400)
    ids = [task.id for task in scripted(plan).go().session.tasks if task.kind == "merge"]
    run = scripted(plan, lose={ids[0]: WorkerLostError("gone"), ids[-1]: WorkerLostError("gone")}).go()
    assert product(run) == Counter(range(400))


def test_a_broken_pool_blocks_its_stages_and_others_continue(make_plan, scripted):
    segments = [
        (["A"], "p", HIST),
        (["G"], "gpu", {"products": ("G",)}),
        (["H"], "p", {"products": ("H",), "after": (1,)}),
    ]
    plan = make_plan(segments, 100, binds={"H": (Binding(node="G", port="p", to="given"),)})
    run = scripted(plan, broken={"gpu"}).go()
    assert product(run, 0) == Counter(range(100))
    assert "has no workers" in run.states[1].blocked
    assert run.states[2].blocked == "stage G has no product"
    assert not [task for task in run.session.tasks if task.segment == 2]
    assert not run.states[1].failures  # no partition is to blame
    assert not run.states[1].done


def test_a_pool_that_breaks_before_its_sums_are_joined_is_named(make_plan, scripted):
    segments = [(["G"], "gpu", {"products": ("G",)}), (["A"], "p", {"products": ("A",)})]
    run = scripted(make_plan(segments, 100))
    work = run.session._run

    def breaks(pool, task):
        if pool == "gpu" and task.kind == "merge":
            run.session.broken.add("gpu")
        return work(pool, task)

    run.session._run = breaks
    with pytest.raises(RunError, match="G cannot continue: pool `gpu` has no workers"):
        run.go()
    assert product(run, 1) == Counter(range(100))
    kept = sum((run.session.files[file.path] for file in run.states[0].partials.files), Counter())
    assert kept == Counter({p: 1 for first, last in run.states[0].done for p in range(first, last)})


def test_products_that_cannot_be_merged_stop_only_their_stages(make_plan, scripted):
    segments = [
        (["G"], "p", {"products": ("G",)}),
        (["A"], "p", {"products": ("A",)}),
        (["H"], "p", {"products": ("H",), "after": (0,)}),
    ]
    plan = make_plan(segments, 400, binds={"H": (Binding(node="G", port="p", to="given"),)})
    run = scripted(plan)
    work = run.session._run

    def fails(pool, task):
        if task.kind == "merge" and task.segment == 0:
            raise TypeError("cannot add these")
        return work(pool, task)

    run.session._run = fails
    with pytest.raises(
        RunError, match="G cannot continue: its products cannot be merged: TypeError: cannot add these"
    ) as caught:
        run.go()
    assert "H" not in str(caught.value)
    assert product(run, 1) == Counter(range(400))


def test_an_unexpected_error_of_a_task_is_a_failure_not_a_crash(make_plan, scripted):
    run = scripted(make_plan([(["A"], "p", HIST)], 200), lose={0: RuntimeError("")}).go()
    failed = {f.partition for f in run.states[0].failures}
    assert failed
    assert product(run) == Counter(set(range(200)) - failed)
    assert all("RuntimeError" in f.message for f in run.states[0].failures)


@pytest.mark.slow
def test_a_hundred_thousand_partitions_cost_the_driver_little(make_plan, scripted):
    segments = [
        (["A"], "p", {"products": ("A",), "stores": {"A": ("x",)}}),
        (["B"], "q", {"products": ("B",), "input": "A"}),
    ]
    plan = make_plan(segments, 100_000, datasets=4)
    run = scripted(plan, slots=16)
    run.session._run = _light(run.session, plan)
    tracemalloc.start()
    began = time.process_time()
    run.go()
    seconds = time.process_time() - began
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert run.states[0].done == run.states[1].done == [(0, 100_000)]
    assert seconds < 20  # traced: some seconds; quadratic ways take minutes
    assert peak < 100_000_000


def _light(session, plan):
    """Answer like workers, with one reference per task and without keeping what was summed."""
    from fasthep_parsl.tasks import Ref, TaskResult

    kept = {}

    def work(pool, task):
        spans = (*task.partitions, *(span for ref in task.refs for span in ref.partitions))
        path = f"{task.kind}-{task.id}"
        refs = (
            {"A": (Ref(path, "c", 1, 10 * count(spans), 0, spans),)} if task.segment == 0 and task.kind == "map" else {}
        )
        session.tasks.clear()
        if task.kind == "merge":
            parts = [span for partial in task.partials for span in kept.pop(partial)]
            kept[path] = union(parts)
        else:
            kept[path] = union(spans)
        facts = {"done": spans, "events": 10 * count(spans)} if task.kind == "map" else {}
        parts = tuple((span,) for span in kept[path])
        return TaskResult(
            id=task.id, partial=path, parts=parts, whole=task.final, refs=refs, wall=0.02 * count(spans), **facts
        )

    return work
