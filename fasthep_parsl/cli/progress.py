"""Progress of a run: a bar with rate and time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from rich.console import Console

from fasthep_parsl.events import Observer
from fasthep_parsl.plan import Plan

PLAIN_PERIOD = 30.0
"""Seconds between two lines without a terminal."""


@contextlib.contextmanager
def make_progress(plan: Plan, console: Console, *, quiet: bool) -> Iterator[Observer | None]:
    """Yield what takes in the events of a run and shows them on `console`."""
    if quiet:
        yield None
    elif console.is_terminal:
        with _bar(plan, console) as observer:
            yield observer
    else:
        yield _Plain(plan, console)


class _Count:
    """Events done, over all segments that read events."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.reading = [s.id for s in plan.segments if s.scope == "partition" and not s.input]
        self.total = plan.entries * len(self.reading)
        self.done = 0
        self.failed = 0
        self.lost = 0

    def take(self, event: dict[str, Any]) -> None:
        kind = event["kind"]
        if kind == "finished" and event["segment"] in self.reading and event["what"] == "map":
            self.done += event["events"]
        elif kind == "failed":
            self.failed += 1
        elif kind == "lost":
            self.lost += 1

    def trouble(self) -> str:
        parts = [f"{self.failed} failed"] if self.failed else []
        parts += [f"{self.lost} lost, run again"] if self.lost else []
        return ", ".join(parts)


@contextlib.contextmanager
def _bar(plan: Plan, console: Console) -> Iterator[Observer]:
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    count = _Count(plan)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[trouble]}", style="red"),
    )
    with Progress(*columns, console=console, transient=True, refresh_per_second=4) as progress:
        bar = progress.add_task("starting workers", total=count.total or None, rate="", trouble="")
        began = 0.0

        def observe(event: dict[str, Any]) -> None:
            nonlocal began
            count.take(event)
            if event["kind"] == "submitted" and not began:
                began = time.monotonic()
            if event["kind"] == "finished":
                rate = f"{count.done / max(time.monotonic() - began, 1e-9) / 1000:,.0f} k events/s"
                stages = plan.segments[event["segment"]].stages
                name = stages[0] if len(stages) == 1 else f"{stages[0]} … {stages[-1]}"
                progress.update(bar, completed=count.done, rate=rate, trouble=count.trouble(), description=name)

        yield observe


class _Plain:
    """One line when something changes that matters, and from time to time."""

    def __init__(self, plan: Plan, console: Console) -> None:
        self._count = _Count(plan)
        self._console = console
        self._next = time.monotonic() + PLAIN_PERIOD
        self._began = time.monotonic()

    def __call__(self, event: dict[str, Any]) -> None:
        self._count.take(event)
        now = time.monotonic()
        if event["kind"] == "pool":
            self._print(f"pool {event['pool']}: {event['state']}")
        elif now >= self._next:
            self._next = now + PLAIN_PERIOD
            count = self._count
            rate = count.done / max(now - self._began, 1e-9)
            left = f"{(count.total - count.done) / rate:.0f} s left" if rate else "waiting"
            parts = [f"{count.done:,}/{count.total:,} events", f"{rate:,.0f}/s", left, count.trouble()]
            self._print(" · ".join(part for part in parts if part))

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)
