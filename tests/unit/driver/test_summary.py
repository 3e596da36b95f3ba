"""``run.json`` and ``missing.json``: counts of missing partitions, also for very many."""

from __future__ import annotations

import time

import pytest

from fasthep_parsl.driver.segment_state import SegmentState
from fasthep_parsl.driver.summary import MAX_FAILURES, Tally, missing_fileset, missing_partitions, run_summary
from fasthep_parsl.plan import PlanDataset, PlanFile
from fasthep_parsl.tasks import Failure
from fasthep_parsl.worker.spans import count
from sample_events import finished, run_started


@pytest.fixture
def plan(make_plan):
    """Six partitions of 10 events in three files, two datasets, two segments."""
    plan = make_plan(
        [(["A"], "p", {"stores": {"A": ("x",)}}), (["B"], "p", {"input": "A"}), (["W"], "p", {"scope": "workflow"})], 6
    )
    file = PlanFile(path="/a.root", entries=20, edges=(0, 10, 20))
    datasets = (
        PlanDataset(name="d0", files=(file, file.model_copy(update={"path": "/b.root"})), meta={"xsec": 2.0}),
        PlanDataset(name="d1", eventtype="data", files=(file.model_copy(update={"path": "/c.root"}),)),
    )
    return plan.model_copy(update={"datasets": datasets})


def states_of(plan, *done):
    states = [SegmentState(plan, segment) for segment in plan.segments]
    for state, spans in zip(states, done, strict=False):
        state.done = list(spans)
    return states


def test_a_partition_is_missing_if_any_result_lacks_it(plan):
    assert missing_partitions(states_of(plan, [(0, 6)], [(0, 6)]), plan) == []
    assert missing_partitions(states_of(plan, [(0, 6)], [(0, 2), (3, 6)]), plan) == [(2, 3)]
    assert missing_partitions(states_of(plan, [(1, 6)], [(0, 2), (3, 6)]), plan) == [(0, 1), (2, 3)]
    assert missing_partitions(states_of(plan), plan) == [(0, 6)]


def test_missing_events_are_listed_by_dataset_and_file(plan):
    found = missing_fileset(plan, [(1, 3), (4, 6)])
    steps = {name: {path: file["steps"] for path, file in entry["files"].items()} for name, entry in found.items()}
    assert steps == {"d0": {"/a.root": [[10, 20]], "/b.root": [[0, 10]]}, "d1": {"/c.root": [[0, 10], [10, 20]]}}
    assert found["d0"]["metadata"] == {"eventtype": "mc", "xsec": 2.0}
    assert found["d1"]["files"]["/c.root"]["num_entries"] == 20
    assert missing_fileset(plan, []) == {}


def test_counts_add_up(plan):
    states = states_of(plan, [(0, 6)], [(0, 2), (3, 6)])
    states[1].failures = [Failure(2, "user", "B", "bad", "ops.py:3")] * 2
    content = run_summary(plan, states, Tally(plan), status="partial", exit_code=3)
    assert content["partitions"] == {"total": 6, "done": 5, "failed": 1, "missing": 1}
    assert content["events"] == {"total": 60, "done": 50, "read": 0}
    assert content["failures"][0] | {"detail": ""} == {
        "partition": 2,
        "kind": "user",
        "stage": "B",
        "message": "bad",
        "where": "ops.py:3",
        "detail": "",
        "dataset": "d0",
        "file": "/b.root",
        "entry_start": 0,
        "entry_stop": 10,
    }
    assert (content["status"], content["exit_code"]) == ("partial", 3)


def test_a_tally_counts_events_of_the_source_once(plan):
    tally = Tally(plan)
    facts = {"peak_memory": 5, "bytes": 7, "events": 60, "stages": {"A": (1, 0.5, 0.25, 60, 30)}}
    tally(run_started())
    tally(finished(**facts))
    tally(finished(**{**facts, "segment": 1, "peak_memory": 9}))
    tally(finished(**facts, segment=2, what="call"))
    assert tally.events == 60
    assert tally.bytes == 21
    assert tally.stages["A"] == [3, 1.5, 0.75, 180, 90]
    assert tally.peak[1] == 9
    assert tally.counts["finished"] == 3


@pytest.mark.slow
def test_very_many_partitions_of_which_every_other_is_missing(make_plan):
    plan = make_plan([(["A"], "p", {}), (["B"], "p", {"input": "A"})], 200_000, datasets=4)
    done = [(n, n + 1) for n in range(0, 200_000, 2)]
    states = states_of(plan, done, done)
    states[0].failures = [Failure(n, "user", "A", "bad") for n in range(1, 100_000, 2)]
    began = time.process_time()
    missing = missing_partitions(states, plan)
    assert count(missing) == 100_000
    content = run_summary(plan, states, Tally(plan), status="partial")
    assert content["events"]["done"] == 1_000_000
    assert content["partitions"] == {"total": 200_000, "done": 100_000, "failed": 50_000, "missing": 100_000}
    assert len(content["failures"]) == MAX_FAILURES
    steps = sum(
        len(file["steps"]) for entry in missing_fileset(plan, missing).values() for file in entry["files"].values()
    )
    assert steps == 100_000
    states[0].settle()
    assert count(states[0].spans) == 100_000
    assert time.process_time() - began < 15  # some seconds; quadratic ways never end


def test_cutflows_list_datasets_in_the_order_of_the_plan(flow, small_files):
    s = flow.stage
    cuts = s("Cuts", "hep.selection.cutflow", [], selection=["x >= 0"])
    names = {"late": [small_files / "a.root"], "early": [small_files / "b.root"]}
    plan = flow.write([cuts], datasets=names).compile(chunk_size=10)
    outcome = flow.run(plan)
    assert list(outcome.products["Cuts", "cutflow"].rows) == ["late", "early"]
    from fasthep_parsl.ops.products import in_order

    turned = in_order(outcome.products["Cuts", "cutflow"], ["early", "missing", "late"])
    assert list(turned.rows) == ["early", "late"]
