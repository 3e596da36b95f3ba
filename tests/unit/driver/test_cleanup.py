"""`cleanup`: when it may remove jobs, and its messages if the batch system does not answer."""

from __future__ import annotations

import json
import socket
from dataclasses import asdict, replace

import pytest

from fasthep_parsl.driver.cleanup import clean_up
from fasthep_parsl.driver.driver_process import DriverProcess, is_alive, this_driver
from fasthep_parsl.errors import ConfigError
from fasthep_parsl.plan import PlanBlock, PlanPool

BLOCK = PlanBlock(memory=10**9, walltime=600.0, queue="cpu")


@pytest.fixture
def run_dir(make_plan, tmp_path, monkeypatch):
    """Return what writes a run on Slurm with a driver and events; there is no Slurm here."""
    monkeypatch.setenv("PATH", str(tmp_path))
    pool = PlanPool(name="cpu", workers=1, provider="slurm", block=BLOCK)
    plan = make_plan([(["A"], "cpu", {})], 2).model_copy(update={"pools": (pool,)})

    def write(driver, *events):
        (tmp_path / "plan.json").write_text(plan.model_dump_json())
        lines = [{"kind": "run", "state": "started", "plan": "", "session": "", "ticks": 0, **driver}, *events]
        text = "".join(json.dumps({"time": "2026-01-01T00:00:00.000Z", **line}) + "\n" for line in lines)
        (tmp_path / "events.jsonl").write_text(text)
        return tmp_path

    return write


def block(state, job="7"):
    return {"kind": "block", "pool": "cpu", "state": state, "block": 0, "job": job}


DEAD = {"host": socket.gethostname(), "pid": 2**22 + 1, "since": 0.0}
ELSEWHERE = {"host": "another.example.org", "pid": 1, "since": 0.0}


def test_a_run_that_goes_on_is_not_touched(run_dir):
    path = run_dir(asdict(this_driver()), block("submitted"))
    with pytest.raises(ConfigError, match="still runs"):
        clean_up(path)
    with pytest.raises(ConfigError, match="still runs"):
        clean_up(path, force=True)


def test_a_run_on_another_machine_is_touched_only_on_demand(run_dir):
    path = run_dir(ELSEWHERE, block("submitted"), block("removed"))
    with pytest.raises(ConfigError, match=r"started on another\.example\.org"):
        clean_up(path)
    assert clean_up(path, force=True) == []


def test_a_run_that_has_ended_has_no_driver(run_dir):
    ended = {"kind": "ended", "status": "complete", "exit_code": 0}
    assert clean_up(run_dir(asdict(this_driver()), block("submitted"), block("removed"), ended)) == []


def test_a_batch_system_that_does_not_answer_leaves_the_jobs(run_dir):
    path = run_dir(DEAD, block("submitted", "7"), block("submitted", "8"), block("ended", "8"))
    (result,) = clean_up(path)
    assert (result.job.job, result.state) == ("7", "left")
    assert "squeue: No such file or directory" in result.message
    last = json.loads((path / "events.jsonl").read_text().splitlines()[-1])
    assert (last["kind"], last["state"], last["job"]) == ("block", "left", "7")


def test_a_folder_without_a_run(tmp_path):
    with pytest.raises(ConfigError, match="is not a run directory"):
        clean_up(tmp_path)


def test_a_later_process_with_the_same_number_is_not_the_driver():
    me = this_driver()
    assert is_alive(me) is True
    assert is_alive(replace(me, ticks=me.ticks - 1)) is False
    assert is_alive(replace(me, ticks=0, since=me.since - 60)) is False  # where the kernel counts no ticks
    assert is_alive(DriverProcess(**DEAD)) is False
    assert is_alive(DriverProcess(**ELSEWHERE)) is None
