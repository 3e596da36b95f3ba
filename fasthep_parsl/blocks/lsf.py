"""LSF: bsub, bjobs, bkill. Written after the manual and Parsl's LSFProvider; not run here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from fasthep_parsl.blocks.commands import Answer
from fasthep_parsl.blocks.dialect import Dialect, Job, State, says_only

_STATES: dict[str, State] = {
    "PEND": "pending",
    "WAIT": "pending",
    "PROV": "pending",
    "RUN": "running",
    "USUSP": "running",
    "SSUSP": "running",
    "UNKWN": "running",
    "PSUSP": "held",
    "DONE": "ended",
    "EXIT": "ended",
    "ZOMBI": "ended",
}
"""STAT: LSF command reference, "bjobs"."""


class LSF(Dialect):
    """Commands of LSF."""

    programs = ("bsub", "bjobs", "bkill")

    def submit(self, script: Path) -> list[str]:
        """Return the command that submits a script; bsub reads directives only from its standard input."""
        return ["/bin/sh", "-c", 'bsub < "$1"', "bsub", str(script)]

    def job_id(self, output: str) -> str:
        """Return the id in ``Job <id> is submitted to queue <name>``."""
        found = re.search(r"Job <(\d+)>", output)
        return found.group(1) if found else ""

    def status(self, jobs: Sequence[str]) -> list[str]:
        """Return the command that asks for jobs, those of the last hour too."""
        return ["bjobs", "-a", "-noheader", "-o", "jobid stat exec_host exit_reason delimiter='|'", *jobs]

    def read_status(self, answer: Answer, jobs: Sequence[str]) -> dict[str, Job] | None:
        """Return what is known of `jobs`, None if nothing can be said."""
        if not answer.ok and "is not found" not in answer.words and "No job found" not in answer.words:
            return None
        found = {}
        for line in answer.out.splitlines():
            parts = [part.strip() for part in line.split("|")]
            if len(parts) == 4 and parts[0] in jobs:
                node = re.sub(r"^\d+\*", "", parts[2].split(":")[0]).strip("-")
                found[parts[0]] = Job(parts[0], _STATES.get(parts[1], "pending"), node, parts[3].strip("-"))
        return found

    def cancel(self, jobs: Sequence[str]) -> list[list[str]]:
        """Return the commands that remove jobs."""
        return [["bkill", *jobs]]

    def gone(self, answer: Answer) -> bool:
        """Return whether jobs could not be removed because they had ended already."""
        return says_only(answer, r"Job <\S+>(: No matching job found|: Job has already finished| is being terminated)")

    def queue_check(self, queue: str) -> list[str]:
        """Return a command that fails if the queue does not exist."""
        return ["bqueues", queue] if queue else []
