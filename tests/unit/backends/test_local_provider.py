"""Blocks of this machine: their states are those of their processes, and none of these is left when a block has ended."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest

from fasthep_parsl.backends.parsl import local_provider
from fasthep_parsl.backends.parsl.local_provider import LocalProvider
from fasthep_parsl.plan import PlanPool


@pytest.fixture
def provider(tmp_path, monkeypatch):
    """Return what makes a provider whose blocks run a shell command."""
    made = []

    def make(command):
        monkeypatch.setattr(local_provider, "worker_command", lambda pool, link: ["/bin/bash", "-c", command, "bash"])
        made.append(LocalProvider(PlanPool(name="here", workers=1), tmp_path, {}))
        made[-1].prepare(None)
        return made[-1]

    yield make
    for one in made:
        one.close()
        one.remove(list(one.jobs_by_block.values()))


def wait_for_end(provider, job):
    until = time.monotonic() + 20
    while (found := provider.query([job])[job]).state != "ended":
        assert found.state == "running"
        assert time.monotonic() < until
        time.sleep(0.02)
    return found.reason


def test_a_block_ends_with_the_exit_code_and_the_last_lines_of_its_command(provider):
    here = provider("echo no such module >&2; exit 3")
    outcome = here.submit_block(4)
    assert here.jobs_by_block == {4: outcome.job}
    assert wait_for_end(here, outcome.job) == "exit code 3"
    assert here.errors_of(4) == here.errors() == "no such module"


def test_a_block_whose_first_process_is_killed_has_ended_when_all_its_processes_have(provider, tmp_path):
    here = provider(f"sleep 600 & echo $! > {tmp_path}/child; wait")
    job = here.submit_block(0).job
    until = time.monotonic() + 20
    while not (tmp_path / "child").exists() or not (tmp_path / "child").read_text():
        assert time.monotonic() < until
        time.sleep(0.02)
    child = int((tmp_path / "child").read_text())
    assert here.query([job])[job].state == "running"
    os.kill(int(job), signal.SIGKILL)
    assert wait_for_end(here, job) == "killed by SIGKILL"
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_a_block_that_is_removed_has_ended(provider):
    here = provider("sleep 600")
    job = here.submit_block(0).job
    assert here.remove([job]).ok
    assert here.query([job])[job].state == "ended"


def test_what_cannot_be_started_is_refused_with_the_reason(provider, tmp_path):
    here = provider("sleep 600")
    here.log_dir = tmp_path / "file" / "log"
    (tmp_path / "file").touch()
    outcome = here.submit_block(0)
    assert (outcome.job, outcome.transient) == ("", False)
    assert "Not a directory" in outcome.message
    assert here.jobs_by_block == {}


def test_nothing_starts_once_it_is_closed(provider):
    here = provider("sleep 600")
    here.close()
    assert here.submit_block(0).job == ""
    assert here.jobs_by_block == {}
