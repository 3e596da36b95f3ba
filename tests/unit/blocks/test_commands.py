"""Commands of a batch system are run with real processes: they are slow, broken, chatty, or not there."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest

from fasthep_parsl.blocks.commands import NOT_FOUND, run
from fasthep_parsl.interfaces import CommandResult
from fasthep_parsl.interfaces.scheduler_commands import TIMED_OUT


def sh(text, timeout=10.0, closing=None):
    return run(["/bin/sh", "-c", text], timeout, closing)


def lives(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with Path(f"/proc/{pid}/stat").open() as handle:
        return handle.read().rpartition(")")[2].split()[0] != "Z"


def dies(pid):
    until = time.monotonic() + 5
    while lives(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not lives(pid)


def pid_in(path):
    until = time.monotonic() + 5
    while not (path.exists() and path.read_text().strip()) and time.monotonic() < until:
        time.sleep(0.01)
    return int(path.read_text())


def test_it_says_what_the_command_says():
    assert sh("echo out; echo err >&2; exit 3") == CommandResult(3, "out\n", "err\n")
    assert sh("cat") == CommandResult(0)  # nothing to read
    assert sh("kill -9 $$").code == -9


def test_a_command_that_is_not_there(tmp_path):
    answer = run(["nosuchcommand", "x"], 1)
    assert (answer.code, answer.message) == (NOT_FOUND, "nosuchcommand: No such file or directory")
    assert not answer.transient
    (tmp_path / "plain").write_text("echo")
    assert run([str(tmp_path / "plain")], 1).message.endswith("Permission denied")


def test_a_time_out_ends_the_command_and_its_children(tmp_path):
    began = time.monotonic()
    answer = sh(f"sleep 60 & echo $! > {tmp_path}/child; wait", 0.5)
    assert 0.5 <= time.monotonic() - began < 30
    assert answer.code == TIMED_OUT
    assert answer.transient
    assert answer.message == "`/bin/sh` has not answered for 0.5 s"
    assert dies(pid_in(tmp_path / "child"))


def test_the_end_of_the_run_ends_a_command(tmp_path):
    closing = threading.Event()
    timer = threading.Timer(0.3, closing.set)
    timer.start()
    began = time.monotonic()
    answer = sh(f"sleep 60 & echo $! > {tmp_path}/child; wait", 60, closing)
    timer.join()
    assert time.monotonic() - began < 15
    assert answer.code == TIMED_OUT
    assert "the run ends" in answer.message
    assert dies(pid_in(tmp_path / "child"))


def test_after_the_end_of_the_run_no_command_is_started(tmp_path):
    closing = threading.Event()
    closing.set()
    assert sh(f"touch {tmp_path}/started", closing=closing).code == TIMED_OUT
    assert not (tmp_path / "started").exists()


@pytest.mark.slow
@pytest.mark.parametrize("leave", ["", "setsid "])
def test_what_a_command_leaves_running_is_not_waited_for(tmp_path, leave):
    """A plug-in or an ssh master that holds the output open would turn a submission into a time-out."""
    began = time.monotonic()
    answer = sh(f"echo 4711; {leave}sleep 20 & echo $! > {tmp_path}/child; exit 0", 15)
    os.kill(pid_in(tmp_path / "child"), 9)
    assert answer == CommandResult(0, "4711\n")
    assert time.monotonic() - began < 15


def test_a_child_in_a_session_of_its_own_does_not_stop_us(tmp_path):
    """Its output stays open after the command was killed; pytest makes an error of a pipe left open."""
    began = time.monotonic()
    answer = sh(f"setsid sleep 20 & echo $! > {tmp_path}/child; wait", 0.3)
    os.kill(pid_in(tmp_path / "child"), 9)
    assert answer.code == TIMED_OUT
    assert time.monotonic() - began < 15


def test_a_command_that_ignores_everything_is_killed():
    assert sh("trap '' TERM INT HUP; while :; do sleep 0.1; done", 0.3).code == TIMED_OUT


def test_output_that_is_no_text():
    assert sh(r"printf '\377\376 4711\n'; printf 'caf\351\n' >&2; exit 1") == CommandResult(1, "�� 4711\n", "caf�\n")


def test_much_output_is_read_and_little_of_it_repeated():
    program = "import sys; sys.stdout.write('x' * 20_000_000 + '\\n'); sys.stderr.write('e' * 3_000_000); sys.exit(1)"
    answer = run([sys.executable, "-c", program], 30)
    assert len(answer.out) == 20_000_001
    assert len(answer.err) == 3_000_000
    assert len(answer.message) < 1000


def test_words_are_the_last_lines_of_an_error_else_of_the_output():
    assert CommandResult(1, "out", "\n".join("abcdefg")).message == "c\nd\ne\nf\ng"
    assert CommandResult(1, "said on stdout\n", " \n").message == "said on stdout"
    assert CommandResult(7).message == "exit code 7"


def test_a_command_has_the_environment_that_it_is_given():
    result = run(["/usr/bin/env"], 10, environment={"ONLY": "this"})
    assert result.out == "ONLY=this\n"


# What real programs said: Slurm 22.05, HTCondor 23.9; then messages of their sources and of other systems.
AWAY = [
    "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)",
    "slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
    "scancel: error: Kill job error on job id 1: Unable to contact slurm controller (connect failure)",
    (
        "\n-- Failed to fetch ads from: <127.0.0.1:35439?addrs=127.0.0.1-35439&alias=submit.pool> : submit.pool\n"
        "CEDAR:6001:Failed to connect to <127.0.0.1:35439?addrs=127.0.0.1-35439&alias=submit.pool>\n"
    ),
    "DCSchedd::actOnJobs:6001:Failed to connect to schedd\nNo result found for job 1.0\n",
    "\nERROR: Failed to connect to local queue manager\nCEDAR:6001:Failed to connect to <127.0.0.1:35439>\n",
    "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
    "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying",
    "sbatch: error: Batch job submission failed: Resource temporarily unavailable",
    "sbatch: error: Batch job submission failed: Zero Bytes were transmitted or received",
    "sbatch: error: Batch job submission failed: Slurm backup controller in standby mode",
    "slurm_load_jobs error: Slurm controller is in the process of starting up",
    "ERROR: Can't find address of local schedd",
    "AUTHENTICATE:1003:Failed to authenticate with any method",
    "qsub: cannot connect to server pbs01 (errno=15010)",
    "Cannot connect to LSF. Please wait ...",
    "error: commlib error: got select error (Connection refused)",
    "Unable to connect to the server: net/http: TLS handshake timeout",
    "The connection to the server 10.0.0.1:6443 was refused - did you specify the right host or port?",
]
REFUSED = [
    (
        "sbatch: error: invalid partition specified: nosuch\n"
        "sbatch: error: Batch job submission failed: Invalid partition name specified"
    ),
    (
        "sbatch: error: Memory specification can not be satisfied\n"
        "sbatch: error: Batch job submission failed: Requested node configuration is not available"
    ),
    "sbatch: error: Batch job submission failed: Invalid node name specified",
    "sbatch: error: Batch job submission failed: Requested time limit is invalid (missing or exceeds some limit)",
    "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified",
    (
        "sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed: "
        "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"
    ),
    "sbatch: error: Unable to open file /data/socket/connect/timeout/block.0.sh",
    "ERROR: Parse error in expression: \n\tRequestCpus = (((\n\t\n",
    "ERROR: Failed to commit job submission into the queue.\nERROR: Number of submitted jobs would exceed MAX_JOBS",
    "qsub: Unknown queue",
    "No such queue. Job not submitted.",
    'Unable to run job: job rejected: the requested project "x" does not exist.',
    'Error from server (Forbidden): pods is forbidden: User "u" cannot create resource "pods"',
]


@pytest.mark.parametrize("said", AWAY)
def test_a_batch_system_that_is_away_is_asked_again(said):
    assert CommandResult(1, err=said).transient


@pytest.mark.parametrize("said", REFUSED)
def test_a_refusal_is_meant(said):
    assert not CommandResult(1, err=said).transient
