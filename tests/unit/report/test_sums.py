"""What the report computes: occupancy of workers, quantiles, memory, causes; compared with plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fasthep_parsl.events import PartitionFailed, TaskLost
from fasthep_parsl.plan import PlanPool
from fasthep_parsl.report import charts
from fasthep_parsl.report.causes import MAX_GROUPS, MAX_KEPT, Causes
from fasthep_parsl.report.memory_use import memory_rows, proposal, setting
from fasthep_parsl.report.models import Raster, RasterRow
from fasthep_parsl.report.occupancy import BINS, MAX_ROWS, Occupancy
from fasthep_parsl.report.quantiles import histogram, quantiles
from fasthep_parsl.report.run_log import RunLog
from fasthep_parsl.resources.units import parse_memory
from fasthep_parsl.workflow.model import Workflow
from long_logs import long_plan, when

intervals = st.lists(
    st.tuples(st.integers(0, 4), st.floats(0, 5000, width=32), st.floats(0, 500, width=32)), min_size=1, max_size=30
)


@pytest.mark.slow
@given(intervals)
def test_occupancy_is_the_time_that_tasks_ran(tasks):
    occupancy = Occupancy(0.0)
    for worker, start, length in tasks:
        occupancy.add(("pool", "node", worker), start, start + length)
    busy = occupancy.busy("pool")
    assert len(busy) <= BINS
    assert sum(busy) * occupancy.width == pytest.approx(sum(length for _, _, length in tasks), abs=1e-6)
    for number, value in enumerate(busy):
        low, high = number * occupancy.width, (number + 1) * occupancy.width
        expected = sum(max(0.0, min(s + w, high) - max(s, low)) for _, s, w in tasks)
        assert value * occupancy.width == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("workers", [1, MAX_ROWS, MAX_ROWS + 1, 1000])
def test_the_raster_has_few_rows(workers):
    occupancy = Occupancy(100.0)
    for worker in range(workers):
        occupancy.add(("p", "n", worker), 100.0, 101.0)
    raster = occupancy.raster()
    assert (raster.workers, len(raster.rows) <= MAX_ROWS) == (workers, True)
    assert all(value == pytest.approx(1.0) for row in raster.rows for value in row.busy[:-1])


def test_a_task_that_began_before_the_first_event():
    occupancy = Occupancy(10.0)
    occupancy.add(("p", "n", 1), 8.0, 12.0)  # clocks differ
    assert sum(occupancy.busy("p")) * occupancy.width == pytest.approx(2.0)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200))
def test_quantiles_are_those_of_numpy(values):
    found = quantiles(values)
    expected = np.quantile(values, [0.5, 0.95, 0.99, 1.0], method="inverted_cdf")
    assert [found.p50, found.p95, found.p99, found.largest] == list(expected)
    assert found.count == len(values)


def test_no_values():
    assert quantiles([]).count == 0


@given(st.lists(st.integers(1, 10**10), min_size=1, max_size=100))
def test_a_histogram_has_all_values(values):
    assert sum(histogram(values, max(values), 40)) == len(values)


@given(st.integers(1, 10**12))
def test_the_next_request_holds_the_largest_worker_and_is_near_it(largest):
    asked = proposal(largest)
    assert asked >= 1.1 * largest * (1 - 1e-12)
    assert asked <= max(1.2 * largest, largest + 20_000_000)


@pytest.mark.parametrize("resource", ["", "big"])
def test_the_setting_can_be_pasted(resource):
    pool = PlanPool(name="deep", workers=4, cpus=2, gpus=1, disk=20_000_000_000, resource=resource)
    found = yaml.safe_load(setting(pool, 1_230_000_000))
    execution = Workflow.model_fields["execution"].annotation.model_validate(found["execution"])
    given = execution.resources[resource] if resource else execution.pools["deep"].resources
    assert (given.cpus, given.gpus) == (2, 1)
    assert parse_memory(given.memory) == 1_230_000_000


def failed(partition, message, cause="data", stage=""):
    facts = {"segment": 0, "stage": stage, "where": "", "detail": "Traceback"}
    return PartitionFailed(partition=partition, message=message, cause=cause, time=when(0), **facts)


def test_failures_that_differ_in_names_and_numbers_have_one_cause():
    causes = Causes(long_plan(100, files=10))
    for partition in range(40):
        causes.failed(failed(partition, f"cannot read /data/{partition}.root: {partition * 7} bytes are missing"))
    causes.failed(failed(50, "division by zero", "user", "Stage1"))
    found = causes.summary()
    assert [(g.cause, g.partitions, g.events, g.files) for g in found.groups] == [
        ("data", 40, 400, 4),
        ("user", 1, 10, 1),
    ]
    assert found.partitions == 41
    assert found.groups[0].message == "cannot read /data/0.root: 0 bytes are missing"
    assert causes.of_the_user


def test_very_many_causes_are_counted_and_not_kept():
    causes = Causes(long_plan(10, files=1))
    words = [f"{chr(97 + a)}{chr(97 + b)}{chr(97 + c)}" for a in range(20) for b in range(20) for c in range(20)]
    for word in words:
        causes.failed(failed(-1, f"error {word}"))
        causes.lost(TaskLost(task=1, segment=0, message=f"lost {word}", time=when(0)))
    found = causes.summary()
    assert len(found.groups) == MAX_GROUPS
    assert len(found.groups) + found.more == MAX_KEPT + 1
    assert (found.partitions, found.lost_tasks) == (8000, 8000)


def test_charts():
    assert charts.area([1, 2], 2) == "M0 100V50h1V0h1V100Z"
    assert charts.area([], 1) == charts.area([0.0], 0) == ""
    rows = (RasterRow("a", (1.0, 1.0, 0.0, 0.3)), RasterRow("b", (0.0, 0.0, 0.0, 0.0)))
    assert charts.raster_paths(Raster(1.0, rows, 2)) == ["", "M3 0h1v.9h-1z", "", "M0 0h2v.9h-2z"]
    assert [charts.level(value) for value in (0.0, 0.009, 0.01, 0.25, 0.75, 0.99, 1.0)] == [0, 0, 1, 2, 4, 4, 4]
    assert math.isclose(sum(s.length for s in charts.slices((), 0.0)), 0.0)


def test_nothing_is_proposed_from_a_run_of_the_first_events():
    plan = long_plan(4)
    log = RunLog(plan)
    log.peaks = {(plan.pools[0].name, "node", 1): 300_000_000}
    (row,) = memory_rows(plan, log)
    assert (row.proposed, bool(row.yaml)) == (330_000_000, True)
    (row,) = memory_rows(plan.model_copy(update={"limit": 100}), log)
    assert (row.proposed, row.yaml) == (0, "")
