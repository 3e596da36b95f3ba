"""What happens to blocks on a Slurm cluster costs time and nothing else, with the defaults of the shipped profile."""

from __future__ import annotations

import os
import signal
import time

import pytest

from integration.cluster_runs import ClusterRun, when
from integration.slurm_yard import POOL, QUEUES, TOTAL, Yard, on_slurm, scenarios

pytestmark = pytest.mark.slurm

WHOLE_NODES = {"workers": 2, "resources": {"cpus": 8, "memory": "8GB"}}
"""Two blocks, each on a node of its own."""
LONG = ("Sleep", "fault.sleep", {"seconds": 0.2})


def under_way(yard: Yard, *stages, **pools) -> tuple[ClusterRun, str]:
    """Start a run, wait until each of its two workers has had results; return it and the id of its (first) job."""
    run = yard.run(*stages, **pools)
    run.wait_until(lambda: len({event["pid"] for event in run.events("finished")}) == 2, 150)
    return run, run.jobs()[0]


# --- blocks ---------------------------------------------------------------------------------------------------


@on_slurm()
def block_cancelled(yard: Yard) -> None:
    run, job = under_way(yard)
    fault = time.time()
    yard.cancel(job)
    run.assert_complete(TOTAL)
    assert len(run.jobs()) == 2
    yard.recovered(run, fault, within=100)


@on_slurm()
def one_of_two_blocks_cancelled(yard: Yard) -> None:
    run, job = under_way(yard, LONG, default=WHOLE_NODES)
    fault = time.time()
    yard.cancel(job)
    run.assert_complete(TOTAL)
    after = [when(event) for event in run.events("finished") if when(event) > fault]
    assert min(after) - fault < 15, "the other block goes on"


@on_slurm()
def block_held_while_it_waits(yard: Yard) -> None:
    other = yard.occupy()
    run = yard.run()
    run.wait_for_block("submitted")
    (job,) = run.jobs()
    fault = time.time()
    yard.cluster.run("scontrol", "hold", job)
    run.wait_for_block("failed")
    assert "JobHeld" in run.blocks("failed")[0]["message"]
    yard.cancel(other)
    run.assert_complete(TOTAL)
    yard.recovered(run, fault, within=100)


@on_slurm()
def block_requeued_and_held(yard: Yard) -> None:
    """As `scontrol requeuehold` does, and Slurm itself after a failed prolog; where a site lets jobs be requeued."""
    run, job = under_way(yard)
    fault = time.time()
    yard.cluster.run("scontrol", "update", f"JobId={job}", "Requeue=1")
    yard.cluster.run("scontrol", "requeuehold", job)
    run.assert_complete(TOTAL)
    yard.recovered(run, fault, within=100)


def preempted(yard: Yard, *, requeue: bool = False) -> None:
    run, job = under_way(yard)
    if requeue:
        yard.cluster.run("scontrol", "update", f"JobId={job}", "Requeue=1")
    node = yard.node_of(job)
    fault = time.time()
    urgent = yard.cluster.submit("sleep 20", "--partition=urgent", "--exclusive", f"--nodelist={node}")
    run.assert_complete(TOTAL)
    yard.cluster.wait_for(urgent, timeout=60)
    yard.recovered(run, fault, within=100)


@on_slurm(preempt="cancel")
def block_preempted(yard: Yard) -> None:
    preempted(yard)


@on_slurm(preempt="requeue")
def block_preempted_where_others_are_requeued(yard: Yard) -> None:
    preempted(yard)


@on_slurm(preempt="requeue")
def block_preempted_and_requeued(yard: Yard) -> None:
    """A site may make jobs requeueable whatever they ask for: then the same job comes back."""
    preempted(yard, requeue=True)


@on_slurm()
def walltime_shorter_than_the_work(yard: Yard) -> None:
    """50 s of work in blocks of a minute: they take no more tasks in time, and nothing is lost."""
    queue = {**QUEUES["cpu"], "walltime": "1m"}
    run = yard.run(("Sleep", "fault.sleep", {"seconds": 0.5}), site={"queues": {"cpu": queue}})
    run.assert_complete(TOTAL, 250)
    assert len(run.jobs()) >= 2
    assert run.events("lost") == []
    assert yard.cluster.history()[int(run.jobs()[0])].state == "COMPLETED"  # before Slurm ended it
    assert run.blocks("lost", "failed") == []
    yard.recovered(run, when(run.blocks("draining")[0]), within=60)


# --- nodes and workers ----------------------------------------------------------------------------------------


def crash(yard: Yard) -> None:
    run, job = under_way(yard)
    node = yard.node_of(job)
    fault = time.time()
    yard.cluster.crash_node(node)
    run.assert_complete(TOTAL)
    assert yard.cluster.wait_for(int(job)).state in {"NODE_FAIL", "CANCELLED"}  # who is first: Slurm, or we
    yard.recovered(run, fault, within=100)
    yard.cluster.revive(node)


@on_slurm()
def node_crashed(yard: Yard) -> None:
    crash(yard)


@on_slurm(accounting="dbd", requeue=True)
def node_crashed_with_accounting(yard: Yard) -> None:
    crash(yard)


@on_slurm()
def worker_killed(yard: Yard) -> None:
    run, _ = under_way(yard, LONG)
    fault = time.time()
    os.kill(run.events("finished")[-1]["pid"], signal.SIGKILL)
    run.assert_complete(TOTAL)
    assert len(run.jobs()) == 1
    yard.recovered(run, fault, within=60)


@on_slurm()
def worker_killed_for_memory(yard: Yard) -> None:
    """As the kernel does it: SIGKILL in the middle of a task."""
    once = yard.folder / "once"
    run = yard.run(("Sleep", "fault.sleep", {"seconds": 0.05}), ("Strike", "fault.strike", {"at": 150, "how": "kill", "once": str(once)}))  # fmt: skip
    run.assert_complete(TOTAL)
    (lost,) = run.events("lost")
    assert "out of memory" in lost["message"]
    assert len(run.jobs()) == 1
    yard.recovered(run, once.stat().st_mtime, within=60)


@on_slurm()
def node_broken(yard: Yard) -> None:
    """Slurm gives the idle node with the broken disk again and again; after two failures it is left out."""
    init = ['if [ "$SLURMD_NODENAME" = c1 ]; then echo "no such file system" >&2; exit 3; fi']
    run = yard.run(site={"worker_init": init}, default=POOL)
    fault = time.time()
    run.assert_complete(TOTAL)
    assert len(run.jobs()) == 3
    assert [event["node"] for event in run.blocks("failed")] == ["c1", "c1"]
    assert "--exclude=c1" in (run.run_dir / "log" / "blocks" / "default" / "block.2.sh").read_text()
    yard.recovered(run, fault, within=100)


@on_slurm()
def node_broken_while_others_work(yard: Yard) -> None:
    init = ['[ "$SLURMD_NODENAME" != c1 ]']
    run = yard.run(LONG, site={"worker_init": init}, default=WHOLE_NODES)
    run.assert_complete(TOTAL)
    assert len(run.jobs()) <= 4
    assert len(run.blocks("failed")) == 2


# --- the scheduler --------------------------------------------------------------------------------------------

AWAY = "error: Unable to contact slurm controller (connect failure)"


@on_slurm()
def controller_restarted(yard: Yard) -> None:
    run, job = under_way(yard, LONG)
    yard.cluster.restart_controller()
    run.assert_complete(TOTAL)
    assert run.jobs() == [job]
    assert run.events("lost") == []


@on_slurm()
def controller_killed(yard: Yard) -> None:
    """Slurm may have forgotten that the job runs, and start it once more: then its tasks come back."""
    run, _ = under_way(yard, LONG)
    fault = time.time()
    yard.cluster.kill_controller()
    time.sleep(5)
    yard.cluster.restart_controller()
    run.assert_complete(TOTAL)
    after = [when(event) for event in run.events("finished") if when(event) > fault]
    assert min(after) - fault < 20, "work goes on without it"


@on_slurm()
def sbatch_fails_for_a_while(yard: Yard) -> None:
    yard.cluster.break_command("sbatch", stderr=f"sbatch: {AWAY}")
    run = yard.run()
    run.wait_for_block("refused", number=4)  # more than would be borne if Slurm said no
    yard.cluster.repair()
    fault = time.time()
    run.assert_complete(TOTAL)
    yard.recovered(run, fault, within=100)


@on_slurm()
def answer_of_sbatch_lost(yard: Yard) -> None:
    """The job is in the queue, and nobody was told its id: it is found, used and removed like any other."""
    yard.cluster.break_command("sbatch", stderr=f"sbatch: {AWAY}", after_doing=True)
    run = yard.run()
    run.wait_for_block("refused")
    yard.cluster.repair()
    run.assert_complete(TOTAL)
    assert len(run.jobs()) == 1
    yard.recovered(run, when(run.blocks("refused")[0]), within=60)


@on_slurm()
def sbatch_hangs(yard: Yard) -> None:
    yard.cluster.hang_command("sbatch", 100)
    run = yard.run()
    fault = time.time()
    run.wait_for_block("refused")
    assert "has not answered for 60 s" in run.blocks("refused")[0]["message"]
    yard.cluster.repair()
    run.assert_complete(TOTAL)
    yard.recovered(run, fault, within=150)


@on_slurm()
def squeue_fails_and_a_block_is_cancelled(yard: Yard) -> None:
    yard.cluster.break_command("squeue", stderr=f"slurm_load_jobs {AWAY}")
    run, job = under_way(yard)
    fault = time.time()
    yard.cancel(job)
    run.assert_complete(TOTAL)
    yard.recovered(run, fault, within=100)


@on_slurm()
def squeue_hangs(yard: Yard) -> None:
    yard.cluster.hang_command("squeue", 200)
    began = time.monotonic()
    run = yard.run(site={"scaling": {"command_timeout": "200s"}})
    run.assert_complete(TOTAL)
    assert time.monotonic() - began < 180, "a run does not wait for an answer that it does not need"


FAULTS = scenarios(globals())


@pytest.mark.parametrize("scenario", FAULTS, ids=lambda scenario: scenario.name)
def test_a_fault_costs_no_event(campaign, scenario):
    campaign.result(scenario)
