"""Run the commands of a batch system, with a time limit. Nothing here raises."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from fasthep_parsl.interfaces import CommandResult
from fasthep_parsl.interfaces.scheduler_commands import TIMED_OUT

NOT_FOUND = 127
STEP = 0.05
"""Seconds between two checks of a running command."""
LINGER = 1.0
"""Seconds to wait for the output of a command that has ended: its children can keep the output open."""


def run(
    argv: Sequence[str],
    timeout: float,
    closing: threading.Event | None = None,
    environment: Mapping[str, str] | None = None,
) -> CommandResult:
    """Run a command and return its result; its children end with it.

    Parameters
    ----------
    argv : sequence of str
        Program and arguments.
    timeout : float
        Longest time, seconds.
    closing : threading.Event, optional
        Ends the command early when it is set.
    environment : mapping, optional
        Environment of the command; by default that of this process.
    """
    if closing is not None and closing.is_set():
        return CommandResult(TIMED_OUT, err=f"`{argv[0]}` was not run: the run ends")
    try:
        process = subprocess.Popen(  # noqa: S603  (the command line is ours)
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        return CommandResult(NOT_FOUND, err=f"{argv[0]}: {error.strerror or error}")
    until, ended = time.monotonic() + timeout, False
    while True:
        try:
            out, err = process.communicate(timeout=STEP)
        except subprocess.TimeoutExpired as so_far:
            now = time.monotonic()
            if not ended and process.poll() is not None:
                ended, until = True, now + LINGER
            if now < until and not (closing is not None and closing.is_set()):
                continue
            if ended:
                _close(process)
                return CommandResult(process.returncode, _text(so_far.stdout), _text(so_far.stderr))
            _kill(process)
            why = "was ended: the run ends" if now < until else f"has not answered for {timeout:g} s"
            return CommandResult(TIMED_OUT, err=f"`{argv[0]}` {why}")
        return CommandResult(process.returncode, out, err)


def _kill(process: subprocess.Popen[str]) -> None:
    try:
        os.killpg(process.pid, 9)
    except (ProcessLookupError, PermissionError):
        process.kill()
    with suppress(subprocess.TimeoutExpired):  # the kernel has not ended it yet; nothing more can be done
        process.wait(5)
    _close(process)


def _close(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _text(output: str | bytes | None) -> str:
    return output.decode(errors="replace") if isinstance(output, bytes) else output or ""
