"""Workers, their manager and the interchange die in the middle of a run: it goes on, and names what it had to leave out."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

import fasthep_parsl

TOTAL = 200 * 199 // 2
LOST = sum(range(50, 75))
"""Sum of x over the partition that holds event 60."""


@pytest.fixture
def run(write_flow, tmp_path, records):
    """Run stages and ``Sum``; nothing may be left when it returns."""

    def start(*stages, observer=None, **pools):
        flow = write_flow(tmp_path / "flow", *stages, **pools)
        outcome = fasthep_parsl.run(
            flow, outdir=tmp_path / "run", chunk_size=25, plots=False, observer=observer, check=False
        )
        records(tmp_path / "run").assert_nothing_left()
        return outcome

    return start


def strike(how, once=""):
    return ("Strike", "fault.strike", {"at": 60, "how": how, "once": str(once)})


@pytest.mark.parametrize("how", ["kill", "exit", "manager", "block"])
def test_what_dies_once_costs_no_event(run, tmp_path, how):
    outcome = run(strike(how, tmp_path / "once"))
    assert outcome.status == "complete"
    assert outcome.products["Sum", "sum"] == TOTAL
    assert outcome.summary["tasks"]["lost"] >= 1


def test_a_partition_that_always_kills_its_worker_is_named(run):
    outcome = run(strike("kill"))
    assert (outcome.status, outcome.exit_code) == ("partial", 3)
    assert outcome.products["Sum", "sum"] == TOTAL - LOST
    (failure,) = outcome.summary["failures"]
    assert (failure["kind"], failure["partition"]) == ("infrastructure", 2)
    assert (failure["entry_start"], failure["entry_stop"]) == (50, 75)
    assert "pool `default`" in failure["message"]
    assert "died" in failure["message"]


@pytest.mark.parametrize(("how", "said"), [("crash", "Segmentation fault while stage `Strike` ran"), ("kill", "while")])
def test_a_crash_is_the_fault_of_the_stage_that_ran(run, how, said):
    outcome = run(strike(how))
    (failure,) = outcome.summary["failures"]
    assert (failure["stage"], failure["partition"]) == ("Strike", 2)
    assert said in failure["message"]
    lines = (Path(__file__).parent / "fault_ops.py").read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if "string_at" in text)
    assert failure["where"] == (f"fault_ops.py:{line}" if how == "crash" else "")
    assert not (outcome.run_dir / "work" / "now").exists()


def test_who_is_killed_beside_it_is_not_blamed(run):
    outcome = run(
        ("Sleep", "fault.sleep", {"seconds": 0.3}), strike("crew"), ("After", "fault.sleep", {"seconds": 0.3})
    )
    assert (outcome.status, outcome.exit_code) == ("partial", 3)
    assert [failure["partition"] for failure in outcome.summary["failures"]] == [2]
    assert outcome.products["Sum", "sum"] == TOTAL - LOST


@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        ("memory", "infrastructure", "MemoryError: no more"),
        ("sys.exit", "user", "SystemExit: goodbye"),
        ("awkward", "user", "Awkward: awkward 1"),
    ],
)
def test_an_op_that_raises_whatever_it_is_costs_its_partition(run, how, kind, message):
    outcome = run(strike(how), ("Flood", "fault.flood", {"megabytes": 2}))
    assert (outcome.status, outcome.exit_code) == ("partial", 3)
    assert outcome.products["Sum", "sum"] == TOTAL - LOST
    assert [(f["partition"], f["kind"], f["message"], f["stage"]) for f in outcome.summary["failures"]] == [
        (2, kind, message, "Strike")
    ]


class Killer:
    """Kills something of a run, once workers are up."""

    def __init__(self, find, sign=signal.SIGKILL):
        self.find = find
        self.sign = sign
        self.killed = []
        self._event = None

    def __call__(self, event):
        if event.kind == "pool" and event.state == "starting" and self._event is None:
            self._event = event
        if event.kind == "pool" and event.state == "up" and not self.killed:
            self.killed = self.find(self._event)
            threading.Timer(0.3, self._kill).start()

    def _kill(self):
        for pid in self.killed:
            os.kill(pid, self.sign)


SLEEP = ("Sleep", "fault.sleep", {"seconds": 0.3})


def test_a_dead_interchange_is_replaced(run):
    killer = Killer(lambda event: [event.interchange])
    began = time.monotonic()
    outcome = run(SLEEP, observer=killer)
    assert killer.killed
    assert outcome.status == "complete"
    assert outcome.products["Sum", "sum"] == TOTAL
    assert time.monotonic() - began < 100


def test_an_interchange_that_dies_while_it_starts_is_replaced(run):
    killed = []

    def kill_first(event):
        if event.kind == "pool" and event.state == "warming" and not killed:
            threading.Thread(target=watch).start()

    def watch():
        import psutil

        me = psutil.Process()
        while not killed:
            for child in me.children():
                try:
                    if any("backends.parsl.interchange" in part for part in child.cmdline()):
                        child.kill()
                        killed.append(child.pid)
                except psutil.NoSuchProcess:
                    continue
            time.sleep(0.02)

    began = time.monotonic()
    outcome = run(observer=kill_first)
    assert killed
    assert outcome.status == "complete"
    assert outcome.products["Sum", "sum"] == TOTAL
    assert time.monotonic() - began < 100


@pytest.mark.parametrize("who", ["workers", "helpers"])
def test_a_block_that_loses_processes_while_it_waits_goes_on(run, who):
    """The worker that waits for a task must not hold what the others need; without its helpers a block cannot go on."""
    import psutil

    def find(event):
        (leader,) = event.jobs
        found = sorted(pid for pid in psutil.pids() if pid != leader and _session(pid) == leader)
        return found[-2:] if who == "workers" else found[:-2]  # workers are forked last

    killer = Killer(find)
    outcome = run(SLEEP, observer=killer)
    assert killer.killed
    assert outcome.status == "complete"
    assert outcome.products["Sum", "sum"] == TOTAL


def _session(pid):
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return -1


@pytest.mark.parametrize(
    ("init", "expected"),
    [
        (["echo no such module >&2", "exit 3"], ["exit code 3", "no such module"]),
        (["export PYTHONPATH=$PWD/poison"], ["ImportError: poisoned"]),
    ],
)
def test_a_broken_environment_is_reported_at_once(write_flow, tmp_path, monkeypatch, records, init, expected):
    poison = tmp_path / "poison" / "zmq"
    poison.mkdir(parents=True)
    (poison / "__init__.py").write_text("raise ImportError('poisoned')\n")
    monkeypatch.chdir(tmp_path)
    plan = fasthep_parsl.compile_plan(write_flow(tmp_path / "flow"), chunk_size=25)
    pools = tuple(pool.model_copy(update={"worker_init": tuple(init)}) for pool in plan.pools)
    began = time.monotonic()
    outcome = fasthep_parsl.run(
        plan.model_copy(update={"pools": pools}), outdir=tmp_path / "run", plots=False, check=False
    )
    assert time.monotonic() - began < 100  # it could wait for 120 s
    assert (outcome.status, outcome.exit_code) == ("failed", 1)
    said = "\n".join([outcome.error, *outcome.summary["blocked"].values()])
    assert "pool `default`: its blocks fail before any worker connects" in said
    for words in expected:
        assert words in said
    records(tmp_path / "run").assert_nothing_left()
