"""Time limit of a stage."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from fasthep_parsl.errors import FastHepError


class StageTimeoutError(FastHepError):
    """A stage took longer than its ``timeout``."""


@contextmanager
def deadline(seconds: float | None) -> Iterator[None]:
    """Raise `StageTimeoutError` in this thread after `seconds`."""
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(_signum: int, _frame: FrameType | None) -> None:
        raise StageTimeoutError(f"took longer than its timeout of {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
