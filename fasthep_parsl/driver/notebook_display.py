"""Progress of a run in a notebook: one output that changes while the run works. It needs no widgets."""

from __future__ import annotations

import contextvars
import html
import threading
import time
from collections import deque
from typing import Any, Self

from fasthep_parsl.driver.block_board import BlockBoard
from fasthep_parsl.driver.credential_board import CredentialBoard
from fasthep_parsl.driver.event_count import EventCount
from fasthep_parsl.driver.outcome import RunOutcome
from fasthep_parsl.driver.run_display import RunDisplay
from fasthep_parsl.driver.server_lines import server_line
from fasthep_parsl.events import Event, RunStarted, TaskSubmitted
from fasthep_parsl.plan import Plan
from fasthep_parsl.report.page import visible

PERIOD = 0.5
"""Seconds between two updates."""
STARTING = "starting workers"
MAX_NEWS = 5
"""Lines about problems; the first ones leave."""


class NotebookDisplay(RunDisplay):
    """The output of a cell while a run works. Use it as a context manager: without an outcome, it becomes empty.

    A thread writes it, which starts with the first pool or task: until then the backend may fork this process.
    """

    def __init__(self) -> None:
        from IPython.display import display

        self._text = "reading the workflow"
        self._count: EventCount | None = None
        self._board: BlockBoard | None = None
        self._credentials = CredentialBoard()
        self._news: deque[str] = deque(maxlen=MAX_NEWS)
        self._lock = threading.Lock()
        self._shown = time.monotonic()
        self._last: dict[str, str] = {}
        self._handle: Any = display(self._bundle(), raw=True, display_id=True)
        self._stop = threading.Event()
        context = contextvars.copy_context()  # it names the cell
        self._thread = threading.Thread(target=context.run, args=(self._tick,), name="notebook-display", daemon=True)

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        if any(error):
            self._handle.update({"text/plain": "", "text/html": ""}, raw=True)

    def headers(self, done: int, total: int) -> None:
        """Show how many headers of input files are read."""
        self._say(f"reading headers: {done:,} of {total:,} files")

    def preparing(self, text: str, part: int, whole: int) -> None:
        """Show how far the software of workers is; an empty text when it is ready."""
        self._say(f"{text} {100 * part / whole:.0f} %" if text and whole else text or STARTING)

    def _say(self, text: str) -> None:
        self._text = text
        if time.monotonic() >= self._shown + PERIOD:
            self._update()

    def follow(self, plan: Plan) -> Self:
        """Show the events of a run of this plan; return the observer."""
        self._count, self._board, self._text = EventCount(plan), BlockBoard(plan), STARTING
        return self

    def __call__(self, event: Event) -> None:
        """Show an event of the run."""
        with self._lock:
            if self._count is None or self._board is None:
                return
            self._count.add(event)
            news = self._board.add(event) or self._credentials.add(event) or server_line(event)
            if news:
                self._news.append(news)
            if isinstance(event, TaskSubmitted):
                self._text = ""
            if not isinstance(event, RunStarted) and self._thread.ident is None and not self._stop.is_set():
                self._thread.start()

    def end(self, outcome: RunOutcome) -> None:
        """Show how the run has ended, instead of its progress."""
        self.__exit__()
        self._handle.update(_bundle([outcome.last_line], None), raw=True)

    def _tick(self) -> None:
        while not self._stop.wait(PERIOD):
            self._update()

    def _update(self) -> None:
        self._shown = time.monotonic()
        with self._lock:
            shown = self._bundle()
        if shown != self._last:
            self._last = shown
            self._handle.update(shown, raw=True)

    def _bundle(self) -> dict[str, str]:
        if self._count is None or self._board is None:
            return _bundle([self._text], None)
        pools = [*self._board.pools().values(), *self._credentials.waiting()]
        part = self._count.done / self._count.total if self._count.total else None
        return _bundle([self._text or self._count.line(), *pools, *self._news], part)


def _bundle(lines: list[str], part: float | None) -> dict[str, str]:
    """Return lines as text, and as HTML with a bar."""
    bar = "" if part is None else f'<progress value="{part:.4f}" max="1" style="width:100%;max-width:40rem"></progress>'
    written = "<br>".join(html.escape(visible(line)) for line in lines)
    return {"text/plain": "\n".join(lines), "text/html": f"<div>{bar}<div>{written}</div></div>"}
