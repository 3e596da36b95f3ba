"""The monitor on a batch system of small programs: real commands, a real policy, an interchange that records commands."""

from __future__ import annotations

import threading
import time

import pytest
from parsl.executors.high_throughput.errors import CommandClientTimeoutError

from fasthep_parsl.backends.parsl import block_monitor as watching
from fasthep_parsl.backends.parsl.batch_provider import BatchProvider
from fasthep_parsl.backends.parsl.block_monitor import BlockMonitor
from fasthep_parsl.blocks.node_checks import NodeCheckError, refuse_node
from fasthep_parsl.errors import PoolError
from fasthep_parsl.events import NodeRefused
from fasthep_parsl.plan import PlanBlock, PlanPool, PlanScaling

PROGRAMS = {
    # jobs are files that hold their state; `away` and `refuse` are switches
    "sbatch": """
        [ -e away ] && { echo "sbatch: error: Unable to contact slurm controller" >&2; exit 1; }
        [ -e refuse ] && { echo "sbatch: error: Invalid account" >&2; exit 1; }
        n=$(($(cat last 2>/dev/null || echo 0) + 1)); echo $n > last
        echo 'PENDING||None' > job.$n; echo $n""",
    "squeue": """
        [ -e away ] && { echo "slurm_load_jobs error: Unable to contact slurm controller" >&2; exit 1; }
        for n in $(echo "$*" | sed 's/.*--jobs=//; s/,/ /g'); do [ -e job.$n ] && echo "$n|$(cat job.$n)"; done; true""",
    "scancel": """
        [ -e away ] && { echo "scancel: error: Unable to contact slurm controller" >&2; exit 8; }
        for n in "$@"; do rm -f job.$n; done""",
}


class Interchange:
    """Takes the place of an executor: keeps the commands that it gets."""

    def __init__(self):
        self.commands = []
        self.command_client = self
        self.silent = False

    def run(self, message, timeout_s):
        if self.silent:
            raise CommandClientTimeoutError
        self.commands.append(message)


class Place:
    """A batch system of programs that share a folder, and a watch over a pool on it."""

    def __init__(self, folder, **scaling):
        self.folder = folder
        pool = PlanPool(
            name="cpu",
            workers=2,
            provider="slurm",
            blocks=2,
            block=PlanBlock(memory=10**9, walltime=3600, queue="cpu"),
            scaling=PlanScaling(**{"poll": 0.01, "idle": 0.0, "command_timeout": 5.0, **scaling}),
        )
        self.events = []
        self.blocks = BatchProvider(pool, folder, folder / "log", "job", threading.Event())
        self.blocks.log_dir.mkdir()
        self.interchange = Interchange()
        self.watch = BlockMonitor(self.interchange, self.blocks, self.events.append)
        self.watch.start(proven=False)

    def switch(self, name):
        (self.folder / name).touch()

    def jobs(self):
        return sorted(path.name for path in self.folder.glob("job.*"))

    def managers(self, *blocks, tasks=1, idle=0.0, draining=False):
        self.watch.update(
            [
                {"manager": f"m{n}", "block_id": str(n), "worker_count": 1, "tasks": tasks}
                | {"idle_duration": idle, "active": True, "draining": draining}
                for n in blocks
            ]
        )

    def events_of(self, state):
        return [event for event in self.events if getattr(event, "state", "") == state]


@pytest.fixture
def place(tmp_path, monkeypatch):
    for name, text in PROGRAMS.items():
        (tmp_path / name).write_text(f"#!/bin/sh\ncd {tmp_path}\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def made(**scaling):
        return Place(tmp_path, **scaling)

    return made


def test_blocks_come_with_tasks_and_go_when_the_run_ends(place):
    here = place()
    here.watch.act(0, 0)
    assert here.jobs() == []
    here.watch.act(2, 0)
    assert here.jobs() == ["job.1", "job.2"]
    assert [(event.block, event.job) for event in here.events_of("submitted")] == [(0, "1"), (1, "2")]
    assert not here.watch.connected
    here.managers(0)
    assert here.watch.connected
    here.watch.close()
    assert here.jobs() == []
    assert {event.job for event in here.events_of("removed")} == {"1", "2"}


def test_a_second_close_does_nothing(place):
    here = place()
    here.watch.act(2, 0)
    here.watch.close()
    before = list(here.events)
    here.watch.close()
    assert here.events == before


@pytest.mark.slow
def test_jobs_that_cannot_be_removed_are_named_and_not_waited_for_twice(place, monkeypatch):
    monkeypatch.setattr(watching, "LAST_CHANCE", 0.1)
    here = place()
    here.watch.act(2, 0)
    here.switch("away")
    here.watch.close()
    assert {event.job for event in here.events_of("left")} == {"1", "2"}
    monkeypatch.setattr(watching, "LAST_CHANCE", 60.0)
    began = time.monotonic()
    here.watch.close()
    assert time.monotonic() - began < 30


def test_a_block_without_work_is_held_before_it_is_removed(place):
    here = place()
    here.watch.act(2, 0)
    here.managers(0, 1, tasks=0, idle=1.0)
    here.watch.act(0, 0)
    assert here.interchange.commands == [["HOLD_MANAGER", "m0"], ["HOLD_MANAGER", "m1"]]
    assert here.jobs() == ["job.1", "job.2"]
    here.managers(0, 1, tasks=0, idle=2.0)
    here.watch.act(0, 0)
    assert here.jobs() == []
    assert {event.job for event in here.events_of("removed")} == {"1", "2"}


def test_an_interchange_that_does_not_answer_is_no_error_here(place):
    here = place()
    here.watch.act(2, 0)
    here.managers(0, 1, tasks=0, idle=1.0)
    here.interchange.silent = True
    here.watch.act(0, 0)
    assert here.jobs() == ["job.1", "job.2"]


def test_a_job_that_is_not_removed_is_tried_again(place, monkeypatch):
    monkeypatch.setattr(watching, "AGAIN", 0.0)
    here = place()
    here.watch.act(2, 0)
    here.managers(0, 1, tasks=0, idle=1.0)
    here.watch.act(0, 0)
    here.switch("away")
    here.managers(0, 1, tasks=0, idle=2.0)
    here.watch.act(0, 0)
    assert here.events_of("removed") == []
    (here.folder / "away").unlink()
    here.watch.act(0, 0)
    assert here.jobs() == []
    assert len(here.events_of("removed")) == 2


def test_a_held_job_is_removed_and_its_reason_reported(place):
    here = place()
    here.watch.act(2, 0)
    (here.folder / "job.1").write_text("PENDING||JobHeldUser")
    here.managers(1)
    here.watch._policy._questions.clear()
    here.watch.act(2, 0)
    assert here.events_of("failed")[0].message == "held: JobHeldUser"
    assert "job.1" not in here.jobs()


def test_a_pool_that_is_refused_ends_with_the_message_of_the_batch_system(place):
    here = place()
    here.switch("refuse")
    for _ in range(3):
        here.watch._policy.backoff.not_before = 0.0
        here.watch.act(2, 0)
    with pytest.raises(PoolError, match="pool `cpu`: its jobs are refused: sbatch: error: Invalid account"):
        here.watch.act(2, 0)
    assert len(here.events_of("refused")) == 3


def test_a_pool_that_worked_before_is_not_given_up_in_its_next_life(place):
    here = place()
    here.watch.start(proven=True)
    assert not here.watch.connected
    here.switch("refuse")
    for _ in range(5):
        here.watch._policy.backoff.not_before = 0.0
        here.watch.act(2, 0)
    assert len(here.events_of("refused")) == 5


def test_the_output_of_the_last_block_is_reported(place):
    here = place()
    for number in range(3):
        here.watch._policy.backoff.not_before = 0.0
        here.watch.act(1, 0)
        (here.folder / f"job.{number + 1}").write_text("FAILED|c7|NonZeroExitCode")
        (here.blocks.log_dir / f"block.{number}.err").write_text(f"setup.sh: no such file ({number})\n")
        here.watch._policy._questions.clear()
        if number < 2:
            here.watch.act(0, 0)
    with pytest.raises(PoolError) as failure:
        here.watch.act(1, 0)
    assert "its blocks fail before any worker connects" in str(failure.value)
    assert "(job 3 on c7): failed (NonZeroExitCode)\nsetup.sh: no such file (2)" in str(failure.value)
    assert here.watch._policy.avoid == ("c7",)


def test_a_job_that_is_not_listed_yet_is_waited_for(place):
    here = place()
    here.watch.act(1, 0)
    (here.folder / "job.1").unlink()
    for _ in range(3):
        here.watch._policy._questions.clear()
        here.watch.act(1, 0)
    assert here.events_of("failed") == []
    here.watch._policy.blocks[0].submitted -= 60
    (here.blocks.log_dir / "block.0.node").write_text("c3\nc4\n")
    here.watch._policy._questions.clear()
    here.watch.act(0, 0)
    assert here.events_of("failed")[0].node == "c3"


def test_managers_of_a_block_are_summed_up():
    def manager(name, block, tasks, idle, draining):
        return {"manager": name, "block_id": block, "worker_count": 1, "tasks": tasks} | {
            "idle_duration": idle, "active": True, "draining": draining}  # fmt: skip

    managers = watching._block_managers(
        [
            manager("a", "3", 2, 0.0, False),
            manager("b", "3", 0, 70.0, True),
            manager("c", "4", 0, 9.0, True),
            manager("d", "None", 1, 0.0, False),
        ]
    )
    assert set(managers) == {3, 4}
    assert (managers[3].names, managers[3].tasks, managers[3].idle, managers[3].draining) == (("a", "b"), 2, 0.0, False)
    assert (managers[4].idle, managers[4].draining) == (9.0, True)


def test_a_refused_node_of_a_block_whose_other_node_works_is_seen_and_avoided(place, monkeypatch):
    monkeypatch.setattr(watching, "LOOK_PERIOD", 0.0)
    here = place(failures_per_node=2)
    here.blocks.nodes_per_block = 2
    here.watch.act(2, 0)
    here.managers(0, 1)
    for block in (0, 1):
        monkeypatch.setenv("FASTHEP_PARSL_FOLDER", str(here.blocks.log_dir))
        monkeypatch.setenv("FASTHEP_PARSL_NODE", "c2")
        refuse_node([f"--block_id={block}"], NodeCheckError("`numpy` is 1.0"))
        for _ in range(3):
            here.watch.act(2, 0)
    found = [event for event in here.events if isinstance(event, NodeRefused)]
    assert [(event.block, event.node, event.message) for event in found] == [
        (0, "c2", "`numpy` is 1.0"),
        (1, "c2", "`numpy` is 1.0"),
    ]
    assert here.watch._policy.avoid == ("c2",)


def test_a_damaged_list_of_refused_nodes_stops_nobody(place, monkeypatch):
    monkeypatch.setattr(watching, "LOOK_PERIOD", 0.0)
    here = place()
    here.blocks.nodes_per_block = 2
    here.watch.act(2, 0)
    here.managers(0)
    (here.blocks.log_dir / "block.0.refused").write_text("half a li")
    here.watch.act(2, 0)
    assert [event for event in here.events if isinstance(event, NodeRefused)] == []
