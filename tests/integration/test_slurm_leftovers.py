"""Whatever ends a block on a node of a Slurm cluster: its temporary files go, at the latest when the next one begins."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest

from integration.slurm_yard import TOTAL, Yard, on_slurm, scenarios

pytestmark = pytest.mark.slurm

SLEEP = ("Sleep", "fault.sleep", {"seconds": 0.1})


def node_disk(yard: Yard):
    """Return a folder for temporary files of nodes, and the site's key that names it."""
    disk = yard.folder / "disk"
    disk.mkdir(exist_ok=True)
    return disk, {"worker_init": [f"export TMPDIR='{disk}'"]}


def assert_empty(disk, seconds=15.0):
    until = time.monotonic() + seconds
    while found := list(disk.rglob("*")):
        assert time.monotonic() < until, found
        time.sleep(0.1)


def pool_of(run):
    """Return the first process of a block: workers are forked from its fork server."""
    return psutil.Process(run.events("finished")[-1]["pid"]).parent().parent()


def end_and_look(yard: Yard, end, seconds=15.0):
    """Let a block end in the middle of a run, look at its node, and see the run through."""
    disk, site = node_disk(yard)
    run = yard.run(SLEEP, site=site)
    run.wait_for_results(2)
    (folder,) = disk.iterdir()
    end(run)
    until = time.monotonic() + 60
    while folder.exists():
        assert time.monotonic() < until, list(folder.rglob("*"))
        time.sleep(0.1)
    run.assert_complete(TOTAL)
    assert_empty(disk, seconds)


@on_slurm()
def a_block_ends_as_it_should(yard: Yard) -> None:
    disk, site = node_disk(yard)
    yard.run(SLEEP, site=site).assert_complete(TOTAL)
    assert_empty(disk)


@on_slurm()
def a_job_is_cancelled(yard: Yard) -> None:
    end_and_look(yard, lambda run: yard.cancel(run.jobs()[0]))


@on_slurm()
def all_processes_of_a_job_are_killed(yard: Yard) -> None:
    end_and_look(yard, lambda run: yard.cluster.run("scancel", "--full", "--signal=KILL", run.jobs()[0]))


@on_slurm()
def the_first_process_of_a_block_is_killed(yard: Yard) -> None:
    end_and_look(yard, lambda run: pool_of(run).kill())


@on_slurm()
def a_worker_of_a_block_is_killed(yard: Yard) -> None:
    disk, site = node_disk(yard)
    run = yard.run(SLEEP, site=site)
    run.wait_for_results(2)
    os.kill(run.events("finished")[-1]["pid"], signal.SIGKILL)
    run.assert_complete(TOTAL)
    assert_empty(disk)


@on_slurm()
def a_run_is_interrupted(yard: Yard) -> None:
    disk, site = node_disk(yard)
    run = yard.run(SLEEP, site=site)
    run.wait_for_results(2)
    run.signal(signal.SIGINT)
    assert run.end()[0] == 130
    assert_empty(disk)


@on_slurm()
def a_driver_is_killed(yard: Yard) -> None:
    disk, site = node_disk(yard)
    run = yard.run(SLEEP, site=site)
    run.wait_for_results(2)
    run.kill()
    assert_empty(disk, 90)  # its workers end when they have heard nothing for 30 s


@pytest.mark.parametrize("scenario", scenarios(globals()), ids=lambda one: one.name)
def test_nothing_is_left_on_a_node(campaign, scenario):
    campaign.result(scenario)
