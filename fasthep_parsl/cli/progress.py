"""Progress of a run: a bar with rate and time left on a terminal, plain lines elsewhere.

Both use a thread, which starts with the first pool or task: until then the backend may fork this process.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.text import Text

from fasthep_parsl.driver.block_board import BlockBoard
from fasthep_parsl.driver.credential_board import CredentialBoard
from fasthep_parsl.driver.event_count import EventCount, rate_text
from fasthep_parsl.driver.progress_lines import ProgressLines
from fasthep_parsl.driver.server_lines import server_line
from fasthep_parsl.events import (
    Event,
    Observer,
    PartitionFailed,
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

        def write(line: str) -> None:
            console.print(line, markup=False, highlight=False, soft_wrap=True)

        with ProgressLines(plan, write, PLAIN_PERIOD) as lines:
            yield lines


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

    count, board, credentials = EventCount(plan), BlockBoard(plan), CredentialBoard()

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
                rate=rate_text(count.done, time.monotonic() - began),
                problems=count.problems(),
                description=_shortened(plan.segments[event.segment].stages),
            )
        elif isinstance(event, PartitionFailed | TaskLost):
            progress.update(bar, problems=count.problems())

    try:
        yield observe
    finally:
        progress.stop()


def _shortened(stages: Sequence[str]) -> str:
    """Return the names of stages in at most `MAX_NAME` characters."""
    name = stages[0] if len(stages) == 1 else f"{stages[0]}…{stages[-1]}"
    return name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "…"
