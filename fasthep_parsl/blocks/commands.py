"""Run the commands of a batch system: with a time limit, and without ever raising."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

NOT_FOUND = 127
TIMED_OUT = 124
STEP = 0.05
"""Seconds between two looks at a command that runs."""
LINGER = 1.0
"""Seconds that a command's output is waited for once it has ended: what it has started may hold it open."""
LONGEST_LINE = 500
"""Characters of a line that are repeated to the user."""
KEPT = frozenset({"SLURM_CONF", "SLURM_CLUSTERS", "SLURM_JWT"})
"""Variables of Slurm that say where it is and who we are."""
_DROPPED = ("SLURM_", "SBATCH_", "SQUEUE_", "SCANCEL_", "SINFO_")
"""The others describe the job that we may be in, and would change new ones; or they are the user's habits, which would
win over the lines of our scripts and hide jobs from us. What pays for jobs is kept, many sites have it set."""
_HABITS = frozenset({"SBATCH_ACCOUNT", "SBATCH_RESERVATION"})

_TRANSIENT = (
    "unable to contact",
    "communication",
    "connect",
    "timed out",
    "timeout",
    "temporar",
    "try again",
    "unavailable",
    "not responding",
    "socket",
    "failed to fetch ads",
    "can't find address",
    "authenticat",
    "in standby",
    "starting up",
    "zero bytes were transmitted",
    "too many requests",
)
"""Words (lower case) of a batch system that cannot be reached just now; what else it says is meant."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command has said.

    Attributes
    ----------
    code : int
        Exit code; 124 if it took too long, 127 if there is no such command.
    out, err : str
        Its output.
    """

    code: int
    out: str = ""
    err: str = ""

    @property
    def ok(self) -> bool:
        """Whether it succeeded."""
        return self.code == 0

    @property
    def words(self) -> str:
        """What it said about its failure, in at most five lines."""
        lines = [line[:LONGEST_LINE] for line in (self.err.strip() or self.out.strip()).splitlines()]
        return "\n".join(lines[-5:]) or f"exit code {self.code}"

    @property
    def transient(self) -> bool:
        """Whether asking again later may help: the batch system did not answer, rather than refuse."""
        said = re.sub(r"(?<!\w)/\S+", "", self.words.lower())  # the user's paths may hold any word
        return self.code == TIMED_OUT or self.code < 0 or any(word in said for word in _TRANSIENT)


def run(words: Sequence[str], timeout: float, closing: threading.Event | None = None) -> Answer:
    """Run a command and return what it says; its children end with it.

    Parameters
    ----------
    words : sequence of str
        Program and arguments.
    timeout : float
        Longest time, seconds.
    closing : threading.Event, optional
        Ends the command early when it is set.
    """
    if closing is not None and closing.is_set():
        return Answer(TIMED_OUT, err=f"`{words[0]}` was not run: the run ends")
    try:
        process = subprocess.Popen(  # noqa: S603  (our own words)
            list(words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=_environment(),
            start_new_session=True,
        )
    except OSError as error:
        return Answer(NOT_FOUND, err=f"{words[0]}: {error.strerror or error}")
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
                return Answer(process.returncode, _text(so_far.stdout), _text(so_far.stderr))
            _kill(process)
            why = "was ended: the run ends" if now < until else f"has not answered for {timeout:g} s"
            return Answer(TIMED_OUT, err=f"`{words[0]}` {why}")
        return Answer(process.returncode, out, err)


def _kill(process: subprocess.Popen[str]) -> None:
    try:
        os.killpg(process.pid, 9)
    except (ProcessLookupError, PermissionError):
        process.kill()
    with suppress(subprocess.TimeoutExpired):  # it is in the kernel's hands; nothing more can be done
        process.wait(5)
    _close(process)


def _close(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _text(output: str | bytes | None) -> str:
    return output.decode(errors="replace") if isinstance(output, bytes) else output or ""


def _environment() -> dict[str, str]:
    kept = KEPT | _HABITS
    return {name: value for name, value in os.environ.items() if name in kept or not name.startswith(_DROPPED)}
