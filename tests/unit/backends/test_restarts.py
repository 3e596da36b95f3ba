"""Restarts of an executor: a few at once, then after longer and longer waits, and not without end."""

from __future__ import annotations

import pytest

from fasthep_parsl.backends.parsl.restarts import Restarts


@pytest.mark.parametrize(("known_good", "most"), [(False, 3), (True, 10)])
def test_restarts_without_progress_end(known_good, most):
    restarts = Restarts()
    for _ in range(most):
        assert restarts.allowed(known_good=known_good)
        restarts.next_wait()
    assert not restarts.allowed(known_good=known_good)


def test_the_first_restarts_come_at_once_and_waits_are_bounded():
    restarts = Restarts()
    assert [restarts.next_wait() for _ in range(10)] == [0, 0, 0, 1, 2, 4, 8, 10, 10, 10]


def test_progress_forgets_restarts():
    restarts = Restarts()
    for _ in range(1000):
        assert restarts.allowed(known_good=False)
        assert restarts.next_wait() == 0
        restarts.reset()
