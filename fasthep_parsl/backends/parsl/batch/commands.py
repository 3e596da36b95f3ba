"""Run the commands of a batch system: with a time limit, and without ever raising."""

from __future__ import annotations

import os
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
KEPT = frozenset({"SLURM_CONF", "SLURM_CLUSTERS"})
"""Variables of Slurm that say where it is; the others describe the job that we may be in, and would change new ones."""

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
    "authentication",
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
        lines = (self.err.strip() or self.out.strip()).splitlines()
        return "\n".join(lines[-5:]) or f"exit code {self.code}"

    @property
    def transient(self) -> bool:
        """Whether asking again later may help: the batch system did not answer, rather than refuse."""
        said = self.words.lower()
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
    until = time.monotonic() + timeout
    while True:
        try:
            out, err = process.communicate(timeout=STEP)
        except subprocess.TimeoutExpired:
            if time.monotonic() < until and not (closing is not None and closing.is_set()):
                continue
            _kill(process)
            return Answer(TIMED_OUT, err=f"`{words[0]}` has not answered for {timeout:g} s")
        return Answer(process.returncode, out, err)


def _kill(process: subprocess.Popen[str]) -> None:
    try:
        os.killpg(process.pid, 9)
    except (ProcessLookupError, PermissionError):
        process.kill()
    with suppress(subprocess.TimeoutExpired):  # it is in the kernel's hands; nothing more can be done
        process.communicate(timeout=5)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("SLURM_") or name in KEPT}
