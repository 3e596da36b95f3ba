"""However a driver ends, nothing of its run stays in an HTCondor pool, or the user is told what does."""

from __future__ import annotations

import signal

import pytest

from integration.cluster_runs import note_recovery
from integration.condor_yard import TOTAL, Yard, now, on_condor, require_condor, scenarios
from services.condor import wait_until

pytestmark = pytest.mark.condor


@on_condor()
def commands_fail_at_the_end(yard: Yard) -> None:
    run = yard.run()
    run.wait_for_results()
    (job,) = run.jobs()
    yard.pool.break_command("condor_rm")
    code, output, _ = run.end()
    assert code == 4, output
    assert run.product() == TOTAL
    assert [block["job"] for block in run.blocks("left")] == [job]
    assert job in output
    yard.assert_nothing_left(60)  # its workers have nobody to work for


@on_condor()
def evicted_after_the_end(yard: Yard) -> None:
    run = yard.run()
    run.wait_for_results()
    (job,) = run.jobs()
    run.signal(signal.SIGKILL)
    yard.pool.vacate(job, fast=True)
    wait_until(lambda: yard.pool.job(job).starts > 1 or None, 30, lambda: "it does not start again")
    yard.assert_nothing_left(60)


@on_condor()
def driver_killed(yard: Yard) -> None:
    run = yard.run()
    run.wait_for_results()
    run.signal(signal.SIGKILL)
    fault = now()
    run.process.wait()
    again = yard.again(run, "--resume")
    again.assert_complete(TOTAL)
    yard.assert_nothing_left(60)
    note_recovery("htcondor", "driver_killed", now() - fault)
    assert now() - fault < 200


@on_condor()
def interrupted(yard: Yard) -> None:
    run = yard.run()
    run.wait_for_results()
    run.signal(signal.SIGINT, group=True)
    code, output, seconds = run.end()
    assert code == 130, output
    assert seconds < 40  # its commands may take 60 s
    yard.assert_nothing_left(5)


SCENARIOS = scenarios(globals())


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_nothing_is_left(campaign, scenario):
    require_condor()
    campaign.result(scenario)
