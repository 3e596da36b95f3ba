"""Monitor of a pool's blocks: ask the provider and the interchange about them, and carry out what the scaling policy decides."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, TypedDict

from parsl.executors import HighThroughputExecutor
from parsl.executors.high_throughput.errors import CommandClientBadError, CommandClientTimeoutError

from fasthep_parsl.backends.parsl.interchange import FORGET_BLOCK
from fasthep_parsl.backends.parsl.provider_base import BlockProvider
from fasthep_parsl.blocks.block_state import BlockManagers, BlockState
from fasthep_parsl.blocks.local_scaling import policy_of
from fasthep_parsl.errors import PoolError
from fasthep_parsl.events import BlockChanged, BlockStateName, NodeRefused, Record
from fasthep_parsl.interfaces import Job

LOOK_PERIOD = 5.0
"""Seconds between two searches for refused nodes of blocks with several nodes."""
AGAIN = 10.0
"""Seconds until jobs that could not be removed are tried again."""
LAST_CHANCE = 90.0
"""Seconds at the end of a run in which its jobs must be removed. After that they are left, and reported."""
LAST_TIMEOUT = 20.0
"""Seconds that one command may take then."""

_OWN = re.compile(r"fasthep-parsl: block \d+ on node \S+: ")
"""Prefix of our own messages in the output of a block. Without it, equal failures have equal messages."""


class Manager(TypedDict):
    """One manager in Parsl's answer to ``MANAGERS``."""

    manager: str
    block_id: str
    worker_count: int
    tasks: int
    idle_duration: float
    active: bool
    draining: bool


class BlockMonitor:
    """Keep the blocks that a pool should have, for one executor.

    Parameters
    ----------
    executor : HighThroughputExecutor
        The executor.
    blocks : BlockProvider
        Its provider.
    record : callable
        Writes to the run's event log.

    Attributes
    ----------
    changes : int
        Number of changes of blocks so far.
    """

    def __init__(self, executor: HighThroughputExecutor, blocks: BlockProvider, record: Record) -> None:
        self._executor = executor
        self._blocks = blocks
        self._record = record
        self._local = blocks.pool.block is None
        self._policy = policy_of(blocks.pool)
        self._block_managers: dict[int, BlockManagers] = {}
        self._doomed: dict[str, int] = {}
        self._closed: set[str] = set()
        self._refused: set[tuple[int, str]] = set()
        self._look = self._again = 0.0
        self._next = 0
        self.changes = 0

    @property
    def connected(self) -> bool:
        """Whether workers have ever connected."""
        return any(block.was_up for block in self._policy.blocks.values())

    @property
    def expects_workers(self) -> bool:
        """Whether workers are about to connect, so that the interchange should be asked often."""
        return not self.connected or (self._local and any(b.phase == "starting" for b in self._policy.alive()))

    @property
    def unclear(self) -> bool:
        """Whether something is about to be noticed or repeated, so that the blocks should be looked at soon."""
        alive = self._policy.alive()
        return bool(self._doomed) or any(block.lost or block.held for block in alive) or self._blocks.dying

    def start(self, *, proven: bool) -> None:
        """Start the blocks of this machine; those of a batch system are submitted by the first `act`.

        Parameters
        ----------
        proven : bool
            Whether workers of this pool have connected before in this run.
        """
        self._policy.known_good = proven
        if self._local:
            self.act(1, 0)

    def update(self, managers: list[Manager]) -> None:
        """Update the blocks from the interchange's managers."""
        self._block_managers = _block_managers(managers)
        self._policy.see_managers(self._block_managers, time.monotonic())

    def act(self, open_tasks: int, finished: int) -> None:
        """Query, submit and remove blocks as the policy decides.

        Parameters
        ----------
        open_tasks : int
            Tasks of the pool that have not ended.
        finished : int
            Tasks that have finished so far.

        Raises
        ------
        PoolError
            The pool cannot work. The message has the last output of the batch system or of a block.
        """
        now = time.monotonic()
        self._ask(now)
        if now >= self._look:
            self._look = now + LOOK_PERIOD
            self._see_refused([block for block in self._policy.alive() if block.was_up], now)
        decision = self._policy.decide(open_tasks, now, finished)
        for number in decision.hold:
            self._hold(number)
        for number in decision.remove:
            self._doomed[self._blocks.jobs_by_block[number]] = number
        self._report()
        if decision.give_up:
            raise PoolError(self._complaint(decision.give_up))
        self._remove(now)
        if decision.submit:
            for number, job in self._blocks.find_again().items():
                self._policy.submitted(number, job, time.monotonic())
                decision = replace(decision, submit=decision.submit - 1)
        for _ in range(decision.submit):
            if not self._submit():
                break
        self._report()

    def _ask(self, now: float) -> None:
        asked = self._policy.question(now)
        found = self._blocks.query([block.job for block in asked]) if asked else None
        if found is None:
            return
        now = time.monotonic()
        for block in asked:
            job = found.get(block.job)
            if job is None or job.state == "ended":
                written = self._blocks.post_mortem(block.number)
                if job or not self._policy.is_new(block.number, now) or (written and written.state == "ended"):
                    found[block.job] = self._end_of(block.number, block.job, job, written)
        self._policy.see_jobs(found, now, [block.number for block in asked])
        self._see_refused([block for block in asked if block.phase == "over"], now)
        if self._blocks.ends_are_certain:
            for block in asked:
                if block.phase == "over":
                    self._command([FORGET_BLOCK, str(block.number)])

    def _see_refused(self, blocks: Iterable[BlockState], now: float) -> None:
        """Record the nodes of blocks that were refused. The policy counts the node of a failed block itself."""
        for block in blocks:
            for node, reason in self._blocks.refused_nodes(block.number).items():
                if (block.number, node) in self._refused:
                    continue
                self._refused.add((block.number, node))
                self._record(NodeRefused(pool=self._blocks.pool.name, block=block.number, node=node, message=reason))
                if block.phase != "over" or node != block.node:
                    self._policy.node_refused(node, now)

    def _end_of(self, block: int, job: str, reported: Job | None, written: Job | None) -> Job:
        """Return what is known about the end of a block, from the query and from what the batch system has written."""
        node = (reported.node if reported else "") or (written.node if written else "") or self._blocks.node_of(block)
        reason = (reported.reason if reported else "") or (written.reason if written else "")
        return Job(job, "ended", node, reason)

    def _hold(self, number: int) -> None:
        """Make the interchange give no more tasks to a block."""
        for name in self._block_managers[number].names if number in self._block_managers else ():
            if not self._command(["HOLD_MANAGER", name]):
                return

    def _command(self, message: list[str]) -> bool:
        """Send a command to the interchange; return whether it has answered. The lifecycle notices if it is dead."""
        try:
            self._executor.command_client.run(message, timeout_s=LAST_TIMEOUT)
        except (CommandClientBadError, CommandClientTimeoutError):
            return False
        return True

    def _submit(self) -> bool:
        """Submit a block; return whether another one may be tried now."""
        self._blocks.avoid = self._policy.avoid
        number, self._next = self._next, self._next + 1
        outcome = self._blocks.submit_block(number)
        now = time.monotonic()
        if not outcome.job:
            self._policy.refused(outcome.message, now, transient=outcome.transient)
            return False
        self._policy.submitted(number, outcome.job, now)
        return True

    def _remove(self, now: float) -> None:
        if self._doomed and now >= self._again:
            if self._blocks.remove(list(self._doomed)).ok:
                for job, number in self._doomed.items():
                    self._record_block("removed", number, job)
                self._doomed.clear()
            else:
                self._again = time.monotonic() + AGAIN

    def _report(self) -> None:
        for event in self._policy.events:
            block = self._policy.blocks.get(event.block)
            node = (block.node or self._blocks.node_of(block.number)) if block else ""
            stderr = self._blocks.errors_of(event.block, 3) if event.state == "failed" else ""
            self._record_block(
                event.state,
                event.block,
                block.job if block else "",
                node=node,
                message="\n".join(text for text in (event.message, _OWN.sub("", stderr)) if text),
            )
        self._policy.events.clear()

    def _record_block(self, state: BlockStateName, block: int, job: str, **facts: Any) -> None:
        self.changes += 1
        identity: dict[str, Any] = {"pid": int(job)} if self._local and job else {"job": job}
        self._record(BlockChanged(pool=self._blocks.pool.name, state=state, block=block, **identity, **facts))

    def _complaint(self, why: str) -> str:
        ended = [block for block in self._policy.blocks.values() if block.phase == "over"]
        text = f"pool `{self._blocks.pool.name}`: {why}"
        if ended:
            last = ended[-1]
            place = f" on {last.node}" if last.node else ""
            what = "process" if self._local else "job"
            stderr = self._blocks.errors_of(last.number)
            text += f"\nthe last one ({what} {last.job}{place}): {last.reason or 'ended'}"
            text += f"\n{stderr}" if stderr else ""
        return text

    # --- the end ------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Remove all blocks. Those that cannot be removed in time are recorded as left."""
        self._blocks.close()
        self._blocks.find_again()
        jobs = {block.job: block.number for block in self._policy.alive()} | self._doomed
        new = {job: number for number, job in self._blocks.jobs_by_block.items() if number not in self._policy.blocks}
        jobs |= new  # submitted while the pool's thread was ending
        jobs = {job: number for job, number in jobs.items() if job not in self._closed}
        self._closed |= set(jobs)  # a second call does not try again
        self._doomed = {}
        until = time.monotonic() + LAST_CHANCE
        while jobs and not self._blocks.remove(list(jobs), LAST_TIMEOUT).ok:
            if time.monotonic() > until:
                for job, number in jobs.items():
                    self._record_block("left", number, job, message="could not be removed")
                return
            time.sleep(2)
        for job, number in jobs.items():
            self._record_block("removed", number, job)


def _block_managers(managers: list[Manager]) -> dict[int, BlockManagers]:
    """Return block number → its managers, summed up."""
    found: dict[int, list[Manager]] = defaultdict(list)
    for manager in managers:
        if str(manager["block_id"]).isdigit():
            found[int(manager["block_id"])].append(manager)
    return {
        number: BlockManagers(
            tuple(m["manager"] for m in of_block),
            sum(m["tasks"] for m in of_block),
            min(m["idle_duration"] for m in of_block),
            all(m["draining"] for m in of_block),
        )
        for number, of_block in found.items()
    }
