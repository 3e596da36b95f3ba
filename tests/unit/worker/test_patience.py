"""The limit for reading objects: what never ends is stopped, and nothing else is."""

from __future__ import annotations

import itertools
import time
from contextlib import suppress

import pytest

from fasthep_parsl.worker.patience import EndlessError, at_most


def test_what_never_ends_is_stopped():
    with pytest.raises(EndlessError), at_most(0.1):
        for _ in itertools.count():
            pass


def test_waiting_is_not_work():
    with at_most(0.05):
        time.sleep(0.3)


def test_nothing_comes_after_the_end():
    def work(seconds):
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass

    for _ in range(5):  # the end of the work and that of patience are as close as can be
        with suppress(EndlessError), at_most(0.05):
            work(0.05)
    work(0.1)
