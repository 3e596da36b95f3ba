"""Waiting without polls: threads of the driver sleep until something happens.

A thread that polls costs little on an idle machine and more on a busy one, where other programs have its code and data
driven out of the caches each time.
"""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Iterable
from multiprocessing.connection import Pipe
from typing import Any

import zmq

BLIND_PERIOD = 0.5
"""Seconds after which an alarm wakes up on systems that cannot wait for the end of a process (not Linux)."""


class Alarm:
    """Wakes up one thread, from others or when a process ends."""

    def __init__(self) -> None:
        self._reader, self._writer = Pipe(duplex=False)

    def ring(self) -> None:
        """Wake up the thread that waits, or the next one that does."""
        with contextlib.suppress(OSError):
            self._writer.send_bytes(b"")

    def wait(self, seconds: float, processes: Iterable[int]) -> None:
        """Return when `ring` is called, when one of `processes` ends, or after `seconds`.

        Parameters
        ----------
        seconds : float
            Longest time to wait.
        processes : iterable of int
            Children of this process that nobody has waited for. If somebody does meanwhile, its end may stay unnoticed.
        """
        poller = select.poll()
        poller.register(self._reader.fileno(), select.POLLIN)
        opened: list[int] = []
        try:
            for process in processes:
                try:
                    opened.append(os.pidfd_open(process))
                except (AttributeError, OSError):  # no such function, an old kernel, or the process has been waited for
                    seconds = min(seconds, BLIND_PERIOD)
                else:
                    poller.register(opened[-1], select.POLLIN)
            poller.poll(max(seconds, 0.0) * 1000)
        finally:
            for descriptor in opened:
                os.close(descriptor)
        while self._reader.poll(0.0):
            self._reader.recv_bytes()


class WakingResults:
    """Parsl's pipe of results, for a thread that waits until there is a result or the executor ends.

    Parsl's thread looks every few milliseconds whether its executor has ended.

    Parameters
    ----------
    pipe : ResultsIncoming
        Parsl's pipe.
    """

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe
        self._reader, self._writer = Pipe(duplex=False)
        self._poller = zmq.Poller()
        self._poller.register(pipe.results_receiver, zmq.POLLIN)
        self._poller.register(self._reader.fileno(), zmq.POLLIN)

    def get(self, timeout_ms: int | None = None) -> Any:
        """Return what Parsl's pipe returns for the next results (older versions: several at once), None after `wake`."""
        del timeout_ms
        ready = dict(self._poller.poll())
        return self._pipe.get(timeout_ms=0) if self._pipe.results_receiver in ready else None

    def wake(self) -> None:
        """Let `get` return at once from now on."""
        with contextlib.suppress(OSError):
            self._writer.send_bytes(b"")

    def close(self) -> None:
        """Close Parsl's pipe. Its thread must have ended."""
        self._pipe.close()
