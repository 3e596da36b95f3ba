"""How far a run is: events done, tasks lost, rate and time left, from its events."""

from __future__ import annotations

import time

from fasthep_parsl.events import Event, PartitionFailed, TaskFinished, TaskLost
from fasthep_parsl.plan import Plan


class EventCount:
    """Events done, over all segments that read events.

    Parameters
    ----------
    plan : Plan
        The plan.

    Attributes
    ----------
    total, done : int
        Events in the plan and done; each segment that reads events counts them.
    failed, lost : int
        Partitions that have failed, and tasks that were lost and run again.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._reading = [s.id for s in plan.segments if s.scope == "partition" and not s.input]
        self.total = plan.entries * len(self._reading)
        self.done = 0
        self.failed = 0
        self.lost = 0
        self._began = time.monotonic()

    def add(self, event: Event) -> None:
        """Count an event of the run."""
        if isinstance(event, TaskFinished) and event.segment in self._reading and event.what == "map":
            self.done += event.events
        elif isinstance(event, PartitionFailed):
            self.failed += 1
        elif isinstance(event, TaskLost):
            self.lost += 1

    def problems(self) -> str:
        """Return what has failed or was lost; empty if nothing."""
        parts = [f"{self.failed} failed"] if self.failed else []
        parts += [f"{self.lost} lost, run again"] if self.lost else []
        return ", ".join(parts)

    def line(self) -> str:
        """Return events done, rate, time left and problems."""
        seconds = time.monotonic() - self._began
        left = f"{(self.total - self.done) / (self.done / seconds):,.0f} s left" if self.done else "waiting"
        left = left if self.done < self.total else "other stages continue"
        parts = [f"{self.done:,} of {self.total:,} events", rate_text(self.done, seconds), left, self.problems()]
        return " · ".join(part for part in parts if part)


def rate_text(events: int, seconds: float) -> str:
    """Return events per second with the unit."""
    rate = events / max(seconds, 1e-9)
    return f"{rate / 1000:,.0f} k events/s" if rate >= 10_000 else f"{rate:,.0f} events/s"
