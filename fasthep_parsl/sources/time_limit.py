"""CPU time limit for a block of code. Reading objects of an unknown class can loop over wrong lengths for hours."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class EndlessError(Exception):
    """The time limit was exceeded."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise `EndlessError` in the block once this thread has used so many seconds of CPU time.

    The error is raised between two steps of Python. It does not interrupt a call into a library.
    """
    thread = threading.get_ident()
    clock = time.pthread_getcpuclockid(thread)
    end = time.clock_gettime(clock) + seconds
    done = threading.Event()
    lock = threading.Lock()
    fired = False

    def watch() -> None:
        nonlocal fired
        while not done.wait(max(end - time.clock_gettime(clock), 0.05)):
            with lock:
                if done.is_set():
                    return
                if time.clock_gettime(clock) >= end:
                    fired = True
                    _raise_in(thread, EndlessError)
                    return

    threading.Thread(target=watch, name="time-limit", daemon=True).start()
    try:
        yield
    finally:
        with lock:
            done.set()
        if fired:
            _receive()
    if fired:
        raise EndlessError  # it came too late, or was caught on its way


def _raise_in(thread: int, error: type[BaseException]) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error))


def _receive() -> None:
    """Wait until the pending exception of this thread was raised, so that it is not raised later.

    It cannot be withdrawn: Python 3.11 would check for it before each step, and hang under `cProfile`.
    """
    with suppress(EndlessError):
        for _ in range(100):
            time.sleep(0)
