"""Scaling policy of a pool: decide how many blocks to submit, hold and remove. Pure; the caller passes the time.

A block is *waiting* (submitted, in the queue), *starting* (runs, no worker has connected), *up* (workers connected),
*retiring* (gets no more tasks, ends when it has none) or over. The policy combines two sources: the states that the
provider reports, which batch systems may report minutes late, and the managers that send heartbeats to the interchange.
If they disagree, a manager that sends heartbeats is right.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from fasthep_parsl.blocks.backoff import BATCH_LIMITS, Backoff, Limits
from fasthep_parsl.blocks.block_state import BlockEvent, BlockManagers, BlockState, Decision
from fasthep_parsl.blocks.worker_command import drain_period
from fasthep_parsl.events import BlockStateName
from fasthep_parsl.interfaces import Job
from fasthep_parsl.plan import PlanPool

SEEN_LATE = 10.0
"""Seconds between the time a block came up and the time the interchange was asked, at most."""
GRACE = 5.0
"""Seconds from the loss of a block's managers until its job counts as dead."""
PARDON = 1800.0
"""Seconds after the last failure on a node until it is used again: nodes are repaired, and there may be no other."""
LAG = 20.0
"""Seconds in which a batch system may not list a job that it has just accepted."""
QUESTIONS = 6
"""Most questions in a minute, unless `scaling.poll` asks for more."""
UNKNOWN_TASKS = -1
"""Number of tasks of a block that starts to retire: it may have got one since the interchange was last asked."""


@dataclass
class ScalingPolicy:
    """Decide about the blocks of a pool.

    Parameters
    ----------
    pool : PlanPool
        The pool.
    known_good : bool
        Whether workers of this pool have ever connected in this run.
    limits : Limits
        When to wait and when to give up.
    """

    pool: PlanPool
    known_good: bool = False
    limits: Limits = BATCH_LIMITS
    blocks: dict[int, BlockState] = field(default_factory=dict)
    failed_nodes: Counter[str] = field(default_factory=Counter)
    events: list[BlockEvent] = field(default_factory=list)
    _failed_at: dict[str, float] = field(default_factory=dict)
    _questions: deque[float] = field(default_factory=deque)
    _surplus_since: float | None = None
    _suspicion: bool = False

    @cached_property
    def backoff(self) -> Backoff:
        """How fast blocks may be submitted."""
        return Backoff(self.pool.scaling, self.limits)

    @cached_property
    def _drain(self) -> float:
        """Seconds after which a block gets no more tasks, less `SEEN_LATE`."""
        return (drain_period(self.pool) or math.inf) - SEEN_LATE

    # --- blocks ----------------------------------------------------------------------------------------------

    def alive(self) -> list[BlockState]:
        """Return blocks that are not over."""
        return [block for block in self.blocks.values() if block.phase != "over"]

    def useful(self) -> list[BlockState]:
        """Return blocks that have, or will have, workers that take tasks."""
        return [block for block in self.alive() if block.phase != "retiring"]

    @property
    def avoid(self) -> tuple[str, ...]:
        """Nodes on which too many blocks have failed."""
        limit = self.pool.scaling.failures_per_node
        return tuple(sorted(node for node, count in self.failed_nodes.items() if node and count >= limit))

    # --- observations ---------------------------------------------------------------------------------------

    def submitted(self, number: int, job: str, now: float) -> None:
        """Add a block that was submitted."""
        self.blocks[number] = BlockState(number, job, now)
        self.backoff.submitted(now)
        self._record(number, "submitted")

    def refused(self, message: str, now: float, *, transient: bool) -> None:
        """Count a submission that failed: the batch system did not answer (`transient`) or refused it."""
        if transient:
            self.backoff.unanswered(message, now)
        else:
            alone, avoided = not self.alive(), bool(self.avoid)
            self.backoff.refused(message, now, counts=not avoided, alone=alone)
            if alone and avoided:  # there may be no other nodes
                self.failed_nodes.clear()
        self.events.append(BlockEvent(-1, "refused", message))

    def see_managers(self, managers: Mapping[int, BlockManagers], now: float) -> None:
        """Update the blocks from the interchange's view of their managers."""
        for block in self.alive():
            of_block = managers.get(block.number)
            if of_block is None:
                if not block.was_up:
                    block.tasks = 0
                    block.overdue = block.phase == "starting" and now > block.started + self.pool.scaling.start
                elif not block.lost:
                    block.lost = now
                    if block.phase != "retiring" and now > block.up + self._drain:  # it has finished its tasks
                        block.phase = "retiring"
                        self._record(block.number, "draining", "its time is over")
                    self._suspicion = self._suspicion or block.phase != "retiring"
                else:
                    block.overdue = now >= block.lost + GRACE
                continue
            block.tasks, block.idle, block.lost, block.overdue = of_block.tasks, of_block.idle, 0.0, False
            if not block.was_up:
                block.was_up = self.known_good = True
                block.up = now
                self.backoff.worked()
                self._record(block.number, "up")
                if block.phase == "retiring":  # it came up after all, and may have tasks
                    block.phase = "up"
            if block.phase != "retiring":
                block.phase = "retiring" if of_block.draining else "up"
                if of_block.draining:
                    self._record(block.number, "draining", "its time is nearly over")

    def see_jobs(self, jobs: Mapping[str, Job], now: float, asked: Iterable[int]) -> None:
        """Update the blocks `asked` from the provider's answer. A job that is missing has ended, unless it is new."""
        self.backoff.reached()
        for number in asked:
            block = self.blocks[number]
            job = jobs.get(block.job)
            if block.phase == "over" or (job is None and self.is_new(number, now)):
                continue
            if job is None or job.state == "ended":
                self._over(block, job.node if job else "", job.reason if job else "", now)
                continue
            block.node = job.node or block.node
            if job.state == "held":
                block.held, block.reason = True, f"held: {job.reason}"
            elif job.state == "running" and block.phase == "waiting":
                block.phase, block.started = "starting", now
                self._record(number, "running", block.node)
            elif job.state == "pending":
                if job.reason != block.reason and job.reason not in {"", "None"}:
                    self._record(number, "waiting", job.reason)
                block.reason = job.reason
                if block.phase == "starting":  # vacated before a worker came
                    block.phase = "waiting"

    def is_new(self, number: int, now: float) -> bool:
        """Return whether a block was submitted so recently that its batch system may not list it yet."""
        return now < self.blocks[number].submitted + LAG

    def _over(self, block: BlockState, node: str, reason: str, now: float) -> None:
        block.node, block.reason = node or block.node, reason or block.reason
        expected = block.phase == "retiring"
        if block.was_up and not expected and now <= block.up + self._drain:
            self.backoff.lost()
        block.phase = "over"
        if expected or (block.was_up and not block.tasks and not block.lost):
            self._record(block.number, "ended", block.reason)
        elif block.was_up:
            self._record(block.number, "lost", block.reason)
        else:
            self._failed(block, now)

    def node_refused(self, node: str, now: float) -> None:
        """Count a node on which no workers start, whatever becomes of the block."""
        self.failed_nodes[node] += 1
        self._failed_at[node] = now

    def _failed(self, block: BlockState, now: float, *, missed_deadline: bool = False) -> None:
        """Count a block that ended, or was stuck, before any of its workers connected."""
        block.phase = "over"
        self.node_refused(block.node, now)
        self.backoff.failed(block.submitted, now, missed_deadline=missed_deadline)
        self._record(block.number, "failed", block.reason)

    def _record(self, block: int, state: BlockStateName, message: str = "") -> None:
        self.events.append(BlockEvent(block, state, message))

    # --- decisions ------------------------------------------------------------------------------------------

    def question(self, now: float) -> list[BlockState]:
        """Return the blocks that the provider should be asked about now.

        Blocks whose workers send heartbeats are left out. There is one question per `scaling.poll` seconds in the long
        run, and at most six in any minute, or one per `scaling.poll` if the user asks for more than that. If
        `scaling.poll` is 0, questions cost nothing, and all blocks are returned.
        """
        poll = self.pool.scaling.poll
        if not poll:
            return self.alive()
        while self._questions and self._questions[0] < now - 60:
            self._questions.popleft()
        unclear = [b for b in self.alive() if b.phase in {"waiting", "starting"} or b.lost]
        often = poll < 60 / QUESTIONS
        if not unclear or (len(self._questions) >= QUESTIONS and not often):
            return []
        fresh = any(now - b.submitted < 60 for b in unclear) and not often
        # five in the first minute; one is left for lost managers
        wait = min(5.0, poll) if self._suspicion else poll / (2.5 if fresh else 1)
        if self._questions and now - self._questions[-1] < wait:
            return []
        self._questions.append(now)
        self._suspicion = False
        return unclear

    def decide(self, open_tasks: int, now: float, finished: int = 0) -> Decision:
        """Return how many blocks to submit, which to hold and remove, and whether to give up.

        Parameters
        ----------
        open_tasks : int
            Tasks of the pool that have not ended.
        now : float
            The time, seconds.
        finished : int
            Tasks of the pool that have finished so far.
        """
        self.backoff.finished(finished)
        for node in [node for node in self.failed_nodes if now > self._failed_at[node] + PARDON]:
            del self.failed_nodes[node]
        remove = self._dead(now)
        give_up = self._hopeless(now)
        wanted = self._wanted(open_tasks)
        hold = self._surplus(wanted, open_tasks, now)
        remove += [b for b in self.alive() if b.phase == "retiring" and not b.tasks]
        for block in remove:
            block.phase = "over"
        missing = wanted - len(self.useful())
        return Decision(
            0 if give_up else max(min(missing, self.backoff.allowed(now)), 0),
            tuple(hold),
            tuple(block.number for block in remove),
            give_up,
        )

    def _wanted(self, open_tasks: int) -> int:
        least = self.pool.scaling.min_blocks if open_tasks else 0
        return min(max(-(-open_tasks // self.pool.workers_per_block), least), self.pool.blocks)

    def _dead(self, now: float) -> list[BlockState]:
        """Return blocks that are of no use any more: held, silent, or never connected."""
        dead = []
        for block in self.alive():
            silent = block.overdue and block.was_up
            stuck = block.overdue and block.phase == "starting"  # neither up nor vacated since
            if block.held and block.was_up:
                self._record(block.number, "lost", block.reason)
            elif block.held or stuck:
                if not block.held:
                    block.reason = f"no worker has connected within {self.pool.scaling.start:g} s"
                self._failed(block, now, missed_deadline=stuck)
            elif silent:
                if block.phase != "retiring":
                    self.backoff.lost()
                    self._record(block.number, "lost", "no contact with its workers")
            else:
                continue
            dead.append(block)
        return dead

    def _surplus(self, wanted: int, open_tasks: int, now: float) -> list[int]:
        """Retire blocks that are not needed: idle ones, and those that wait; return those that were up."""
        spare = len(self.useful()) - max(wanted, self.pool.scaling.min_blocks if open_tasks else 0)
        idle = self.pool.scaling.idle
        if spare <= 0:
            self._surplus_since = None
            return []
        self._surplus_since = now if self._surplus_since is None else self._surplus_since
        useful = self.useful()
        chosen = [b for b in useful if b.phase == "up" and not b.tasks and not b.lost and b.idle >= idle]
        if now - self._surplus_since >= idle:  # the ones that would need longest to start go first
            coming = [b for phase in ("waiting", "starting") for b in reversed(useful) if b.phase == phase]
            chosen = coming + chosen
        chosen = chosen[:spare]
        for block in chosen:
            self._record(block.number, "retiring", "nothing left to do")
            block.phase = "retiring"
            block.tasks = UNKNOWN_TASKS
        return [block.number for block in chosen if block.was_up]

    def _hopeless(self, now: float) -> str:
        """Return why the pool must be given up, empty if it must not."""
        alive = self.alive()
        starting = any(block.phase == "starting" for block in alive)
        return self.backoff.exhausted(now, alive=bool(alive), starting=starting, known_good=self.known_good)
