"""The report of a run with 100,000 tasks is small, and has the numbers of its events."""

from __future__ import annotations

from collections import Counter

import pytest

from fasthep_parsl.events import read_events
from fasthep_parsl.events.codec import encode
from fasthep_parsl.report import read_report
from fasthep_parsl.report.occupancy import MAX_ROWS
from fasthep_parsl.report.page import render
from long_logs import WORK, finished, long_plan, wall_of, write_long_log
from report_pages import Page

TASKS, WORKERS, FAILED, LOST = 100_000, 1000, 500, 300


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("long")
    plan = long_plan(TASKS, stages=4)
    (folder / "plan.json").write_text(plan.model_dump_json())
    write_long_log(folder / "events.jsonl", plan, workers=WORKERS, failures=FAILED, lost=LOST, ended=False)
    found = read_report(folder, alive=False)
    (folder / "events.jsonl").unlink()
    return found


def test_lines_that_are_written_from_a_pattern_are_those_of_the_event_log(tmp_path):
    plan, path = long_plan(30, stages=2, files=2), tmp_path / "events.jsonl"
    write_long_log(path, plan, workers=7)
    stages = [stage.id for stage in plan.stages]
    expected = [encode(finished(task, 60 + WORK * (task // 7 + 1), task % 7, stages)) for task in range(30)]
    assert [line for line in path.read_text().splitlines(keepends=True) if '"kind":"finished"' in line] == expected
    assert [e.partitions for e in read_events(path) if e.kind == "submitted"] == [((t, t + 1),) for t in range(30)]


@pytest.mark.slow
def test_the_page_is_small(report):
    text = render(report)
    assert len(text.encode()) < 300_000
    assert Page(text).text["done"] == f"{10 * (TASKS - FAILED):,}"


def test_events(report):
    assert (report.verdict.done, report.verdict.missing) == (10 * (TASKS - FAILED), 10 * FAILED)
    assert [row.missing for row in report.datasets] == [10 * FAILED, 0, 0, 0]


def test_times(report):
    wall = sum(wall_of(task) for task in range(TASKS))
    assert report.time.wall == pytest.approx(wall)
    assert report.time.cpu == pytest.approx(0.75 * wall)
    assert [part.calls for part in report.time.stages] == [TASKS] * 4
    (segment,) = report.time.segments
    assert segment.tasks == TASKS
    assert segment.wall.largest == max(wall_of(task) for task in range(TASKS))
    (pool,) = report.time.pools
    assert pool.workers == WORKERS
    assert sum(pool.busy) * report.time.raster.width == pytest.approx(wall, rel=1e-4)
    assert len(report.time.raster.rows) == MAX_ROWS


def test_memory(report):
    (row,) = report.memory
    peaks = [900_000_000 + 100_000 * worker for worker in range(WORKERS)]
    assert row.used.count == WORKERS
    assert row.used.p50 == sorted(peaks)[WORKERS // 2 - 1]
    assert row.used.largest == max(peaks)
    assert row.requested == 2_000_000_000
    assert max(peaks) < row.proposed < 1.2 * max(peaks)


def test_blocks_and_failures(report):
    (block,) = report.blocks
    assert block.jobs["submitted"] == 125
    assert block.states == Counter(up=125)
    assert (block.queued.count, block.queued.p50, block.queued.largest) == (125, 60.0, 60.0)
    (group,) = report.failures.groups
    assert (group.partitions, group.files) == (FAILED, FAILED // 100)
    assert (report.failures.lost_tasks, report.failures.retried) == (LOST, LOST)
    assert [lost.tasks for lost in report.failures.lost] == [LOST]
