"""Jobs counted from events: submitted, lost, times in the queue, jobs that may still exist."""

from __future__ import annotations

from fasthep_parsl.blocks.job_tally import JobTally
from fasthep_parsl.events import BlockChanged
from sample_events import block


def tally(*events):
    found = JobTally()
    for second, state, job, facts in events:
        found(block(state, job, pool="cpu", time=f"2026-01-01T00:00:{second:02}.000Z", **facts))
    return found


def test_queue_times_end_with_the_first_sign_of_the_block():
    found = tally(
        (0, "submitted", "1", {}),
        (0, "submitted", "2", {}),
        (0, "submitted", "3", {}),
        (4, "running", "1", {"node": "c1"}),
        (9, "up", "1", {"node": "c1"}),
        (10, "up", "2", {"node": "c2"}),  # the batch system was not asked in between
    )
    summary = found.summary("cpu")
    assert summary["queued_seconds"] == 7.0
    assert summary["nodes"] == ["c1", "c2"]
    assert summary["jobs"]["submitted"] == 3


def test_a_lost_job_may_exist_until_it_is_removed():
    found = tally((0, "submitted", "1", {}), (0, "submitted", "2", {}), (0, "submitted", "3", {}), (1, "lost", "1", {}),
                  (2, "ended", "2", {}))  # fmt: skip
    assert [job.job for job in found.open_jobs()] == ["1", "3"]
    assert found.left() == []
    assert found.summary("cpu")["jobs"] == {"submitted": 3, "refused": 0, "failed": 0, "lost": 1, "left": 0}


def test_a_job_is_left_until_it_is_removed():
    events = [(0, "submitted", "1", {}), (1, "left", "1", {})]
    found = tally(*events)
    assert [(job.job, job.pool) for job in found.left()] == [("1", "cpu")]
    assert found.summary("cpu")["jobs"]["left"] == 1
    assert tally(*events, (2, "removed", "1", {})).left() == []


def test_a_pool_without_jobs():
    assert tally().summary("gpu") == {
        "jobs": {"submitted": 0, "refused": 0, "failed": 0, "lost": 0, "left": 0},
        "queued_seconds": None,
        "nodes": [],
    }


def test_a_block_of_this_machine_is_not_a_job():
    found = JobTally()
    found(BlockChanged(pool="here", state="submitted", block=0, pid=99))
    found(BlockChanged(pool="here", state="lost", block=0, pid=99))
    assert found.open_jobs() == []
    assert found.summary("here")["jobs"] == {"submitted": 0, "refused": 0, "failed": 0, "lost": 0, "left": 0}
