"""Bundles: limited in time, large at first, small near the end; each partition is in one of them."""

from __future__ import annotations

import pytest

from fasthep_parsl.driver.bundle_size import PER_WORKER, SHORTEST, TARGET, BundleSizer
from fasthep_parsl.driver.segment_state import SegmentState
from fasthep_parsl.tasks import Ref, Task, TaskResult
from fasthep_parsl.worker.spans import count, union


def map_task(number, spans=(), refs=()):
    return Task("map", number, 0, ("p", "h"), "/r", partitions=tuple(spans), refs=tuple(refs))


@pytest.fixture
def state(make_plan):
    def make(partitions, **facts):
        plan = make_plan([(["A"], "p", {"products": ("A",), **facts})], partitions)
        return SegmentState(plan, plan.segments[0])

    return make


def result(spans, wall):
    events = 10 * count(spans)
    path = str(spans)
    return TaskResult(0, path, parts=tuple((span,) for span in spans), events=events, done=tuple(spans), wall=wall)


def drain(state, slots, seconds=0.0):
    """Take all bundles; each partition takes `seconds`."""
    taken = []
    while state.spans or state.refs:
        spans, _ = state.take(slots)
        size = count(spans)
        taken.append(spans)
        state.add(map_task(0, spans), result(spans, seconds * size))
    return taken


@pytest.mark.parametrize("seconds", [0.0, 1e-4, 0.05, 3.0, 100.0])
@pytest.mark.parametrize("partitions", [1, 7, 1000])
def test_every_partition_is_in_one_bundle(state, partitions, seconds):
    taken = drain(state(partitions), 2, seconds)
    spans = [span for bundle in taken for span in bundle]
    assert count(spans) == partitions
    assert union(spans) == [(0, partitions)]
    assert all(bundle for bundle in taken)


@pytest.mark.slow
def test_bundles_take_no_longer_than_the_target(state):
    sizes = [count(spans) for spans in drain(state(100_000), 2, 1.0)]
    assert max(sizes[1:]) <= TARGET + 1
    # what one cuts off a very long range must not be coarser than that
    assert sum(sizes) == 100_000


def test_bundles_are_large_at_first_and_small_near_the_end(state):
    sizes = [count(spans) for spans in drain(state(4000), 4, 0.05)]
    assert sizes[1] > 4 * sizes[-2]
    assert len(sizes) >= PER_WORKER * 4


def test_tiny_partitions_are_bundled(state):
    sizes = [count(spans) for spans in drain(state(10_000), 2, 1e-4)]
    assert len(sizes) < 60
    assert max(sizes) * 1e-4 >= SHORTEST


def test_the_first_guess_is_careful(state):
    spans, _ = state(64).take(2)
    assert count(spans) < 40


def test_every_chunk_is_in_one_bundle(make_plan):
    plan = make_plan([(["A"], "p", {"stores": {"A": ("x",)}}), (["B"], "p", {"input": "A"})], 100)
    state = SegmentState(plan, plan.segments[1])
    refs = [Ref(str(n), "c", 1, 10, 0, ((n, n + 1),)) for n in range(100)]
    state.receive(refs)
    taken = []
    while state.refs:
        spans, found = state.take(2)
        assert not spans
        assert found
        taken += found
    assert taken == refs
    assert state.all_refs == refs


def test_a_lost_bundle_is_divided_into_halves(state):
    made = state(10)
    made.spans.clear()
    made.give_back(map_task(1, [(0, 5), (8, 9)]))
    assert [made.take(2), made.take(2)] == [(((0, 3),), ()), (((3, 5), (8, 9)), ())]
    made.give_back(map_task(2, [(4, 5)]))
    assert made.take(2) == (((4, 5),), ())
    assert not made.again


def test_remaining_events_are_counted(state):
    made = state(1000)
    while made.spans:
        assert made._parts_left == count(made.spans)
        assert made._events_left == 10 * count(made.spans)
        made.take(3)
    assert (made._parts_left, made._events_left) == (0, 0)


def test_times_are_learnt():
    bundles = BundleSizer()
    bundles.learn(1000, 10, 5.0)
    assert bundles.seconds(1000, 10) == pytest.approx(5.0)
    for _ in range(20):
        bundles.learn(1000, 10, 0.5)
    assert bundles.seconds(1000, 10) == pytest.approx(0.5, rel=0.01)
    bundles.learn(0, 0, 3.0)  # nothing to learn from
    assert bundles.seconds(1000, 10) == pytest.approx(0.5, rel=0.01)
    bundles.learn(1000, 10, 0.0)
    assert bundles.seconds(10**9, 10**6) > 0


def test_first_bundles_use_all_workers():
    bundles = BundleSizer()
    few = bundles.seconds(2_000, 20)
    assert bundles.target(2_000, 20, slots=4) <= few / 4  # slow ops on few partitions: all workers get some
    bundles.learn(1_000, 10, 0.001)
    assert bundles.target(2_000, 20, slots=4) == SHORTEST  # known to be fast: not worth cutting
