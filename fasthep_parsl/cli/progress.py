"""Progress of a run: a bar with rate and time left on a terminal, plain lines elsewhere.

Both use a thread, which starts with the first pool or task: until then the backend may fork this process.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Self

from rich.console import Console, RenderableType
from rich.text import Text

from fasthep_parsl.cli.blocks import BlockBoard
from fasthep_parsl.cli.credential_lines import CredentialBoard
from fasthep_parsl.cli.server_lines import server_line
from fasthep_parsl.events import (
    BlockChanged,
    Event,
    Observer,
    PartitionFailed,
    PoolChanged,
    RunEnded,
    RunStarted,
    TaskFinished,
    TaskLost,
    TaskSubmitted,
)
from fasthep_parsl.plan import Plan

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

HEADER_PERIOD = 5.0
"""Seconds between two lines while headers are read."""
PLAIN_PERIOD = 30.0
"""Seconds between two lines without a terminal."""
SETTLED = 5.0
"""Seconds without a change before the states of jobs are printed."""
MAX_NAME = 24
"""Characters for the names of stages next to the bar."""


class HeaderLines:
    """A line from time to time while headers of many files are read. It uses no thread: planning may fork."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next = time.monotonic() + HEADER_PERIOD

    def __call__(self, done: int, total: int) -> None:
        """Print a line if the last one is old enough."""
        if time.monotonic() >= self._next and done < total:
            self._next = time.monotonic() + HEADER_PERIOD
            self._console.print(f"reading headers: {done:,} of {total:,} files", highlight=False, soft_wrap=True)


@contextlib.contextmanager
def make_progress(plan: Plan, console: Console, *, quiet: bool) -> Iterator[Observer | None]:
    """Yield an observer that shows the events of a run on `console`."""
    if quiet:
        yield None
    elif console.is_terminal:
        with _bar(plan, console) as bar:
            yield bar
    else:
        with _Plain(plan, console, PLAIN_PERIOD) as plain:
            yield plain


class _Count:
    """Events done, over all segments that read events."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.reading = [s.id for s in plan.segments if s.scope == "partition" and not s.input]
        self.total = plan.entries * len(self.reading)
        self.done = 0
        self.failed = 0
        self.lost = 0

    def add(self, event: Event) -> None:
        if isinstance(event, TaskFinished) and event.segment in self.reading and event.what == "map":
            self.done += event.events
        elif isinstance(event, PartitionFailed):
            self.failed += 1
        elif isinstance(event, TaskLost):
            self.lost += 1

    def problems(self) -> str:
        parts = [f"{self.failed} failed"] if self.failed else []
        parts += [f"{self.lost} lost, run again"] if self.lost else []
        return ", ".join(parts)


def _columns() -> tuple[ProgressColumn, ...]:
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

    return (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True),
        TextColumn("left"),
        TextColumn("{task.fields[problems]}", style="red"),
    )


@contextlib.contextmanager
def _bar(plan: Plan, console: Console) -> Iterator[Observer]:
    from rich.progress import Progress

    count, board, credentials = _Count(plan), BlockBoard(plan), CredentialBoard()

    class WithPools(Progress):
        """The bar, with a line below it for each pool whose jobs are not all up, and for what the user has to do."""

        def get_renderables(self) -> Iterable[RenderableType]:
            yield from super().get_renderables()
            for line in (*board.pools().values(), *credentials.waiting()):
                yield Text(line, style="yellow", overflow="ellipsis", no_wrap=True)

    progress = WithPools(*_columns(), console=console, transient=True, refresh_per_second=4, expand=True)
    bar = progress.add_task("starting workers", total=count.total or None, rate="", problems="")
    began = 0.0

    def observe(event: Event) -> None:
        nonlocal began
        count.add(event)
        problem, news = board.add(event), credentials.add(event) or server_line(event)
        if not isinstance(event, RunStarted):
            progress.start()
        lines = [(line, "red") for line in (problem, *(board.repeated() if isinstance(event, RunEnded) else ()))]
        for line, style in (*lines, (news, "yellow")):
            if line:
                progress.console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)
        if isinstance(event, TaskSubmitted) and not began:
            began = time.monotonic()
        if isinstance(event, TaskFinished):
            progress.update(
                bar,
                completed=count.done,
                rate=_rate(count.done, time.monotonic() - began),
                problems=count.problems(),
                description=_shortened(plan.segments[event.segment].stages),
            )
        elif isinstance(event, PartitionFailed | TaskLost):
            progress.update(bar, problems=count.problems())

    try:
        yield observe
    finally:
        progress.stop()


def _rate(events: int, seconds: float) -> str:
    rate = events / max(seconds, 1e-9)
    return f"{rate / 1000:,.0f} k events/s" if rate >= 10_000 else f"{rate:,.0f} events/s"


def _shortened(stages: Sequence[str]) -> str:
    """Return the names of stages in at most `MAX_NAME` characters."""
    name = stages[0] if len(stages) == 1 else f"{stages[0]}…{stages[-1]}"
    return name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "…"


class _Plain:
    """A line for each important change, and one from time to time."""

    def __init__(self, plan: Plan, console: Console, period: float) -> None:
        self._count = _Count(plan)
        self._board = BlockBoard(plan)
        self._credentials = CredentialBoard()
        self._printed: dict[str, str] = {}
        self._changed: dict[str, tuple[str, float]] = {}
        self._console = console
        self._period = period
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._stopped = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._tick, name="progress", daemon=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped = True
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join()

    def __call__(self, event: Event) -> None:
        self._count.add(event)
        if not isinstance(event, RunStarted) and self._thread.ident is None:
            self._thread.start()
        with self._lock:
            problem = self._board.add(event) or self._credentials.add(event) or server_line(event)
        if isinstance(event, BlockChanged):
            self._wake.set()
        if problem:
            self._print(problem)
        if isinstance(event, PoolChanged) and event.state != "ended":
            message = event.message.split("\n")[0]
            self._print(f"pool {event.pool}: {event.state}{f': {message}' if message else ''}")

    def _tick(self) -> None:
        after = time.monotonic() + self._period
        soon = False
        while True:
            pause = max(after - time.monotonic(), 0.0)
            self._wake.wait(min(1.0, pause) if soon else pause)
            self._wake.clear()
            if self._stopped:
                return
            soon = self._queues(time.monotonic())
            if time.monotonic() < after:
                continue
            after += self._period
            count, seconds = self._count, time.monotonic() - self._began
            left = f"{(count.total - count.done) / (count.done / seconds):,.0f} s left" if count.done else "waiting"
            left = left if count.done < count.total else "other stages continue"
            parts = [f"{count.done:,} of {count.total:,} events", _rate(count.done, seconds), left, count.problems()]
            self._print(" · ".join(part for part in parts if part))
            with self._lock:
                repeated = [*self._board.repeated(), *self._credentials.waiting()]
            for line in repeated:
                self._print(line)

    def _queues(self, now: float) -> bool:
        """Print why jobs wait, if that has not changed for some time; return whether that may be the case soon."""
        with self._lock:
            lines = self._board.pools()
        for pool in [pool for pool in self._printed if pool not in lines]:
            del self._printed[pool]
        for pool, line in lines.items():
            before, since = self._changed.get(pool, ("", now))
            if before != line:
                self._changed[pool] = (line, now)
            elif now >= since + SETTLED and self._printed.get(pool) != line:
                self._printed[pool] = line
                self._print(line)
        return self._printed != lines

    def _print(self, text: str) -> None:
        self._console.print(f"{time.strftime('%H:%M:%S')} {text}", markup=False, highlight=False, soft_wrap=True)
