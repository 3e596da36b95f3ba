"""Displays of the progress of `run` in Python: the base, which shows nothing, and lines."""

from __future__ import annotations

import sys
from typing import Self

from fasthep_parsl.driver.outcome import RunOutcome
from fasthep_parsl.driver.progress_lines import ProgressLines
from fasthep_parsl.events import Observer
from fasthep_parsl.plan import Plan

PERIOD = 10.0
"""Seconds between two lines if nothing happens."""


class RunDisplay:
    """A display that shows nothing. Displays are context managers."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Stop; called with the exception if there is one."""

    def headers(self, done: int, total: int) -> None:
        """Show how many headers of input files are read."""

    def preparing(self, text: str, part: int, whole: int) -> None:
        """Show how far the software of workers is; an empty text when it is ready."""

    def follow(self, plan: Plan) -> Observer | None:  # noqa: ARG002 - displays that show something need it
        """Return what shows the events of a run of this plan."""
        return None

    def end(self, outcome: RunOutcome) -> None:
        """Show how the run has ended."""


class LineDisplay(RunDisplay):
    """Lines on stderr."""

    def __init__(self) -> None:
        self._lines: ProgressLines | None = None

    def __exit__(self, *error: object) -> None:
        if self._lines is not None:
            self._lines.__exit__(*error)
            self._lines = None

    def follow(self, plan: Plan) -> Observer:
        """Return what shows the events of a run of this plan."""
        self._lines = ProgressLines(plan, _write, PERIOD)
        return self._lines

    def end(self, outcome: RunOutcome) -> None:
        """Show how the run has ended."""
        self.__exit__()
        _write(outcome.last_line)


def _write(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201
