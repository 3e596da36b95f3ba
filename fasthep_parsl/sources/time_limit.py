"""A limit for reading objects: a class that is not understood makes loops over lengths that are none, for hours."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class EndlessError(Exception):
    """Something took more CPU time than it may."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise `EndlessError` here as soon as this thread has spent so many seconds of CPU time.

    It is raised between two steps of Python; what one call into a library takes is not cut short.
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

    threading.Thread(target=watch, name="patience", daemon=True).start()
    try:
        yield
    finally:
        with lock:
            done.set()
        if fired:
            _let_it_come()
    if fired:
        raise EndlessError  # it came too late, or somebody on its way has swallowed it


def _raise_in(thread: int, error: type[BaseException]) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error))


def _let_it_come() -> None:
    """Return when an exception for this thread has been raised: if it does not come here, it must not come later.

    Taking it back is no way: Python 3.11 then looks for it before each step for ever, and hangs under `cProfile`.
    """
    with suppress(EndlessError):
        for _ in range(100):
            time.sleep(0)
