"""Blocks of this machine: their states are those of their processes, and none of these is left when a block has ended."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest

from fasthep_parsl.backends.parsl import local_provider
from fasthep_parsl.backends.parsl.local_provider import LocalProvider
from fasthep_parsl.environments.base import EnvironmentModel
from fasthep_parsl.interfaces import PREFIX
from fasthep_parsl.plan import PlanPool


@pytest.fixture
def provider(tmp_path, monkeypatch):
    """Return what makes a provider whose blocks run a shell command."""
    made = []

    def make(command, **pool):
        monkeypatch.setattr(local_provider, "worker_command", lambda pool, link: ["/bin/bash", "-c", command, "bash"])
        made.append(LocalProvider(PlanPool(name="here", workers=1, **pool), tmp_path, {}))
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


def view(folder):
    """Write what looks like a view of CVMFS: harmless failures, an alias, and variables."""
    path = folder / "view" / "setup.sh"
    path.parent.mkdir()
    path.write_text(
        "false\nls /nowhere 2>/dev/null\nexport VIEW=LCG_107 PYTHONPATH=/view\nalias cmsenv='export RELEASE=14'\n"
    )
    return path


def test_shell_lines_of_an_environment_reach_a_local_block(provider, tmp_path):
    lines = EnvironmentModel(setup=[f"source {view(tmp_path)}", "cmsenv"]).setup_lines
    here = provider("echo $VIEW $RELEASE $PYTHONPATH >&2", worker_init=(*lines, 'export VIEW="$VIEW, site"'))
    assert wait_for_end(here, here.submit_block(0).job) == "exit code 0"
    assert here.errors() == "LCG_107, site 14 /view"


@pytest.mark.parametrize(
    ("line", "code"),
    [("false", 1), ("source /nowhere/setup.sh", 1), ("exit 0", 1), ("no_such_command", 127), ("bash -c 'exit 9'", 9)],
)
def test_a_line_that_fails_ends_a_local_block_with_its_text(provider, line, code):
    here = provider("echo started >&2", worker_init=("export A=1", line, "export B=2"))
    assert wait_for_end(here, here.submit_block(3).job) == f"exit code {code}"
    assert (
        here.errors().splitlines()[-1]
        == f"fasthep-parsl: block 3: worker_init ended with code {int(line != 'exit 0') and code} at: {line}"
    )
    assert "started" not in here.errors()


def test_the_python_of_a_local_block_may_be_in_a_folder_that_the_setup_chooses(provider, monkeypatch):
    def start(*lines):
        here = provider("", worker_init=lines)
        monkeypatch.setattr(here, "_command", [f"{PREFIX}/bin/bash", "-c", "echo here >&2"])
        return wait_for_end(here, here.submit_block(0).job), here.errors()

    assert start("export FASTHEP_PARSL_PREFIX=/usr") == ("exit code 0", "here")
    reason, errors = start("export OTHER=/usr")
    assert reason != "exit code 0"
    assert "FASTHEP_PARSL_PREFIX: was not set by the environment" in errors
