"""Progress of a run as plain lines: one for each important change, and one from time to time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Self

from fasthep_parsl.driver.block_board import BlockBoard
from fasthep_parsl.driver.credential_board import CredentialBoard
from fasthep_parsl.driver.event_count import EventCount
from fasthep_parsl.driver.server_lines import server_line
from fasthep_parsl.events import BlockChanged, Event, PoolChanged, RunStarted
from fasthep_parsl.plan import Plan

SETTLED = 5.0
"""Seconds without a change before the states of jobs are printed."""


class ProgressLines:
    """A line for each important change, and one from time to time. A thread writes them; it starts as the bar does.

    Parameters
    ----------
    plan : Plan
        The plan.
    write : callable
        Writes a line.
    period : float
        Seconds between two lines if nothing happens.
    """

    def __init__(self, plan: Plan, write: Callable[[str], None], period: float) -> None:
        self._count = EventCount(plan)
        self._board = BlockBoard(plan)
        self._credentials = CredentialBoard()
        self._printed: dict[str, str] = {}
        self._changed: dict[str, tuple[str, float]] = {}
        self._write = write
        self._period = period
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
        """Show an event of the run."""
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
            self._print(self._count.line())
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
        self._write(f"{time.strftime('%H:%M:%S')} {text}")
