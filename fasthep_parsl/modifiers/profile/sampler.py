"""Sampling profiler: a second thread records the stack of the first one at a fixed rate.

A sample costs about 20 µs for any code; a tracing profiler costs time per function call. A sample that is late, because
the code did not release the interpreter, counts for the time since the one before.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType

MAX_DEPTH = 60
"""Functions kept per stack, from the op on. Deeper ones count for the last one."""

Stack = tuple[CodeType, ...]
Look = Callable[[Stack, float], None]
"""Called with the functions below the op, outermost first, and the seconds that the sample counts for."""


class _Watch:
    """One call that is sampled."""

    def __init__(self, look: Look, within: CodeType, interval: float) -> None:
        self._look = look
        self._within = within
        self._interval = interval
        self._thread = threading.get_ident()
        self._last = time.perf_counter()
        self._lock = threading.Lock()
        self._over = False

    def tick(self) -> None:
        with self._lock:
            if self._over:
                return
            now = time.perf_counter()
            elapsed, self._last = now - self._last, now
            frame = sys._current_frames().get(self._thread)
            if frame is not None:
                self._look(_stack(frame, self._within), max(self._interval, elapsed))

    def end(self) -> None:
        with self._lock:
            self._over = True


class _Watcher(threading.Thread):
    """Takes samples while there is a watch. It is reused: starting a thread takes longer than many ops."""

    def __init__(self, interval: float) -> None:
        super().__init__(name="profile-sampler", daemon=True)
        self.pid = os.getpid()
        self.watch: _Watch | None = None
        self._interval = interval
        self._wake = threading.Event()

    def begin(self, watch: _Watch) -> None:
        self.watch = watch
        self._wake.set()

    def run(self) -> None:
        while True:
            if self.watch is None:
                self._wake.clear()
                self._wake.wait()
                time.sleep(self._interval * random.random())  # noqa: S311 - at no fixed time after the beginning
            else:
                time.sleep(self._interval)
            watch = self.watch
            if watch is not None:
                watch.tick()


_watchers: dict[tuple[str, float], _Watcher] = {}


@contextmanager
def watching(name: str, interval: float, within: CodeType, look: Look) -> Iterator[None]:
    """Sample the stack of this thread while the block runs.

    Parameters
    ----------
    name : str
        Watches with different names can be active at the same time.
    interval : float
        Seconds between two samples.
    within : code object
        Function whose callees are recorded. Its callers are left out.
    look : callable
        Called from another thread, never after the block has ended.
    """
    watcher = _watchers.get((name, interval))
    if watcher is None or watcher.pid != os.getpid():  # threads do not survive a fork
        watcher = _watchers[name, interval] = _Watcher(interval)
        watcher.start()
    watch = _Watch(look, within, interval)
    watcher.begin(watch)
    try:
        yield
    finally:
        watcher.watch = None
        watch.end()


def _stack(frame: FrameType | None, within: CodeType) -> Stack:
    found: list[CodeType] = []
    while frame is not None and frame.f_code is not within:
        found.append(frame.f_code)
        frame = frame.f_back
    found.reverse()
    return tuple(found[:MAX_DEPTH])
