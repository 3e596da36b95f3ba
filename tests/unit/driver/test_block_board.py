"""What a user reads of the jobs of a run."""

from __future__ import annotations

import pytest

from fasthep_parsl.driver.block_board import BlockBoard
from fasthep_parsl.events import BlockChanged
from fasthep_parsl.plan import Plan, PlanBlock, PlanPool, PlanSource
from sample_events import block


@pytest.fixture
def board():
    jobs = PlanBlock(memory=10**9, walltime=600.0, queue="highmem")
    pools = (PlanPool(name="big", workers=4, blocks=4, provider="slurm", block=jobs), PlanPool(name="here", workers=1))
    return BlockBoard(Plan(name="w", chunk_size=1, source=PlanSource(), stages=(), segments=(), pools=pools))


def feed(board, *events):
    return [line for state, job, facts in events if (line := board.add(block(state, job, pool="big", **facts)))]


def test_what_jobs_wait_for(board):
    feed(board, ("submitted", "1", {}))
    assert board.pools() == {"big": "pool big: 1 job waits in queue highmem, 0 up"}
    feed(board, ("waiting", "1", {"message": "Resources"}), ("submitted", "2", {}), ("submitted", "3", {}))
    feed(board, ("running", "3", {}))
    assert board.pools() == {"big": "pool big: 2 jobs wait in queue highmem (Resources), 1 job starting, 0 up"}
    feed(board, ("up", "1", {}), ("up", "2", {}), ("up", "3", {}))
    assert board.pools() == {}
    feed(board, ("lost", "1", {}), ("submitted", "4", {}))
    assert board.pools() == {"big": "pool big: 1 job waits in queue highmem, 2 up"}


def test_a_problem_is_reported_once_then_counted(board):
    bad = ("refused", "", {"message": "sbatch: error: no\nsuch queue"})
    assert feed(board, bad) == ["pool big: a job was refused: sbatch: error: no such queue"]
    assert feed(board, bad, bad) == []
    assert board.repeated() == ["pool big: 3 jobs were refused so far: sbatch: error: no such queue"]
    assert board.repeated() == []


def test_messages_of_problems(board):
    where = {"node": "c1", "message": "held: no space"}
    assert feed(board, ("failed", "1", where)) == ["pool big: job 1 on c1 has failed: held: no space"]
    assert feed(board, ("lost", "2", {"message": ""})) == ["pool big: job 2 was lost, its tasks run again"]
    left = ("left", "3", {"message": "could not be removed"})
    assert feed(board, left) == ["pool big: job 3 is left in the queue: could not be removed"]


def test_no_message_without_a_problem(board):
    steps = ("submitted", "running", "up", "draining", "retiring", "ended", "removed")
    assert feed(board, *((state, "1", {"message": "nothing left to do"}) for state in steps)) == []
    assert board.pools() == {}


def test_a_lost_block_of_this_machine_is_told(board):
    lost = BlockChanged(pool="here", state="lost", block=2, pid=99, message="killed by SIGKILL")
    assert board.add(lost) == "pool here: block 2 was lost: killed by SIGKILL, its tasks run again"
    assert board.add(lost) == ""
    assert board.repeated() == ["pool here: 2 blocks were lost so far: killed by SIGKILL"]
    assert board.pools() == {}
