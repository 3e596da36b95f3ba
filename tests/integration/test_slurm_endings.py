"""However a run on a Slurm cluster ends, and whatever Slurm says then: nothing stays, or is said to stay."""

from __future__ import annotations

import signal
import socket
import time

import pytest

from integration.cluster_runs import note_recovery
from integration.slurm_yard import POOL, TOTAL, Yard, on_slurm, scenarios

pytestmark = pytest.mark.slurm

LONG = ("Sleep", "fault.sleep", {"seconds": 0.3})
AWAY = "scancel: error: Unable to contact slurm controller (connect failure)"


@on_slurm()
def jobs_cannot_be_removed_at_the_end(yard: Yard) -> None:
    """They are named; workers that hear nothing any more end by themselves."""
    run = yard.run()
    run.wait_for_results()
    yard.cluster.break_command("scancel", stderr=AWAY)
    yard.cluster.break_command("squeue", stderr=AWAY)
    code, output, _ = run.end()
    assert code == 4, output
    assert "fasthep-parsl cleanup" in output
    assert (run.summary()["status"], run.product()) == ("complete", TOTAL)
    assert [event["job"] for event in run.blocks("left")] == run.jobs()
    yard.assert_nothing_left(60)


@on_slurm()
def waiting_jobs_cannot_be_removed_at_the_end(yard: Yard) -> None:
    """They are named, and `cleanup` removes them later. Two pools try for as long as one."""
    other = yard.occupy()
    run = yard.run(("More", "fault.sum", {}, "more"), default=POOL, more=POOL)
    jobs = {run.wait_for_block("submitted", pool=pool)["job"] for pool in ("default", "more")}
    yard.cluster.break_command("scancel", stderr=AWAY)
    run.signal(signal.SIGINT)
    assert run.end()[0] == 4
    assert {event["job"] for event in run.events("block") if event["state"] == "left"} == jobs
    assert jobs < {str(job.id) for job in yard.cluster.jobs()}
    yard.cluster.repair()
    assert run.clean_up()[0] == 0
    assert {yard.cluster.wait_for(int(job)).state for job in jobs} == {"CANCELLED"}
    yard.cancel(other)


@on_slurm()
def scancel_hangs_at_the_end(yard: Yard) -> None:
    run = yard.run()
    run.wait_for_results()
    yard.cluster.hang_command("scancel", 300)
    run.wait_until(lambda: len({p for e in run.events("finished") for d in e["done"] for p in range(*d)}) == 200, 150)
    time.sleep(25)
    yard.cluster.repair()
    run.assert_complete(TOTAL)
    assert run.blocks("left") == []


@on_slurm()
def driver_killed_and_another_run_started(yard: Yard) -> None:
    """With a single port, as on some login nodes: workers of the dead run must not disturb the new one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    network = {"network": {"address": "127.0.0.1", "ports": str(port)}}
    first = yard.run(LONG, site=network)
    first.wait_for_results(2)
    first.kill()
    died = time.time()
    second = yard.run(site=network)
    yard.cluster.wait_for(int(first.jobs()[0]), timeout=50)
    note_recovery("slurm", yard.name, time.time() - died)
    second.assert_complete(TOTAL)
    assert second.events("lost") == []
    assert len(second.jobs()) == 1


@on_slurm()
def driver_killed_and_its_job_requeued(yard: Yard) -> None:
    """The job starts once more when there is nobody to work for."""
    run = yard.run(LONG)
    run.wait_for_results(2)
    (job,) = run.jobs()
    run.kill()
    yard.cluster.run("scontrol", "update", f"JobId={job}", "Requeue=1")
    yard.cluster.run("scontrol", "requeue", job)
    assert yard.cluster.wait_for(int(job), timeout=90).exit_code == "3:0"
    assert (
        "cannot reach the driver at 127.0.0.1:"
        in (run.run_dir / "log" / "blocks" / "default" / "block.0.err").read_text()
    )


@on_slurm()
def driver_killed_while_its_job_waits(yard: Yard) -> None:
    other = yard.occupy()
    run = yard.run(LONG)
    run.wait_for_block("submitted")
    run.kill()
    yard.cancel(other)
    assert yard.cluster.wait_for(int(run.jobs()[0]), timeout=60).exit_code == "3:0"


def interrupted(yard: Yard, run) -> None:
    began = time.monotonic()
    run.signal(signal.SIGINT, group=True)
    code, output, _ = run.end()
    assert code == 130, output
    assert time.monotonic() - began < 60
    assert {yard.cluster.wait_for(int(job)).state for job in run.jobs()} == {"CANCELLED"}
    assert run.blocks("left") == []


@on_slurm()
def interrupted_while_jobs_wait(yard: Yard) -> None:
    other = yard.occupy()
    run = yard.run()
    run.wait_for_block("submitted")
    interrupted(yard, run)
    yard.cancel(other)


@on_slurm()
def interrupted_in_the_middle(yard: Yard) -> None:
    run = yard.run(LONG)
    run.wait_for_results(2)
    interrupted(yard, run)


@on_slurm()
def commands_in_steady_state(yard: Yard) -> None:
    """One pool works for over a minute, another one waits in the queue: at most 6 commands per pool and minute."""
    other = yard.occupy("highmem", 1)
    work, wait = ("Sleep", "fault.sleep", {"seconds": 0.8}), ("Large", "fault.sum", {}, "large")
    run = yard.run(work, wait, default=LARGE | {"resources": {"cpus": 1, "memory": "1GB"}}, large=LARGE)
    run.wait_for_block("up")
    began = time.time()
    time.sleep(65)
    counts = yard.cluster.command_counts(began + 5)
    assert sum(counts.values()) <= 2 * 6, counts
    assert run.process.poll() is None
    yard.cancel(other)
    run.assert_complete(TOTAL)
    assert run.product("Large") == TOTAL


LARGE = {"workers": 2, "resources": {"cpus": 1, "memory": "40GB"}}
ENDINGS = scenarios(globals())


@pytest.mark.parametrize("scenario", ENDINGS, ids=lambda scenario: scenario.name)
def test_the_end(campaign, scenario):
    campaign.result(scenario)
