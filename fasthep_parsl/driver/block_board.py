"""Status lines about the jobs of a run: how many wait and why, and each problem once."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

from fasthep_parsl.events import BlockChanged, Event
from fasthep_parsl.plan import Plan
from fasthep_parsl.resources.units import counted

PROBLEMS = ("refused", "failed", "lost", "left")
"""States that are reported."""


@dataclass
class _Block:
    phase: str = "waiting"
    reason: str = ""


class BlockBoard:
    """States of the blocks of all pools, from the events of a run.

    Parameters
    ----------
    plan : Plan
        The plan.
    """

    def __init__(self, plan: Plan) -> None:
        self._queues = {pool.name: pool.block.queue for pool in plan.pools if pool.block}
        self._blocks: defaultdict[str, dict[str, _Block]] = defaultdict(dict)
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._repeated: dict[tuple[str, str, str], int] = {}

    def add(self, event: Event) -> str:
        """Add an event; return a line if it is a new problem, else ``""``."""
        if not isinstance(event, BlockChanged):
            return ""
        if event.pool in self._queues:
            self._follow(event)
        return self._problem(event) if event.state in PROBLEMS else ""

    def _follow(self, event: BlockChanged) -> None:
        state, job = event.state, event.job
        blocks = self._blocks[event.pool]
        if state == "submitted":
            blocks[job] = _Block()
        elif event.final or state == "retiring":
            blocks.pop(job, None)
        elif job in blocks:
            if state in ("running", "up", "waiting"):
                blocks[job].phase = {"running": "starting"}.get(state, state)
            blocks[job].reason = event.message if state == "waiting" else ""

    def _problem(self, event: BlockChanged) -> str:
        """Return a line for a problem; a problem that occurs again is only counted."""
        pool, state = event.pool, event.state
        message = " ".join(event.message.split())
        key = (pool, state, message)
        self._counts[key] += 1
        if self._counts[key] > 1:
            self._repeated[key] = self._counts[key]
            return ""
        if state == "refused":
            return f"pool {pool}: a {self._noun(pool)} was refused: {message}"
        where = f" on {event.node}" if event.node else ""
        what = {"failed": "has failed", "lost": "was lost", "left": "is left in the queue"}[state]
        again = ", its tasks run again" if state == "lost" else ""
        name = f"{self._noun(pool)} {event.job or event.block}"
        return f"pool {pool}: {name}{where} {what}{f': {message}' if message else ''}{again}"

    def _noun(self, pool: str) -> str:
        return "job" if pool in self._queues else "block"

    def repeated(self) -> list[str]:
        """Return a line for each problem that has occurred again since the last call."""
        lines = [
            f"pool {pool}: {count} {self._noun(pool)}s {'were ' if state in ('refused', 'lost') else ''}{state} so far: "
            f"{message}"
            for (pool, state, message), count in self._repeated.items()
        ]
        self._repeated.clear()
        return lines

    def pools(self) -> dict[str, str]:
        """Return pool → the states of its jobs, for pools whose jobs are not all up.

        Example: ``pool high_memory: 1 job waits in queue highmem (Resources), 0 up``.
        """
        found = {}
        for pool, blocks in self._blocks.items():
            phases = Counter(block.phase for block in blocks.values())
            parts = []
            if phases["waiting"]:
                queue = f" in queue {self._queues[pool]}" if self._queues[pool] else ""
                reasons = Counter(
                    block.reason for block in blocks.values() if block.phase == "waiting" and block.reason
                )
                reason = f" ({', '.join(text for text, _ in reasons.most_common(2))})" if reasons else ""
                parts.append(
                    f"{counted(phases['waiting'], 'job')} wait{'s' if phases['waiting'] == 1 else ''}{queue}{reason}"
                )
            if phases["starting"]:
                parts.append(f"{counted(phases['starting'], 'job')} starting")
            if parts:
                found[pool] = f"pool {pool}: {', '.join(parts)}, {phases['up']} up"
        return found
