"""Pytest fixtures: Slurm clusters, without and with accounting."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NoReturn

import pytest

from services.slurm import SlurmCluster, SlurmError, SlurmOptions, missing_programs

MakeSlurm = Callable[..., SlurmCluster]


def unavailable(reason: str) -> NoReturn:
    """Skip the test; fail it if all services are required."""
    if os.environ.get("FASTHEP_REQUIRE_SERVICES") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@contextmanager
def used(cluster: SlurmCluster) -> Iterator[SlurmCluster]:
    """Use `cluster` in this process and its children, and count commands from zero.

    Afterwards all faults are undone, and this fails if a job is left in the queue.
    """
    cluster.commands.forget()
    try:
        with cluster.environment():
            yield cluster
    finally:
        cluster.restore()
        left = cluster.wait_until_empty(timeout=10)  # what was cancelled takes a moment to end
        cluster.cancel_all()
    if left:
        pytest.fail("jobs left in the queue:\n" + "\n".join(map(str, left)), pytrace=False)


@pytest.fixture(scope="session")
def make_slurm() -> Iterator[MakeSlurm]:
    """Return clusters with other options of `SlurmOptions`. Each is started once, and stopped at the end of the session."""
    made: dict[SlurmOptions, SlurmCluster] = {}
    with ExitStack() as clusters:

        def make(options: SlurmOptions | None = None, /, **changes) -> SlurmCluster:
            options = options or SlurmOptions(**changes)
            if options not in made:
                if missing := missing_programs(options):
                    unavailable(f"Slurm is not installed ({', '.join(missing)} not found): make services")
                cluster = SlurmCluster(options)
                try:
                    made[options] = cluster.start()
                except SlurmError as error:
                    unavailable(f"Slurm does not start here: {error}")
                clusters.callback(cluster.stop)
            return made[options]

        yield make


@pytest.fixture
def slurm(make_slurm) -> Iterator[SlurmCluster]:
    """A cluster without accounting (``sacct`` fails), in use; a job that is left in its queue fails the test."""
    with used(make_slurm()) as cluster:
        yield cluster


@pytest.fixture
def slurm_accounting(make_slurm) -> Iterator[SlurmCluster]:
    """A cluster with accounting, in use; a job that is left in its queue fails the test."""
    with used(make_slurm(accounting="dbd")) as cluster:
        yield cluster
