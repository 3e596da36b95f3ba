"""What happens to blocks in an HTCondor pool costs time and nothing else, with the defaults of the shipped profile."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest

from integration.condor_yard import POOL, QUEUES, SLEEP, TOTAL, Yard, now, on_condor, require_condor, scenarios
from services.condor_config import Node

pytestmark = pytest.mark.condor


# --- blocks ---------------------------------------------------------------------------------------------------


@on_condor()
def block_removed(yard: Yard) -> None:
    run = yard.run()
    run.wait_for_results()
    (job,) = run.jobs()
    fault = now()
    yard.pool.remove(job)
    run.assert_complete(TOTAL)
    assert len(run.jobs()) == 2
    assert "condor_rm" in run.blocks("lost")[0]["message"]
    yard.recovered(run, fault, within=100)


@on_condor()
def block_held(yard: Yard) -> None:
    run = yard.run()
    run.wait_for_results()
    (job,) = run.jobs()
    fault = now()
    yard.pool.hold(job)
    run.assert_complete(TOTAL)
    assert len(run.jobs()) == 2
    assert run.blocks("lost")[0]["message"].startswith("held: via condor_hold (by user ")
    yard.recovered(run, fault, within=100)


@on_condor()
def block_vacated(yard: Yard) -> None:
    _vacate(yard, fast=False)


@on_condor()
def block_vacated_fast(yard: Yard) -> None:
    _vacate(yard, fast=True)


def _vacate(yard: Yard, *, fast: bool) -> None:
    run = yard.run()
    run.wait_for_results()
    (job,) = run.jobs()
    fault = now()
    yard.pool.vacate(job, fast=fast)
    run.assert_complete(TOTAL)
    yard.recovered(run, fault, within=100)


@on_condor()
def node_crashed(yard: Yard) -> None:
    run = yard.run()
    run.wait_for_results()
    (job,) = run.jobs()
    node = yard.running(job).node
    fault = now()
    yard.pool.crash_node(node)
    run.assert_complete(TOTAL)
    assert yard.pool.job(run.jobs()[-1]).node not in {"", node}
    yard.recovered(run, fault, within=100)


@on_condor()
def worker_killed(yard: Yard) -> None:
    once = yard.folder / "once"
    run = yard.run(SLEEP, ("Strike", "fault.strike", {"at": 60, "how": "kill", "once": str(once)}))
    run.wait_until(once.exists, 60)
    fault = once.stat().st_mtime
    run.assert_complete(TOTAL)
    assert len(run.jobs()) == 1
    yard.recovered(run, fault, within=60)


@on_condor()
def schedd_restarted(yard: Yard) -> None:
    run = yard.run()
    run.wait_for_results()
    yard.pool.kill_schedd()
    yard.pool.restart_schedd()
    run.assert_complete(TOTAL)
    assert len(run.jobs()) == 1


@on_condor()
def walltime_shorter_than_the_work(yard: Yard) -> None:
    """40 s per block, of which 21 s are for new tasks; HTCondor holds what runs longer."""
    site = {"strategy": {"kind": "htcondor", "walltime_attribute": "allowed_job_duration"}}
    pool = {"workers": 2, "resources": {"cpus": 1, "memory": "1GB", "walltime": "40s"}}
    run = yard.run(("Sleep", "fault.sleep", {"seconds": 1.2}), site=site, default=pool)
    run.assert_complete(TOTAL)
    assert len(run.jobs()) >= 2
    assert run.blocks("draining", "ended")[0]["job"] == run.jobs()[0]  # whichever is seen first
    assert not run.blocks("lost", "failed")
    assert "lost" not in run.summary()["tasks"]


# --- the queue and its commands -------------------------------------------------------------------------------

COMMANDS = ("condor_submit", "condor_q", "condor_rm")


@on_condor()
def commands_fail_for_a_minute(yard: Yard) -> None:
    _lose_a_block_without_commands(yard, yard.pool.break_command)


@on_condor()
def commands_hang_for_a_minute(yard: Yard) -> None:
    _lose_a_block_without_commands(yard, lambda command: yard.pool.hang_command(command, 70))


def _lose_a_block_without_commands(yard: Yard, disturb: Callable[[str], None]) -> None:
    run = yard.run()
    run.wait_for_results()
    (job,) = run.jobs()
    for command in COMMANDS:
        disturb(command)
    fault = now()
    yard.pool.remove(job)
    time.sleep(60)
    yard.pool.commands.repair()
    run.assert_complete(TOTAL)
    yard.recovered(run, fault, within=135)


@on_condor()
def submission_without_an_answer(yard: Yard) -> None:
    """The job is there, but condor_submit does not end: it is not submitted twice, and not forgotten."""
    yard.pool.commands.swallow("condor_submit", 70)
    run = yard.run()
    run.assert_complete(TOTAL)
    assert len({job.id for job in yard.pool.history()}) <= 2


@on_condor()
def schedd_down_for_a_minute(yard: Yard) -> None:
    """The node of the block dies meanwhile."""
    run = yard.run()
    run.wait_for_results()
    (job,) = run.jobs()
    node = yard.running(job).node
    fault = now()
    yard.pool.kill_schedd()
    yard.pool.crash_node(node)
    time.sleep(60)
    yard.pool.repair()
    run.assert_complete(TOTAL)
    yard.recovered(run, fault, within=135)


@on_condor()
def submission_of_one_pool_refused(yard: Yard) -> None:
    queues = QUEUES | {"odd": QUEUES["cpu"] | {"options": {"requirements": "TARGET.Memory >"}}}
    stages = (("Other", "fault.sum", {}, "other"),)
    pools = {"default": POOL, "other": POOL | {"queue": "odd"}}
    run = yard.run(*stages, site={"queues": queues}, **pools)
    code, output, _ = run.end()
    assert code == 3, output
    assert run.product() == TOTAL
    assert list(run.summary()["blocked"]) == ["Other"]
    assert "pool `other`: its jobs are refused" in output
    assert "Parse error in expression" in output
    assert "Requirements = ((TARGET.Memory >))" in output
    assert yard.pool.commands.counts()["condor_submit"] <= 4


@on_condor()
def no_node_fits(yard: Yard) -> None:
    """One pool works, one waits for ever: few questions are asked, and Ctrl-C ends it."""
    site = {"queues": QUEUES | {"odd": QUEUES["cpu"] | {"options": {"requirements": 'TARGET.Machine == "nowhere"'}}}}
    slow = ("Sleep", "fault.sleep", {"seconds": 3.0})
    pools = {"default": POOL, "other": POOL | {"queue": "odd"}}
    run = yard.run(slow, ("Other", "fault.sum", {}, "other"), site=site, **pools)
    run.wait_for_block("submitted", pool="other")
    yard.pool.commands.forget()
    time.sleep(65)
    calls = [call for call in yard.pool.commands.calls() if call.command in COMMANDS]
    assert len(calls) <= 6 * len(pools), calls
    run.signal(signal.SIGINT, group=True)
    code, output, seconds = run.end()
    assert code == 130, output
    assert seconds < 40  # its commands may take 60 s
    assert (
        "pool other: 1 job waits in queue odd (no match found; for details: `condor_q -better-analyze`), 0 up" in output
    )


@on_condor(Node("bad1"), Node("cpu1"))
def environment_of_one_node_broken(yard: Yard) -> None:
    """The node is HTCondor's first choice, until it is left out."""
    site = {
        "worker_init": ['case $FASTHEP_PARSL_NODE in bad*) echo "no such module" >&2; exit 7;; esac'],
        "strategy": {"kind": "htcondor", "directives": ['rank = TARGET.Machine == "bad1.pool"']},
    }
    began = now()
    run = yard.run(site=site)
    run.assert_complete(TOTAL)
    assert [block["node"] for block in run.blocks("failed")] == ["bad1.pool"] * 2
    assert all("no such module" in block["message"] for block in run.blocks("failed"))
    assert len(run.jobs()) == 3
    assert yard.pool.job(run.jobs()[-1]).node == "cpu1"
    yard.recovered(run, began, within=120)


@on_condor()
def environment_broken_everywhere(yard: Yard) -> None:
    run = yard.run(site={"worker_init": ["source /no/such/setup.sh"]})
    code, output, _ = run.end()
    assert code == 1, output
    assert "/no/such/setup.sh: No such file or directory" in output
    assert len(run.jobs()) == 3


@on_condor()
def every_job_held(yard: Yard) -> None:
    """The pool's own policy holds jobs: its reason is what the user must read."""
    policy = ["periodic_hold = JobStatus == 2", 'periodic_hold_reason = "no proxy, no service"']
    site = {"strategy": {"kind": "htcondor", "directives": policy}, "worker_init": ["sleep 60"]}
    run = yard.run(site=site)
    code, output, _ = run.end()
    assert code == 1, output
    assert "no proxy, no service" in output
    assert "no proxy, no service" in run.blocks("failed")[0]["message"]
    assert len(run.jobs()) == 3


LONGEST = (commands_hang_for_a_minute, commands_fail_for_a_minute, schedd_down_for_a_minute)
SCENARIOS = scenarios(globals(), *LONGEST)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_fault_costs_no_event(campaign, scenario):
    require_condor()
    campaign.result(scenario)
