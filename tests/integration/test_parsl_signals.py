"""Ctrl-C, SIGTERM and SIGKILL of the driver at any time: nothing keeps running, and `--resume` finishes the work."""

from __future__ import annotations

import json
import signal
import time

import pytest

TOTAL = 200 * 199 // 2
SLEEP = ("Sleep", "fault.sleep", {"seconds": 0.03})  # a partition is an event, the first bundles are 25


def assert_resumes(driver, flow, *, before):
    """Finish the run of `flow`; what was done before is not done again."""
    again = driver(flow, "--resume")
    code, output, _ = again.end()
    assert code == 0, output
    assert again.summary()["status"] == "complete"
    assert again.summary()["partitions"]["done"] == 200
    spans = [span for event in again.events("finished") if event["what"] == "map" for span in event["done"]]
    assert sorted(p for first, last in spans for p in range(first, last)) == list(range(200)), before
    again.assert_nothing_left()


def assert_interrupted(run, *, within=40.0):
    """Wait for the end: without its deadlines a run would hang for ever, and a loaded machine is slow."""
    code, output, seconds = run.end(within + 5)
    assert code == 130, output
    assert seconds < within
    run.assert_nothing_left()
    summary = run.summary()
    assert (summary["status"], summary["exit_code"]) == ("interrupted", 130)
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("sign", "group"),
    [(signal.SIGINT, True), (signal.SIGINT, False), (signal.SIGTERM, False)],
    ids=["Ctrl-C", "SIGINT", "SIGTERM"],
)
def test_interrupted_in_the_middle(driver, write_flow, tmp_path, sign, group):
    flow = write_flow(tmp_path, SLEEP)
    run = driver(flow)
    run.wait_for_finished(2)
    run.signal(sign, group=group)
    assert_interrupted(run)
    done = run.summary()["partitions"]["done"]
    assert 25 <= done < 200
    assert_resumes(driver, flow, before=done)


@pytest.mark.parametrize("state", ["warming", "starting"])
def test_interrupted_while_it_starts(driver, write_flow, tmp_path, state):
    run = driver(write_flow(tmp_path, SLEEP))
    run.wait_for_state(state)
    run.signal(signal.SIGINT, group=True)
    assert_interrupted(run)


def test_a_second_interrupt_while_it_ends_leaves_nothing(driver, write_flow, tmp_path):
    run = driver(write_flow(tmp_path, SLEEP))
    run.wait_for_finished()
    for _ in range(5):
        run.signal(signal.SIGINT, group=True)
        time.sleep(0.05)
    assert_interrupted(run)


def test_a_killed_driver_leaves_nothing(driver, write_flow, tmp_path):
    flow = write_flow(tmp_path, SLEEP)
    run = driver(flow)
    run.wait_for_finished(2)
    assert len(run.alive()) > 3
    run.signal(signal.SIGKILL)
    run.assert_nothing_left()  # while the dead driver is a zombie: nobody has waited for it
    run.end()
    assert_resumes(driver, flow, before="killed")


@pytest.mark.parametrize("state", ["warming", "starting"])
def test_a_driver_that_is_killed_while_it_starts_leaves_nothing(driver, write_flow, tmp_path, state):
    run = driver(write_flow(tmp_path, SLEEP))
    run.wait_for_state(state)
    run.signal(signal.SIGKILL)
    run.assert_nothing_left()


def test_interrupted_while_results_are_written(write_flow, tmp_path, driver):
    """Ctrl-C between the last task and the last file: what is missing is written by `--resume`."""
    flow = write_flow(tmp_path, ("Sleep", "fault.sleep", {"seconds": 0.001}))
    run = driver(flow)
    run.wait_until(lambda: sum(len(range(*span)) for e in run.events("finished") for span in e["done"]) >= 200)
    run.signal(signal.SIGINT, group=True)
    code, output, _ = run.end()
    assert code in (0, 130), output
    assert json.loads((run.run_dir / "run.json").read_text())["exit_code"] == code
    run.assert_nothing_left()
    again = driver(flow, "--resume")
    assert again.end()[0] == 0


HASTY = """\
import sys
from parsl.executors.high_throughput.zmq_pipes import CommandClient

ask = CommandClient.run
CommandClient.run = lambda self, message, max_retries=3, timeout_s=None: ask(self, message, max_retries, 8)

from fasthep_parsl.cli.main import main

main()
"""
"""The command line with eight seconds of patience for an interchange, not Parsl's two minutes."""


@pytest.mark.parametrize("moment", ["interchange", "starting", "finished"])
def test_stopped_and_continued(driver, write_flow, tmp_path, moment):
    """Ctrl-Z, and `fg` when all that waits has lost its patience: the run goes on as if nothing had been."""
    (tmp_path / "hasty.py").write_text(HASTY)
    run = driver(write_flow(tmp_path / "flow", SLEEP), program=[str(tmp_path / "hasty.py")])
    if moment == "finished":
        run.wait_for_finished(1)
    elif moment == "interchange":
        run.wait_until(lambda: any("interchange" in part for child in run.children() for part in child.cmdline()))
    else:
        run.wait_for_state(moment)
    run.signal(signal.SIGSTOP, group=True)
    time.sleep(10)
    run.signal(signal.SIGCONT, group=True)
    code, output, _ = run.end()
    assert code == 0, output
    assert "Traceback" not in output
    assert run.summary()["status"] == "complete"
    assert json.loads((run.run_dir / "results" / "Sum" / "sum.json").read_text()) == TOTAL
    run.assert_nothing_left()
