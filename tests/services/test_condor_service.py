"""The HTCondor pool of the tests behaves as the tests assume."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from services.condor import CondorPool
from services.condor_records import CondorUnavailableError, dry_run, prefix
from services.fixtures_condor import unavailable, used

pytestmark = pytest.mark.condor

SCRIPT = """\
executable = /bin/sh
transfer_executable = false
arguments = "{arguments}"
output = $(Cluster).out
error = $(Cluster).err
log = $(Cluster).log
{more}
queue
"""


def shell(command: str, *more: str) -> str:
    """Return the submit file of a shell command without single quotes."""
    quoted = f"-c '{command}'"
    return SCRIPT.format(arguments=quoted.replace('"', '""'), more="\n".join(more))


def until(question, timeout: float = 20.0):
    deadline = time.monotonic() + timeout
    while not question():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    # one that ended, but whose new parent did not ask for it, is no process any more
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def call(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


def test_records_name_the_node_and_the_end(condor, tmp_path):
    before = time.monotonic()
    number = condor.submit(shell("echo hello; exit 3"), tmp_path)
    job = condor.wait(number, "completed")
    assert time.monotonic() - before < 10
    assert (job.exit_code, job.starts) == (3, 1)
    assert job.node in {"cpu1", "cpu2"}
    assert (tmp_path / f"{number}.out").read_text() == "hello\n"
    assert number in {job.cluster for job in condor.history()}
    assert number not in {job.cluster for job in condor.jobs()}
    with pytest.raises(LookupError, match=r"no job 999999\.0"):
        condor.job(999999)


def test_gpus_are_on_one_node_and_are_assigned(condor, tmp_path):
    one = shell("echo $CUDA_VISIBLE_DEVICES,$_CONDOR_AssignedGPUs; sleep 60", "request_gpus = 1")
    numbers = [condor.submit(one, tmp_path) for _ in range(3)]
    running = [condor.wait(number, "running") for number in numbers[:2]]
    assert {job.node for job in running} == {"gpu1"}
    outputs = [tmp_path / f"{number}.out" for number in numbers[:2]]
    until(lambda: all(output.exists() and output.read_text() for output in outputs))
    shown = [output.read_text().strip().split(",") for output in outputs]
    assert [seen[0] for seen in shown] == [seen[1] for seen in shown]
    assert len({seen[0] for seen in shown}) == 2
    assert condor.job(numbers[2]).status == "idle"  # there are two
    for number in numbers:
        condor.remove(number)


def test_memory_leads_to_the_large_node(condor, tmp_path):
    large = condor.submit(shell("exit 0", "request_memory = 40GB"), tmp_path)
    too_large = condor.submit(shell("exit 0", "request_memory = 300GB"), tmp_path)
    assert condor.wait(large, "completed").node == "himem1"
    assert condor.job(too_large).status == "idle"
    condor.remove(too_large)


def test_hold_and_remove_leave_their_reasons(condor, tmp_path):
    number = condor.submit(shell("sleep 60"), tmp_path)
    condor.wait(number, "running")
    condor.hold(number)
    assert "hold" in condor.wait(number, "held").hold_reason
    condor.release(number)
    assert condor.wait(number, "running").node
    condor.remove(number)
    assert "condor_rm" in condor.wait(number, "removed").remove_reason


@pytest.mark.parametrize("fast", [False, True])
def test_a_vacated_job_starts_again(condor, tmp_path, fast):
    number = condor.submit(shell("date +%s%N >>starts; sleep 60", "initialdir = ."), tmp_path)
    condor.wait(number, "running")
    until((tmp_path / "starts").exists)
    condor.vacate(number, fast=fast)
    until(lambda: len((tmp_path / "starts").read_text().splitlines()) == 2)
    assert condor.wait(number, "running").ad["NumShadowStarts"] == 2
    condor.remove(number)


def test_a_node_crashes_and_comes_back(condor, tmp_path):
    number = condor.submit(shell("echo $$ >pid; sleep 60"), tmp_path)
    node = condor.wait(number, "running").node
    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    pid = int((tmp_path / "pid").read_text())
    assert alive(pid)
    condor.crash_node(node)
    assert not alive(pid)
    time.sleep(1)
    assert condor.job(number).status == "running"  # nobody told HTCondor; it waits for the end of the lease
    condor.remove(number)
    condor.revive(node)
    there = condor.submit(shell("exit 0", f'requirements = Machine == "{node}.pool"'), tmp_path)
    assert condor.wait(there, "completed").node == node


def test_a_job_outlives_the_queue(condor, tmp_path):
    number = condor.submit(shell("echo $$ >>pid; while [ ! -e go ]; do sleep 0.1; done"), tmp_path)
    condor.wait(number, "running")
    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    pid = int((tmp_path / "pid").read_text())
    condor.restart_schedd()
    assert alive(pid)
    condor.kill_schedd()
    assert call("condor_q").returncode != 0
    assert alive(pid)
    condor.restart_schedd()
    assert condor.job(number).status == "running"
    (tmp_path / "go").touch()
    assert condor.wait(number, "completed").exit_code == 0
    assert int((tmp_path / "pid").read_text()) == pid  # it started once


def test_commands_are_counted(condor):
    assert call("condor_q", "-totals").returncode == 0
    assert call("condor_q", "-nobatch").returncode == 0
    condor.jobs()  # what we ask ourselves does not count
    assert condor.commands.counts() == {"condor_q": 2}
    first, second = condor.commands.calls()
    assert (first.arguments, second.arguments) == ("-totals", "-nobatch")
    assert first.time <= second.time


def test_commands_fail_and_hang_on_demand(condor, tmp_path):
    condor.break_command("condor_submit", code=7, stderr="it's full")
    done = call("condor_submit", "any")
    assert (done.returncode, done.stderr) == (7, "it's full\n")
    condor.hang_command("condor_q", 1.0)
    before = time.monotonic()
    assert call("condor_q").returncode == 0
    assert time.monotonic() - before > 1.0
    condor.repair()
    number = condor.submit(shell("exit 0"), tmp_path)
    assert condor.wait(number, "completed").exit_code == 0
    with pytest.raises(ValueError, match="condor_cue is not a command"):
        condor.break_command("condor_cue")


def test_a_job_left_behind_fails_the_test_that_left_it(condor_pool, tmp_path):
    path = os.environ["PATH"]

    def leave():
        with used(condor_pool):
            assert os.environ["PATH"] != path
            condor_pool.submit(shell("sleep 60"), tmp_path)
            kept = condor_pool.submit(shell("exit 0", "leave_in_queue = true"), tmp_path)
            condor_pool.wait(kept, "completed")

    with pytest.raises(pytest.fail.Exception, match=r"left in the queue:\nJob\(.*\)$"):
        leave()
    assert os.environ["PATH"] == path
    assert condor_pool.jobs() == []


def test_hidden_folders_are_empty_for_jobs(make_condor_pool, tmp_path):
    secret = tmp_path / "submit side"
    secret.mkdir()
    (secret / "data").write_text("here")
    # the pool itself, and with it the scratch folders, lies below a hidden folder, too
    pool = make_condor_pool(nodes=CondorPool(tmp_path).nodes[:1], hide=[secret, tmp_path.parent.parent])
    with used(pool):
        command = f'cat "{secret}/data"; id -u; pwd; cat sent; echo made >made'
        number = pool.submit(
            shell(command, "should_transfer_files = yes", f'transfer_input_files = "{secret}/sent"'.replace('"', "")),
            secret_with(secret, "sent"),
        )
        job = pool.wait(number, "completed", "held")
        assert job.status == "completed", job.hold_reason
        out, err = ((secret / f"{number}.{end}").read_text() for end in ("out", "err"))
        assert "No such file" in err
        uid, folder, sent = out.split("\n", 2)
        assert folder.startswith(str(pool.home / "cpu1" / "execute"))
        assert sent == "sent"
        assert uid != "0"  # root sees through much, and hides nothing from itself
        assert (secret / "made").read_text() == "made\n"  # what a job makes in its scratch folder comes back


def secret_with(folder: Path, name: str) -> Path:
    (folder / name).write_text(name)
    return folder


def test_nothing_is_left_after_a_stop(make_condor_pool, tmp_path):
    pool = make_condor_pool(nodes=CondorPool(tmp_path).nodes[:1])
    number = pool.submit(shell("sleep 600", "+WantIOProxy = true"), tmp_path)
    pool.wait(number, "running")
    pool.hang_command("condor_q", 600)
    hanging = subprocess.Popen([pool.commands.bin / "condor_q"])
    until(lambda: pool.commands.counts()["condor_q"])
    started = pool.processes()
    assert len(started) > 8
    pool.stop()
    hanging.wait(5)
    assert not [pid for pid in started if alive(pid)]
    assert pool.processes() == []


@pytest.fixture
def installed():
    try:
        return prefix()
    except CondorUnavailableError as error:
        unavailable(str(error))


def test_a_submit_file_is_read_without_a_pool(installed, tmp_path, monkeypatch):
    monkeypatch.delenv("CONDOR_CONFIG", raising=False)
    fine = dry_run(shell("exit 0", "request_cpus = 4", "+JobFlavour = workday"), tmp_path)
    assert fine.problems == ()
    assert (fine.value("RequestCpus"), fine.value("JobFlavour"), fine.value("Nothing")) == ("4", "workday", None)


@pytest.mark.parametrize(
    ("line", "problem"), [("reqest_cpus = 4", "was unused"), ("request_cpus = 4 +", "exit code 1")]
)
def test_a_wrong_submit_file_is_found(installed, tmp_path, line, problem):
    (found,) = dry_run(shell("exit 0", line), tmp_path).problems
    assert problem in found
