"""The scaling policy of a local pool on a simulated machine: killed blocks are replaced at once, what cannot work ends."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fasthep_parsl.blocks.block_state import BlockManagers
from fasthep_parsl.blocks.local_scaling import policy_of
from fasthep_parsl.interfaces import Job
from fasthep_parsl.plan import PlanPool

TICK, ASK = 0.5, 5.0
"""Seconds: between two decisions, between two questions to the interchange when no workers are expected."""
WORKERS = 2


@dataclass
class Block:
    """Processes on the simulated machine."""

    up_at: float
    dies_at: float
    alive: bool = True
    connected: bool = False


class Machine:
    """A machine, its interchange and tasks. `tick` does what a running pool does.

    Parameters
    ----------
    seed : int
        Of the times that blocks take to come up.
    tasks : int
        Tasks to run.
    start_up : tuple of float
        Seconds that a block takes to come up: least and most.
    lifetime : float
        Seconds after which a block dies, whether it is up or not.
    known_good : bool
        Whether workers have connected before.
    seconds : float
        Time that a task takes.
    """

    def __init__(self, seed, tasks, start_up=(1.0, 6.0), lifetime=float("inf"), known_good=False, seconds=2.0):
        self.policy = policy_of(PlanPool(name="here", workers=WORKERS))
        self.policy.known_good = known_good
        self.random = Random(seed)
        self.start_up, self.lifetime, self.seconds = start_up, lifetime, seconds
        self.now, self.asked = 0.0, -ASK
        self.blocks, self.tasks, self.done = {}, tasks, 0.0
        self.submissions = deque()
        self.gave_up = ""

    @property
    def finished(self):
        return int(self.done)

    def kill(self):
        """Kill what runs; return whether something did."""
        running = [block for block in self.blocks.values() if block.alive]
        for block in running:
            block.alive = block.connected = False
        return bool(running)

    def tick(self):
        self.now += TICK
        for block in self.blocks.values():
            if block.alive and self.now >= block.dies_at:
                block.alive = block.connected = False
            block.connected = block.connected or (block.alive and self.now >= block.up_at)
            if block.connected:
                self.done = min(self.done + TICK * WORKERS / self.seconds, self.tasks)
        self._look()
        decision = self.policy.decide(self.tasks - self.finished, self.now, self.finished)
        self.gave_up = decision.give_up
        assert not decision.hold
        for number in decision.remove:
            self.blocks[number].alive = self.blocks[number].connected = False
        for _ in range(decision.submit):
            self._submit()
        assert sum(block.alive for block in self.blocks.values()) <= 1

    def _look(self):
        policy = self.policy
        starting = any(block.phase == "starting" for block in policy.alive())
        if starting or self.now >= self.asked + ASK:
            self.asked = self.now
            connected = [number for number, block in self.blocks.items() if block.connected]
            policy.see_managers({n: BlockManagers((f"m{n}",), WORKERS) for n in connected}, self.now)
        asked = policy.question(self.now)
        jobs = {b.job: Job(b.job, "running" if self.blocks[b.number].alive else "ended") for b in asked}
        policy.see_jobs(jobs, self.now, [block.number for block in asked])

    def _submit(self):
        number = len(self.blocks)
        self.blocks[number] = Block(self.now + self.random.uniform(*self.start_up), self.now + self.lifetime)
        self.policy.submitted(number, str(number), self.now)
        self.submissions.append(self.now)
        while self.submissions[0] <= self.now - 60:
            self.submissions.popleft()
        assert len(self.submissions) <= 20, "too many blocks in a minute"

    def run(self, seconds, until=lambda machine: machine.gave_up):
        """Let time pass until something has happened; return how many seconds that took."""
        began = self.now
        while not until(self):
            assert self.now < began + seconds, "it did not happen"
            self.tick()
        return self.now - began


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), period=st.floats(10.0, 60.0), kills=st.integers(0, 100))
def test_kills_every_ten_seconds_never_end_a_pool(seed, period, kills):
    machine = Machine(seed, tasks=500)
    left, due = kills, period
    while machine.finished < machine.tasks:
        if left and machine.now >= due:
            left, due = left - machine.kill(), due + period
        machine.tick()
        assert not machine.gave_up
        assert machine.now < 20_000


@pytest.mark.parametrize("after", [5.0, 7.5, 60.0])
def test_a_killed_block_is_replaced_at_once(after):
    machine = Machine(1, tasks=500, start_up=(2.0, 2.0))
    machine.run(10, until=lambda m: m.blocks and m.blocks[0].connected)
    machine.run(after + 1, until=lambda m: m.now >= after)
    machine.kill()
    assert machine.run(5, until=lambda m: len(m.blocks) == 2) <= TICK
    assert [event.state for event in machine.policy.events].count("lost") == 1


def test_blocks_that_die_while_they_come_up_end_a_pool_that_never_worked_within_seconds():
    machine = Machine(1, tasks=10, start_up=(5.0, 5.0), lifetime=0.4)
    assert machine.run(10) < 5
    assert machine.gave_up == "its blocks fail before any worker connects"
    assert len(machine.blocks) == 3


def test_two_kills_while_a_pool_comes_up_do_not_end_it():
    machine = Machine(1, tasks=50, start_up=(3.0, 3.0))
    for number in range(2):
        machine.run(20, until=lambda m, n=number: len(m.blocks) == n + 1)
        machine.kill()
    machine.run(200, until=lambda m: m.finished == m.tasks)
    assert len(machine.blocks) == 3


def test_workers_that_never_connect_end_a_pool_after_one_deadline():
    machine = Machine(1, tasks=10, start_up=(1e9, 1e9))
    assert 120 <= machine.run(200) < 125
    assert machine.gave_up == "its workers do not come up"
    assert len(machine.blocks) == 1


def test_a_slow_worker_init_is_waited_for():
    machine = Machine(1, tasks=10, start_up=(110.0, 110.0))
    machine.run(200, until=lambda m: m.finished == m.tasks)
    assert len(machine.blocks) == 1


def test_an_environment_that_breaks_during_the_run_ends_it():
    machine = Machine(1, tasks=10, start_up=(5.0, 5.0), lifetime=0.4, known_good=True)
    assert 60 < machine.run(600) < 300
    assert machine.gave_up == "its blocks fail before any worker connects"
    assert len(machine.blocks) == 10


def test_blocks_that_die_of_every_task_end_a_pool():
    """The driver gives up a task that has lost its block 12 times; this is the end for a run of such tasks only."""
    machine = Machine(1, tasks=10, start_up=(1.0, 1.0), lifetime=3.0, seconds=1e9)
    machine.run(1000)
    assert machine.gave_up == "it has lost 40 blocks in a row, and no task has finished in between"


def test_idle_blocks_stay():
    machine = Machine(1, tasks=10)
    machine.run(100, until=lambda m: m.finished == m.tasks)
    machine.run(3700, until=lambda m: m.now > 3600)
    assert machine.blocks[0].connected
    assert len(machine.blocks) == 1
