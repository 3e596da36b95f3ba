"""The time limit for reading objects interrupts endless loops, and nothing else."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from fasthep_parsl.sources.time_limit import EndlessError, at_most


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


def test_it_is_said_even_if_it_is_swallowed():
    def deaf():
        while True:
            try:
                for _ in itertools.count():
                    pass
            except Exception:  # noqa: BLE001  (as libraries do)
                return

    with pytest.raises(EndlessError), at_most(0.05):
        deaf()


def test_a_profiler_runs_afterwards():
    code = (
        "import cProfile, itertools\n"
        "from fasthep_parsl.sources.time_limit import EndlessError, at_most\n"
        "try:\n"
        "    with at_most(0.05):\n"
        "        for _ in itertools.count():\n"
        "            pass\n"
        "except EndlessError:\n"
        "    cProfile.runctx('f()', {'f': lambda: print('ended')}, {})\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.startswith("ended")
