"""Grid Engine: qsub, qstat, qdel. Written after the manual and Parsl's GridEngineProvider; not run here."""

from __future__ import annotations

import getpass
import re
from collections.abc import Sequence
from pathlib import Path

from fasthep_parsl.blocks.commands import Answer
from fasthep_parsl.blocks.dialect import Dialect, Job, State, says_only


class GridEngine(Dialect):
    """Commands of Grid Engine (SGE, UGE, OGE)."""

    programs = ("qsub", "qstat", "qdel")

    def submit(self, script: Path) -> list[str]:
        """Return the command that submits a script."""
        return ["qsub", "-terse", str(script)]

    def job_id(self, output: str) -> str:
        """Return the id in the output of a successful submission."""
        lines = output.strip().splitlines()
        found = re.match(r"\d+", lines[-1].strip()) if lines else None
        return found.group(0) if found else ""

    def status(self, jobs: Sequence[str]) -> list[str]:
        """Return the command that lists all our jobs that have not ended; it cannot be asked for some."""
        del jobs
        return ["qstat", "-u", getpass.getuser()]

    def read_status(self, answer: Answer, jobs: Sequence[str]) -> dict[str, Job] | None:
        """Return what is known of `jobs`, None if nothing can be said."""
        if not answer.ok:
            return None
        found = {}
        for line in answer.out.splitlines():
            words = line.split()  # id, priority, name, user, state, date, time[, queue@node], slots
            if len(words) >= 8 and words[0] in jobs:
                node = next((word.rpartition("@")[2] for word in words[7:] if "@" in word), "")
                found[words[0]] = Job(words[0], _state(words[4]), node, f"state {words[4]}")
        return found

    def cancel(self, jobs: Sequence[str]) -> list[list[str]]:
        """Return the commands that remove jobs."""
        return [["qdel", *jobs]]

    def gone(self, answer: Answer) -> bool:
        """Return whether jobs could not be removed because they had ended already."""
        return says_only(
            answer, r'denied: job "\d+" does not exist|.* has (registered the|deleted) job \d+( for deletion)?'
        )

    def queue_check(self, queue: str) -> list[str]:
        """Return a command that fails if the queue does not exist."""
        return ["qconf", "-sq", queue] if queue else []


def _state(letters: str) -> State:
    """Return what the letters of qstat mean: ``h`` held, ``E`` error, ``q`` queued, else it runs; qstat(1)."""
    if "E" in letters or "h" in letters:
        return "held"
    return "pending" if "q" in letters else "running"
