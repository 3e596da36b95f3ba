"""Two drivers on one run directory: the second is refused, a dead one does not stand in the way, a replaced one stops."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from fasthep_parsl.driver.lock import CHECK

TOTAL = 200 * 199 // 2
SLEEP = ("Sleep", "fault.sleep", {"seconds": 0.03})


def locks(run):
    return sorted(run.run_dir.glob("driver.lock.*"))


def total(run):
    return json.loads((run.run_dir / "results" / "Sum" / "sum.json").read_text())


@pytest.mark.parametrize("options", [(), ("--resume",), ("--force",)], ids=["new", "resume", "force"])
def test_the_second_is_refused_and_the_first_is_right(driver, write_flow, tmp_path, options):
    flow = write_flow(tmp_path, SLEEP)
    first = driver(flow)
    first.wait_for_finished(2)
    first.signal(signal.SIGSTOP)  # else it may have ended before the second looks
    code, output, _ = driver(flow, *options).end()
    first.signal(signal.SIGCONT)
    assert code == 2
    said = " ".join(output.split())
    assert "is in use by `fasthep-parsl run`" in said
    assert f"process {first.process.pid}" in said
    assert f"`kill -CONT {first.process.pid}` continues it" in said
    code, output, _ = first.end()
    assert code == 0, output
    assert total(first) == TOTAL
    assert len(first.events("run")) == 1
    assert locks(first) == []


def test_a_killed_driver_is_replaced_at_once(driver, write_flow, tmp_path):
    flow = write_flow(tmp_path, SLEEP)
    first = driver(flow)
    first.wait_for_finished(2)
    first.signal(signal.SIGKILL)
    first.end()
    assert len(locks(first)) == 1
    again = driver(flow, "--resume")
    code, output, _ = again.end()
    assert code == 0, output
    assert total(again) == TOTAL
    assert locks(again) == []


def test_a_driver_that_was_replaced_writes_nothing_more(driver, write_flow, tmp_path):
    """It was stopped for long, and a driver on another machine has taken its place."""
    first = driver(write_flow(tmp_path, SLEEP))
    first.wait_for_finished(2)
    first.signal(signal.SIGSTOP)
    os.waitid(os.P_PID, first.process.pid, os.WSTOPPED | os.WNOWAIT)
    (lock,) = locks(first)
    content = json.loads(lock.read_text())
    content["driver"]["host"], content["token"] = "another.example.org", "other"
    (first.run_dir / "driver.lock.2").write_text(json.dumps(content))
    lock.unlink()
    before = (first.run_dir / "events.jsonl").read_bytes()
    time.sleep(CHECK)  # much less than it takes to be taken for dead
    first.signal(signal.SIGCONT)
    code, output, _ = first.end()
    assert code == 1
    assert "was taken over by" in output
    assert "another.example.org" in output
    assert "Traceback" not in output
    after = (first.run_dir / "events.jsonl").read_bytes()
    assert after.startswith(before)
    assert after[len(before) :].count(b"\n") <= 1  # what it was about to write when it was stopped
    assert not (first.run_dir / "run.json").exists()
    assert [path.name for path in locks(first)] == ["driver.lock.2"]
    first.assert_nothing_left()


def test_a_folder_that_cannot_be_written(driver, write_flow, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    flow = write_flow(tmp_path, SLEEP)
    (tmp_path / "run").mkdir(mode=0o555)
    code, output, _ = driver(flow).end()
    assert code == 2
    assert "cannot be written" in output
