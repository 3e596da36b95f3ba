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
    """Skip the test; fail it if all services are required."""
    if os.environ.get("FASTHEP_REQUIRE_SERVICES") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@contextmanager
def used(pool: CondorPool) -> Iterator[CondorPool]:
    """Use `pool` in this process and its children. Fail if jobs are left afterwards."""
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
    """Start pools with other options of `CondorPool`; stop them at the end of the session."""
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
    """A pool with the default nodes, shared by all tests."""
    return make_condor_pool()


@pytest.fixture
def condor(condor_pool) -> Iterator[CondorPool]:
    """The pool, in use by this process. A job that is left in the queue fails the test."""
    with used(condor_pool):
        yield condor_pool
