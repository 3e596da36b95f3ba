"""Fork of this process as a child process, so that imported libraries are not imported again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from typing import Protocol


class ChildProcess(Protocol):
    """Methods that `subprocess.Popen` and `Fork` have in common."""

    pid: int
    returncode: int | None

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; raise `subprocess.TimeoutExpired` if that takes longer than `timeout` seconds."""

    def terminate(self) -> None:
        """Send SIGTERM."""


def can_fork() -> bool:
    """Return whether a fork of this process is safe: on Linux, from the main thread, which is the only one.

    The XRootD client has threads that Python does not know: after a fork, its locks may stay closed for ever.
    """
    return (
        sys.platform == "linux"
        and "XRootD" not in sys.modules
        and threading.active_count() == 1
        and threading.current_thread() is threading.main_thread()
    )


class Fork:
    """A fork of this process, in a session of its own.

    Parameters
    ----------
    run : callable
        Function to run; the process ends when it returns.
    out, err : int
        File descriptors of its standard output and error.
    environment : mapping
        Added to its environment.
    keep : int
        One more file descriptor that stays open in it. All others of this process are closed.
    """

    def __init__(self, run: Callable[[], None], out: int, err: int, environment: Mapping[str, str], keep: int) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self.returncode: int | None = None
        self._lock = threading.Lock()
        with warnings.catch_warnings():
            # Python 3.12 counts threads of libraries, too. Those of OpenBLAS and jemalloc expect to be forked.
            warnings.filterwarnings("ignore", ".*multi-threaded", DeprecationWarning)
            self.pid = os.fork()
        if self.pid == 0:
            _be_child(run, out, err, environment, keep)

    def poll(self) -> int | None:
        """Return the exit code (negative: the signal that ended it), None while it runs."""
        with self._lock:
            if self.returncode is None:
                try:
                    pid, status = os.waitpid(self.pid, os.WNOHANG)
                except ChildProcessError:  # another wait has reaped it
                    self.returncode = -1
                else:
                    if pid:
                        self.returncode = os.waitstatus_to_exitcode(status)
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        Raises
        ------
        subprocess.TimeoutExpired
            It still runs after `timeout` seconds.
        """
        until = float("inf") if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() >= until:
                raise subprocess.TimeoutExpired("fork", timeout or 0.0)
            time.sleep(0.005)
        return code

    def terminate(self) -> None:
        """Send SIGTERM."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)


def _be_child(run: Callable[[], None], out: int, err: int, environment: Mapping[str, str], keep: int) -> None:
    """Run in the child. Never return."""
    code = 1
    try:
        os.setsid()
        for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(sign, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.closerange(3, keep)
        os.closerange(keep + 1, 4096)
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
        os.environ.update(environment)
        run()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001  (it must not go on as if it were the driver)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
