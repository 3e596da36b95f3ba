"""Pytest fixtures: an HTCondor pool of several machines."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NoReturn

import pytest

from services.condor import CondorPool
from services.condor_records import CondorUnavailableError


def unavailable(reason: str) -> NoReturn:
    """Skip the test; fail it where all services are promised."""
    if os.environ.get("FASTHEP_REQUIRE_SERVICES") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@contextmanager
def used(pool: CondorPool) -> Iterator[CondorPool]:
    """Let this process and its children use `pool`; afterwards all of it works and no job is left, or this fails."""
    before = {name: os.environ.get(name) for name in pool.env}
    pool.commands.forget()
    os.environ.update(pool.env)
    try:
        yield pool
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        pool.repair()
        left = pool.sweep()
    if left:
        pytest.fail("jobs left in the queue:\n" + "\n".join(map(str, left)), pytrace=False)


@pytest.fixture(scope="session")
def make_condor_pool(tmp_path_factory) -> Iterator[Callable[..., CondorPool]]:
    """Start pools with other options (those of `CondorPool`); they stop with the session."""
    with ExitStack() as pools:

        def make(**options: Any) -> CondorPool:
            pool = CondorPool(tmp_path_factory.mktemp("condor"), **options)
            try:
                return pools.enter_context(pool)
            except CondorUnavailableError as error:
                unavailable(str(error))

        yield make


@pytest.fixture(scope="session")
def condor_pool(make_condor_pool) -> CondorPool:
    """A pool of the usual nodes, one for all tests; `used` lets a module use it as a whole."""
    return make_condor_pool()


@pytest.fixture
def condor(condor_pool) -> Iterator[CondorPool]:
    """The pool, whose commands this process finds; a job that is left in the queue fails the test."""
    with used(condor_pool):
        yield condor_pool
