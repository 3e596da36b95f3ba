"""What happens to blocks in an HTCondor pool costs time and nothing else, with the defaults of the shipped profile."""

from __future__ import annotations

import pytest

from integration.condor_yard import SLEEP, TOTAL, Scenario, Yard, now, on_condor
from services.condor_records import CondorUnavailableError, prefix
from services.fixtures_condor import unavailable

pytestmark = pytest.mark.condor


# --- blocks ---------------------------------------------------------------------------------------------------


@on_condor()
def block_removed(yard: Yard) -> None:
    run = yard.run()
    run.wait_for_results(4)
    (job,) = run.jobs()
    fault = now()
    yard.pool.remove(job)
    run.assert_complete(TOTAL)
    assert len(run.jobs()) == 2
    assert "condor_rm" in run.blocks("lost")[0]["message"]
    yard.recovered(run, fault, within=60)


@on_condor()
def block_held(yard: Yard) -> None:
    run = yard.run()
    run.wait_for_results(4)
    (job,) = run.jobs()
    fault = now()
    yard.pool.hold(job)
    run.assert_complete(TOTAL)
    assert len(run.jobs()) == 2
    assert run.blocks("lost")[0]["message"] == "held: via condor_hold (by user cloudsdk)"
    yard.recovered(run, fault, within=60)


@on_condor()
def block_vacated(yard: Yard) -> None:
    _vacate(yard, fast=False)


@on_condor()
def block_vacated_fast(yard: Yard) -> None:
    _vacate(yard, fast=True)


def _vacate(yard: Yard, *, fast: bool) -> None:
    run = yard.run()
    run.wait_for_results(4)
    (job,) = run.jobs()
    fault = now()
    yard.pool.vacate(job, fast=fast)
    run.assert_complete(TOTAL)
    yard.recovered(run, fault, within=60)


@on_condor()
def node_crashed(yard: Yard) -> None:
    run = yard.run()
    run.wait_for_results(4)
    (job,) = run.jobs()
    node = yard.running(job).node
    fault = now()
    yard.pool.crash_node(node)
    run.assert_complete(TOTAL)
    assert yard.pool.job(run.jobs()[-1]).node not in {"", node}
    yard.recovered(run, fault, within=60)


@on_condor()
def worker_killed(yard: Yard) -> None:
    once = yard.folder / "once"
    run = yard.run(SLEEP, ("Strike", "fault.strike", {"at": 60, "how": "kill", "once": str(once)}))
    run.wait_until(once.exists, 60)
    fault = once.stat().st_mtime
    run.assert_complete(TOTAL)
    assert len(run.jobs()) == 1
    yard.recovered(run, fault, within=30)


@on_condor()
def schedd_restarted(yard: Yard) -> None:
    run = yard.run()
    run.wait_for_results(4)
    yard.pool.kill_schedd()
    yard.pool.restart_schedd()
    run.assert_complete(TOTAL)
    assert len(run.jobs()) == 1


@on_condor()
def walltime_shorter_than_the_work(yard: Yard) -> None:
    """30 s per block, of which 15 s are for new tasks; HTCondor holds what runs longer."""
    site = {"strategy": {"kind": "htcondor", "walltime_attribute": "allowed_job_duration"}}
    pool = {"workers": 2, "resources": {"cpus": 1, "memory": "1GB", "walltime": "30s"}}
    run = yard.run(("Sleep", "fault.sleep", {"seconds": 1.0}), site=site, default=pool)
    run.assert_complete(TOTAL)
    assert len(run.jobs()) >= 2
    assert run.blocks("draining")
    assert not run.blocks("lost", "failed")
    assert run.summary()["tasks"]["lost"] == 0


SCENARIOS = [value for value in list(globals().values()) if isinstance(value, Scenario)]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_fault_costs_no_event(campaign, scenario):
    try:
        prefix()
    except CondorUnavailableError as error:
        unavailable(str(error))
    campaign.result(scenario)
