"""What looks after the blocks of a pool, and what it needs of them: on this machine here, on a batch system in ``batch``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Protocol, TypedDict

from parsl.executors import HighThroughputExecutor

from fasthep_parsl.blocks.worker_command import HEARTBEAT_THRESHOLD, Link
from fasthep_parsl.plan import PlanPool

START_DEADLINE = 120.0
"""Seconds that local workers may take to connect; a `worker_init` may be slow, but not for ever."""


class Manager(TypedDict):
    """What the interchange says of one node's workers; Parsl's answer to ``MANAGERS``."""

    manager: str
    block_id: str
    worker_count: int
    tasks: int
    idle_duration: float
    active: bool
    draining: bool


class BlockMonitor(Protocol):
    """Sees to it that a pool has the blocks that it should have."""

    connected: bool
    """Whether workers have ever connected."""

    def start(self, *, proven: bool) -> None:
        """Bring up the first blocks, if they should be there from the start.

        Parameters
        ----------
        proven : bool
            Whether workers of this pool have connected before in this run: then it is not given up.
        """

    def trouble(self) -> str:
        """Return why the executor must be started anew because of its blocks, empty if it need not."""

    def see(self, managers: list[Manager]) -> None:
        """Take in what the interchange says."""

    def act(self, open_tasks: int) -> None:
        """Do what is to be done now; called every half second while there is no trouble.

        Parameters
        ----------
        open_tasks : int
            Tasks of the pool that have not ended.

        Raises
        ------
        PoolError
            The pool cannot work.
        """

    def close(self) -> None:
        """End all blocks."""


class Blocks(Protocol):
    """A provider of Parsl that can be watched."""

    log_dir: Path

    def watch(self, executor: HighThroughputExecutor) -> BlockMonitor:
        """Return what looks after the blocks of `executor`."""

    def prepare(self, link: Link) -> str:
        """Prepare blocks for an executor that has started; return the command that Parsl launches for a block."""

    def jobs(self) -> list[Any]:
        """Return the ids of all blocks that were not cancelled."""

    def errors(self) -> str:
        """Return the last lines that the latest block wrote to standard error."""


class LocalMonitor:
    """Replaces blocks of this machine that have ended.

    Parameters
    ----------
    pool : PlanPool
        The pool.
    executor : HighThroughputExecutor
        Its executor.
    blocks : LocalProvider
        Its provider.
    """

    def __init__(self, pool: PlanPool, executor: HighThroughputExecutor, blocks: Any) -> None:
        self.connected = False
        self._pool = pool
        self._executor = executor
        self._blocks = blocks
        self._began = self._contact = time.monotonic()

    def start(self, *, proven: bool) -> None:
        """Start all blocks: nothing is to be waited for on one's own machine."""
        del proven
        self._executor.scale_out_facade(self._pool.blocks)

    def trouble(self) -> str:
        """Return whether all blocks have ended or are silent."""
        codes = self._blocks.ended()
        now = time.monotonic()
        if None not in codes:
            return (
                f"all its blocks have ended (exit code {', '.join(str(c) for c in codes) or 'none could be started'})"
            )
        if not self.connected and now > self._began + START_DEADLINE:
            return f"no worker has connected within {START_DEADLINE:g} s"
        if self.connected and now > self._contact + HEARTBEAT_THRESHOLD:
            return f"its workers have had no contact for {now - self._contact:.0f} s"
        return ""

    def see(self, managers: list[Manager]) -> None:
        """Take in what the interchange says."""
        if managers:
            self.connected, self._contact = True, time.monotonic()

    def act(self, open_tasks: int) -> None:
        """Start a block for each that has ended while others run."""
        del open_tasks
        ended = self._blocks.ended()
        lost = sum(code is not None for code in ended)
        missing = self._pool.blocks - (len(ended) - lost)
        if lost and missing > 0:
            self._executor.scale_out_facade(missing)

    def close(self) -> None:
        """End all blocks."""
        self._blocks.close()
