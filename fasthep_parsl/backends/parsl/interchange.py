"""The interchange of a pool: Parsl's, but it ends with the driver, and loses the tasks of a dead block at once.

Parsl's interchange outlives a killed driver and keeps its workers, and their nodes, for hours (Parsl/parsl#3663). The kernel
sends the signal when the *thread* that started the process ends, so that thread must not end before. The process is started
by its module, not from PATH, which also works in an environment that is not activated. Arguments: process number of the
driver, file for the output.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import sys
from typing import Any

PR_SET_PDEATHSIG = 1
"""From linux/prctl.h: deliver a signal to this process when its parent dies."""
POLL = 5000
"""Milliseconds after which an interchange without messages looks for lost managers. A message wakes it up at once."""
FORGET_BLOCK = "FORGET_BLOCK"
"""Command ``[FORGET_BLOCK, block]``: no process of this block is left; its tasks are lost."""


def die_with_parent(parent: int, sign: int = signal.SIGKILL) -> None:
    """Let the kernel send `sign` to this process when the process `parent` dies. Without prctl, do nothing."""
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, sign, 0, 0, 0)
    except (AttributeError, OSError):  # not Linux
        return
    if os.getppid() != parent:  # it died before the call
        sys.exit(1)


def _write_to(path: str) -> None:
    """Send what this process prints to a file, not to the user's terminal."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


class _Received:
    """A command that was received already, with the socket that takes the reply."""

    def __init__(self, socket: Any, command: Any) -> None:
        self._command = command
        self.send_pyobj = socket.send_pyobj

    def recv_pyobj(self) -> Any:
        return self._command


def pool_interchange() -> type:
    """Return the class of the interchange; Parsl is imported only where one runs."""
    import zmq
    from parsl.executors.high_throughput.interchange import Interchange

    class PoolInterchange(Interchange):  # type: ignore[misc]  # Parsl is not typed
        """Parsl's interchange with one command more."""

        command_channel: Any

        def process_command(self, monitoring_radio: Any) -> None:
            """Answer a command of the driver."""
            channel: Any = self.command_channel
            if self.socks.get(channel) != zmq.POLLIN:
                return
            command = channel.recv_pyobj()
            if isinstance(command, list) and command[0] == FORGET_BLOCK:
                self._forget(command[1])
                channel.send_pyobj(None)
                return
            self.command_channel = _Received(channel, command)
            self.socks[self.command_channel] = zmq.POLLIN
            try:
                super().process_command(monitoring_radio)
            finally:
                self.command_channel = channel

        def _forget(self, block: str) -> None:
            """Let the managers of a block expire now, not after 30 s without heartbeats."""
            for manager in self._ready_managers.values():
                if manager["block_id"] == block:
                    manager["last_heartbeat"] = 0.0

    return PoolInterchange


def _name_process() -> None:
    """Give the process the name that Parsl gives it."""
    from parsl.utils import setproctitle

    setproctitle("parsl: HTEX interchange")


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides what Ctrl-C ends, and in which order
    die_with_parent(int(sys.argv[1]))
    _write_to(sys.argv[2])
    _name_process()
    configuration = pickle.load(sys.stdin.buffer)  # noqa: S301  (the driver writes it)
    pool_interchange()(**{**configuration, "poll_period": POLL}).start()
