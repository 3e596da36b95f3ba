"""Count the jobs of a run from its events: numbers, times in the queue, and jobs that may still exist."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median
from typing import Any

from fasthep_parsl.events import BlockChanged, Event


@dataclass(frozen=True, slots=True)
class OpenJob:
    """A job that may still exist.

    Attributes
    ----------
    job : str
        Its id.
    pool : str
        Its pool.
    block : int
        Its number in the pool.
    left : bool
        Whether the run could not remove it.
    """

    job: str
    pool: str
    block: int = -1
    left: bool = False


@dataclass
class _Pool:
    submitted: int = 0
    refused: int = 0
    failed: int = 0
    lost: int = 0
    queued: list[float] = field(default_factory=list)
    nodes: set[str] = field(default_factory=set)


class JobTally:
    """Sums over events of blocks; call it with each event."""

    def __init__(self) -> None:
        self._pools: defaultdict[str, _Pool] = defaultdict(_Pool)
        self._open: dict[str, OpenJob] = {}
        self._since: dict[str, datetime] = {}

    def __call__(self, event: Event) -> None:
        """Add an event; only those of blocks count."""
        if not isinstance(event, BlockChanged):
            return
        state, job, pool = event.state, event.job, self._pools[event.pool]
        if event.node:
            pool.nodes.add(event.node)
        if event.pid is not None:  # a block of this machine is not a job
            return
        if state == "submitted":
            pool.submitted += 1
            self._open[job] = OpenJob(job, event.pool, event.block)
            self._since[job] = event.when
        elif state in ("running", "up") and job in self._since:
            pool.queued.append((event.when - self._since.pop(job)).total_seconds())
        elif state in ("refused", "failed", "lost"):
            setattr(pool, state, getattr(pool, state) + 1)
        elif state == "left":
            self._open[job] = OpenJob(job, event.pool, event.block, left=True)
        elif event.gone:
            self._open.pop(job, None)

    def open_jobs(self) -> list[OpenJob]:
        """Return the jobs that may still exist."""
        return list(self._open.values())

    def left(self) -> list[OpenJob]:
        """Return the jobs that the run could not remove."""
        return [job for job in self._open.values() if job.left]

    def queued(self, pool: str) -> list[float]:
        """Return the times that the jobs of a pool waited in the queue, s."""
        return list(self._pools[pool].queued) if pool in self._pools else []

    def summary(self, pool: str) -> dict[str, Any]:
        """Return the entry of ``run.json`` for the jobs of a pool; times in seconds."""
        found = self._pools.get(pool, _Pool())
        return {
            "jobs": {
                "submitted": found.submitted,
                "refused": found.refused,
                "failed": found.failed,
                "lost": found.lost,
                "left": sum(job.pool == pool for job in self.left()),
            },
            "queued_seconds": round(median(found.queued), 3) if found.queued else None,
            "nodes": sorted(found.nodes),
        }
