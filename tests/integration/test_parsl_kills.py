"""Local pools whose manager, block or interchange is killed again and again: the run ends with all its results."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from itertools import repeat
from random import Random

import numpy as np
import psutil
import pytest

import fasthep_parsl

VICTIMS = ("manager", "block", "interchange")
AXES = [{"name": "x", "source": "x", "type": "regular", "bins": {"nbins": 10, "low": 0, "high": 200}}]


@pytest.fixture
def run(write_flow, tmp_path, records):
    """Run `Sleep`, `Hist` and `Sum`; nothing may be left when it returns."""

    def start(seconds, chunk_size=1, backend="parsl", observer=None):
        stages = ("Sleep", "fault.sleep", {"seconds": seconds}), ("Hist", "hep.hist", {"axes": AXES})
        flow = write_flow(tmp_path / backend, *stages)
        overrides = [f"execution.backend={backend}"]
        outcome = fasthep_parsl.run(
            flow, outdir=tmp_path / backend / "run", chunk_size=chunk_size, plots=False, check=False,
            observer=observer, overrides=overrides,
        )  # fmt: skip
        if backend == "parsl":
            records(tmp_path / backend / "run").assert_nothing_left()
        return outcome

    return start


@pytest.fixture
def oracle(run):
    """The results of backend `local`."""
    return run(0.0, chunk_size=25, backend="local")


def assert_same_results(outcome, oracle):
    assert (outcome.status, outcome.exit_code) == ("complete", 0), outcome.error
    assert outcome.products.keys() == oracle.products.keys()
    assert outcome.products["Sum", "sum"] == oracle.products["Sum", "sum"] == 200 * 199 // 2
    values = [found.products["Hist", "hist"].hist.values(flow=True) for found in (outcome, oracle)]
    assert np.array_equal(*values)
    assert values[0].sum() == 200


class Killer:
    """Kill processes of a local pool, as told by the events of its run.

    Parameters
    ----------
    when : str
        State of a pool (`starting`, `up`) or block (`submitted`) in which a victim is killed.
    victims : iterator of str
        ``manager`` (the first process of a block), ``block`` (all of its processes) or ``interchange``.
    delays : iterator of float
        Seconds between the state and the kill.
    """

    def __init__(self, when, victims, delays):
        self.killed = []
        self._when, self._victims, self._delays = when, victims, delays
        self._pids, self._timer = {}, None
        self._dead = set()

    def __call__(self, event):
        if event.kind == "pool" and event.state == "starting":
            self._pids["interchange"] = event.interchange
        if event.kind == "block" and event.state == "submitted":
            self._pids["manager"] = self._pids["block"] = event.pid
        waits = self._timer is not None and self._timer.is_alive()
        if event.kind in ("pool", "block") and event.state == self._when and not waits:
            victim = next(self._victims, None)
            if victim is not None:
                self._timer = threading.Timer(next(self._delays), self.kill, [victim])
                self._timer.daemon = True
                self._timer.start()

    def kill(self, victim):
        pid = self._pids.get(victim)
        if pid is None:
            return
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            assert psutil.Process(pid).ppid() == os.getpid(), "another process has this number now"
            (os.killpg if victim == "block" else os.kill)(pid, signal.SIGKILL)
            self.killed.append(victim)


@pytest.mark.parametrize("seed", [1])
def test_random_kills_cost_no_event(run, oracle, seed):
    random = Random(seed)
    victims = iter([*random.sample(VICTIMS, 3), *random.choices(VICTIMS, k=4)])
    killer = Killer("up", victims, iter(lambda: random.uniform(0, 4), None))
    outcome = run(0.2, observer=killer)
    assert len(killer.killed) >= 6
    assert set(killer.killed) == set(VICTIMS)
    assert_same_results(outcome, oracle)


def test_a_kill_every_ten_seconds_costs_no_event(run, oracle):
    """By the clock, whatever the pool is doing: also while it comes up, or before a bundle has finished."""
    random = Random(3)
    killer = Killer("up", iter(()), iter(()))
    done = threading.Event()

    def by_the_clock():
        while not done.wait(10):
            killer.kill(random.choice(VICTIMS))

    clock = threading.Thread(target=by_the_clock, daemon=True)
    clock.start()
    try:
        outcome = run(0.5, observer=killer)
    finally:
        done.set()
        clock.join()
    assert len(killer.killed) >= 6
    assert_same_results(outcome, oracle)


@pytest.mark.parametrize("victim", VICTIMS)
def test_what_dies_twice_while_it_comes_up_costs_no_event(run, oracle, victim):
    when = "starting" if victim == "interchange" else "submitted"
    killer = Killer(when, iter([victim] * 2), repeat(0.0))
    outcome = run(0.0, chunk_size=25, observer=killer)
    assert killer.killed == [victim] * 2
    assert_same_results(outcome, oracle)


def test_an_interchange_that_dies_again_and_again_is_replaced(run, oracle):
    """More often than may happen without progress before any worker has connected."""
    killer = Killer("up", iter(["interchange"] * 5), repeat(0.0))
    outcome = run(0.05, observer=killer)
    assert killer.killed == ["interchange"] * 5
    assert_same_results(outcome, oracle)


def test_an_interchange_that_never_lives_is_given_up(run):
    killer = Killer("starting", repeat("interchange"), repeat(0.0))
    outcome = run(0.0, chunk_size=25, observer=killer)
    assert (outcome.status, outcome.exit_code) == ("failed", 1)
    assert len(killer.killed) == 4
    assert "its interchange died (exit code -9)" in outcome.error
