"""The Slurm clusters of the tests behave as the tests assume."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.fixtures_slurm import used
from services.slurm import SlurmCluster, SlurmOptions

pytestmark = pytest.mark.slurm


def call(*command: str) -> subprocess.CompletedProcess[str]:
    """Call a command as a program under test does, by PATH."""
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def write(path, *lines: str) -> str:
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    return str(path)


@contextmanager
def stopping(cluster):
    try:
        yield
    finally:
        cluster.stop()


def test_a_job_runs_soon_and_its_node_and_exit_are_in_the_records(slurm):
    before = time.monotonic()
    job = slurm.submit("echo on $SLURMD_NODENAME; exit 3", "--partition=highmem", "--mem=200G", "--job-name=a b=c")
    record = slurm.wait_for(job)
    assert time.monotonic() - before < 5
    assert (record.name, record.state, record.exit_code, record.partition) == ("a b=c", "FAILED", "3:0", "highmem")
    assert slurm.job_nodes(job) == ["m1"]
    assert slurm.output(job) == "on m1\n"


def test_a_job_of_two_nodes_has_both_in_the_records(slurm):
    job = slurm.submit("srun sh -c 'echo $SLURMD_NODENAME'", "--nodes=2", "--ntasks=2")
    assert slurm.wait_for(job).state == "COMPLETED"
    assert slurm.job_nodes(job) == ["c1", "c2"]
    assert sorted(slurm.output(job).split()) == ["c1", "c2"]


def test_fake_gpus_are_counted_and_named(slurm):
    script = "echo gpu $CUDA_VISIBLE_DEVICES; while [ ! -e {} ]; do sleep 0.1; done"
    go = slurm.folder / "go"
    jobs = [slurm.submit(script.format(go), "--partition=gpu", "--gres=gpu:1", "--mem=1G") for _ in range(3)]
    for job in jobs[:2]:
        slurm.wait_for(job, "RUNNING")
    assert slurm.wait_for(jobs[2], "PENDING").reason in {"None", "Resources", "Priority", ""}
    go.touch()
    assert {slurm.wait_for(job).state for job in jobs} == {"COMPLETED"}
    assert sorted(slurm.output(job) for job in jobs[:2]) == ["gpu 0\n", "gpu 1\n"]


def test_without_accounting_sacct_fails(slurm):
    done = call("sacct", "-X")
    assert done.returncode == 1
    assert "disabled" in done.stderr


def test_with_accounting_sacct_knows_nodes_and_ends(slurm_accounting):
    job = slurm_accounting.submit("exit 0")
    slurm_accounting.wait_for(job)
    deadline = time.monotonic() + 20
    while job not in (known := slurm_accounting.accounting()) or not known[job].ended:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert (known[job].state, known[job].nodes) == ("COMPLETED", slurm_accounting.history()[job].nodes)
    assert call("sacct", "-X", "-n", "-j", str(job)).returncode == 0


def test_the_jobs_of_a_crashed_node_fail_within_20_s(slurm):
    job = slurm.submit("sleep 300", "--nodelist=c1")
    other = slurm.submit("sleep 300", "--nodelist=c2")
    for started in (job, other):
        slurm.wait_for(started, "RUNNING")
    slurm.crash_node("c1")
    assert not [process for process in slurm.processes() if process.node == "c1"]
    before = time.monotonic()
    assert slurm.wait_for(job, "NODE_FAIL", timeout=25).nodes == "c1"
    assert time.monotonic() - before < 20
    slurm.revive("c1")
    assert slurm.node_states()["c1"] == "idle"
    assert [left.id for left in slurm.jobs()] == [other]
    call("scancel", str(other))


def test_jobs_survive_a_restart_of_the_controller(slurm):
    job = slurm.submit("sleep 3; echo done")
    slurm.wait_for(job, "RUNNING")
    slurm.restart_controller()
    assert slurm.wait_for(job).state == "COMPLETED"
    assert slurm.output(job) == "done\n"


def test_commands_fail_while_the_controller_is_dead(slurm):
    slurm.kill_controller()
    assert "connect" in call("squeue").stderr
    slurm.restart_controller()
    assert call("squeue").returncode == 0


def test_commands_are_counted_and_stay_the_real_ones(slurm, tmp_path):
    assert slurm.command_counts() == {}
    script = write(tmp_path / "job.sh", "srun true")
    job = int(call("sbatch", "--parsable", f"--output={tmp_path}/out", script).stdout)
    slurm.wait_for(job, "COMPLETED")
    call("squeue", "--format=%A\n%T")
    now = time.time()
    call("squeue")
    assert slurm.command_counts() == {"sbatch": 1, "squeue": 2}
    assert slurm.command_counts(now) == {"squeue": 1}
    assert [found.command for found in slurm.commands.calls() if found.job == str(job)] == ["srun"]


def test_a_command_fails_for_one_partition_until_it_is_repaired(slurm, tmp_path):
    slurm.break_command("sbatch", exit=7, stderr="it's closed", partition="gpu")
    to_gpu = write(tmp_path / "gpu.sh", "#SBATCH --partition=gpu", "#SBATCH --output=/dev/null", "true")
    to_cpu = write(tmp_path / "cpu.sh", "#SBATCH --output=/dev/null", "true")
    for command in (["sbatch", to_gpu], ["sbatch", "-p", "gpu", to_cpu], ["sbatch", "--partition=gpu", to_cpu]):
        done = call(*command)
        assert (done.returncode, done.stdout, done.stderr) == (7, "", "it's closed\n")
    assert call("sbatch", to_cpu).returncode == 0
    assert call("sbatch", "--partition=highmem", to_cpu).returncode == 0
    slurm.repair()
    assert call("sbatch", to_gpu).returncode == 0
    assert slurm.wait_until_empty() == []


def test_a_submission_may_work_and_claim_that_it_failed(slurm, tmp_path):
    slurm.break_command("sbatch", stderr="timed out", after_doing=True)
    before = set(slurm.history())
    assert call("sbatch", "--output=/dev/null", write(tmp_path / "job.sh", "true")).returncode == 1
    (job,) = set(slurm.history()) - before
    assert slurm.wait_for(job).state == "COMPLETED"


def test_a_command_hangs_and_can_be_killed(slurm):
    slurm.hang_command("squeue", 1.5)
    before = time.monotonic()
    assert call("squeue", "-h").returncode == 0
    assert 1.4 < time.monotonic() - before < 4
    slurm.hang_command("squeue", 60)
    before = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):  # nothing of it keeps the pipe open
        subprocess.run(["squeue"], capture_output=True, timeout=1, check=False)
    assert time.monotonic() - before < 4


def test_a_job_left_in_the_queue_fails_the_test_and_is_cancelled(make_slurm, monkeypatch):
    cluster = make_slurm()
    monkeypatch.setattr(cluster, "wait_until_empty", lambda timeout=0: cluster.jobs())  # no patience
    job = cluster.submit("sleep 300")
    cluster.wait_for(job, "RUNNING")
    with pytest.raises(pytest.fail.Exception, match="jobs left in the queue"), used(cluster):
        pass
    assert cluster.wait_for(job).state == "CANCELLED"


@pytest.mark.parametrize(("required", "outcome"), [("0", pytest.skip.Exception), ("1", pytest.fail.Exception)])
def test_a_missing_program_skips_or_fails_where_services_are_required(make_slurm, monkeypatch, required, outcome):
    monkeypatch.setenv("FASTHEP_REQUIRE_SERVICES", required)
    monkeypatch.setattr("shutil.which", lambda *args, **kwargs: None)
    with pytest.raises(outcome, match=r"slurmctld, slurmd.* not found\): make services"):
        make_slurm(accounting="dbd", slurmd_timeout=99)


@pytest.mark.parametrize(("required", "outcome"), [("0", pytest.skip.Exception), ("1", pytest.fail.Exception)])
def test_a_daemon_that_does_not_start_says_why_and_leaves_nothing(make_slurm, monkeypatch, required, outcome):
    monkeypatch.setenv("FASTHEP_REQUIRE_SERVICES", required)
    with tempfile.TemporaryDirectory() as short:
        monkeypatch.setattr(tempfile, "tempdir", short)
        with pytest.raises(outcome, match=r"Slurm does not start here: slurmctld(.|\n)*NoSuchOption"):
            make_slurm(extra_lines=("NoSuchOption=1",))
        assert list(Path(short).iterdir()) == []


def test_stop_leaves_no_process_and_no_file():
    before = dict(os.environ)
    options = SlurmOptions(requeue=True, preempt="requeue", extra_lines=("EnforcePartLimits=ALL",)).limited(cpu=5)
    cluster = SlurmCluster(options).start()
    with stopping(cluster), cluster.environment():
        assert os.environ["SLURM_CONF"] == str(cluster.conf)
        assert call("sbatch", "--time=6", "--wrap=true").returncode == 1  # over the limit of the partition
        low = cluster.submit("trap '' TERM; setsid sleep 300", "--exclusive", "--nodelist=c1", "--time=2")
        cluster.wait_for(low, "RUNNING")
        urgent = cluster.submit("sleep 300", "--partition=urgent", "--exclusive", "--nodelist=c1")
        cluster.wait_for(urgent, "RUNNING")
        assert cluster.wait_for(low, "PENDING").id == low
        assert {process.name for process in cluster.processes()} >= {"slurmctld", "slurmd", "slurmstepd", "munged"}
    assert dict(os.environ) == before
    assert cluster.processes() == []
    assert not cluster.folder.exists()
