"""What happens to the jobs of a run, in words: how many wait and why, and each trouble once."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

from fasthep_parsl.events import BlockChanged, Event
from fasthep_parsl.plan import Plan

TROUBLE = ("refused", "failed", "lost", "left")


@dataclass
class _Block:
    phase: str = "waiting"
    reason: str = ""


class BlockBoard:
    """Follows the blocks of all pools; fed with the events of a run.

    Parameters
    ----------
    plan : Plan
        The plan.
    """

    def __init__(self, plan: Plan) -> None:
        self._queues = {pool.name: pool.block.queue for pool in plan.pools if pool.block}
        self._blocks: defaultdict[str, dict[str, _Block]] = defaultdict(dict)
        self._told: Counter[tuple[str, str, str]] = Counter()
        self._repeated: dict[tuple[str, str, str], int] = {}

    def take(self, event: Event) -> str:
        """Take in an event; return a line if it is a trouble that was not told yet, else nothing."""
        if not isinstance(event, BlockChanged) or event.pool not in self._queues:
            return ""
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
        return self._trouble(event) if state in TROUBLE else ""

    def _trouble(self, event: BlockChanged) -> str:
        """Return a line for a trouble; the same one again is only counted."""
        pool, state = event.pool, event.state
        message = " ".join(event.message.split())
        key = (pool, state, message)
        self._told[key] += 1
        if self._told[key] > 1:
            self._repeated[key] = self._told[key]
            return ""
        if state == "refused":
            return f"pool {pool}: a job was refused: {message}"
        where = f" on {event.node}" if event.node else ""
        what = {"failed": "has failed", "lost": "was lost", "left": "is left in the queue"}[state]
        again = ", its tasks run again" if state == "lost" else ""
        return f"pool {pool}: job {event.job}{where} {what}{f': {message}' if message else ''}{again}"

    def repeated(self) -> list[str]:
        """Return a line for each trouble that has come again since this was last asked."""
        lines = [
            f"pool {pool}: {count} jobs {'were ' if state in ('refused', 'lost') else ''}{state} so far: {message}"
            for (pool, state, message), count in self._repeated.items()
        ]
        self._repeated.clear()
        return lines

    def pools(self) -> dict[str, str]:
        """Return pool → what its jobs do, for pools of which not all jobs are up.

        For instance ``pool high_memory: 1 job waits in queue highmem (Resources), 0 up``.
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
                parts.append(f"{_jobs(phases['waiting'])} wait{'s' if phases['waiting'] == 1 else ''}{queue}{reason}")
            if phases["starting"]:
                parts.append(f"{_jobs(phases['starting'])} starting")
            if parts:
                found[pool] = f"pool {pool}: {', '.join(parts)}, {phases['up']} up"
        return found


def _jobs(count: int) -> str:
    return f"{count} job{'' if count == 1 else 's'}"
