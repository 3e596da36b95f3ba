"""Progress of a preparation: a bar for each step on a terminal, a line at its start elsewhere; its duration if it was long.

It uses no thread, because the backend may fork this process afterwards.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from rich.console import Console

if TYPE_CHECKING:
    from rich.progress import Progress

REFRESH_PERIOD = 0.1
"""Seconds between two refreshes of a bar."""
SLOW = 1.0
"""Seconds from which the end of a step has a line."""


class SetupSteps:
    """Shows the steps of a preparation on a console; call it with a text, the finished part and the whole.

    Parameters
    ----------
    console : Console
        The console.
    quiet : bool
        Print nothing.
    """

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._console = console
        self._quiet = quiet
        self._text = ""
        self._began = 0.0
        self._refreshed = 0.0
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._end(finished=False)

    def __call__(self, text: str, done: int, total: int) -> None:
        """Show how far a step is. A step ends when all of it is done, or another one begins."""
        if self._quiet:
            return
        if text != self._text:
            self._end()
            if total and done >= total:
                self._line(text)  # a note, or a step too short to measure
            elif text:
                self._begin(text)
        if not self._text:
            return
        if self._bar is not None and time.monotonic() >= self._refreshed + REFRESH_PERIOD:
            self._refreshed = time.monotonic()
            self._bar.update(self._bar.task_ids[0], completed=done, total=total or None, refresh=True)
        if total and done >= total:
            self._end()

    def _begin(self, text: str) -> None:
        self._text, self._began = text, time.monotonic()
        if not self._console.is_terminal:
            self._line(text)
            return
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TimeElapsedColumn(),
        )
        self._bar = Progress(*columns, console=self._console, transient=True, auto_refresh=False, expand=True)
        self._bar.add_task(text, total=None)
        self._bar.start()

    def _end(self, *, finished: bool = True) -> None:
        if self._bar is not None:
            self._bar.stop()
        seconds = time.monotonic() - self._began
        if self._text and finished and seconds >= SLOW:
            self._line(f"{self._text}: {seconds:.1f} s")
        self._text, self._bar = "", None

    def _line(self, text: str) -> None:
        stamp = "" if self._console.is_terminal else f"{time.strftime('%H:%M:%S')} "
        self._console.print(f"{stamp}{text}", markup=False, highlight=False, soft_wrap=True)
