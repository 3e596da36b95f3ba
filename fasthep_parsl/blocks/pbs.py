"""PBS Professional and OpenPBS: qsub, qstat, qdel. Written after the manual and Parsl's PBSProProvider; not run here."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from fasthep_parsl.blocks.commands import Answer
from fasthep_parsl.blocks.dialect import Dialect, Job, State, says_only

_STATES: dict[str, State] = {
    **dict.fromkeys("QWT", "pending"),
    **dict.fromkeys("RBESU", "running"),
    **dict.fromkeys("FXM", "ended"),
    "H": "held",
}
"""job_state: PBS Professional reference guide, "Job States"."""


class PBS(Dialect):
    """Commands of PBS."""

    programs = ("qsub", "qstat", "qdel")

    def submit(self, script: Path) -> list[str]:
        """Return the command that submits a script."""
        return ["qsub", str(script)]

    def job_id(self, output: str) -> str:
        """Return the id in the output of a successful submission, ``<number>.<server>``."""
        lines = output.strip().splitlines()
        found = re.match(r"\d+(\.[\w.-]+)?$", lines[-1].strip()) if lines else None
        return found.group(0) if found else ""

    def status(self, jobs: Sequence[str]) -> list[str]:
        """Return the command that asks for jobs, those of the recent past too."""
        return ["qstat", "-x", "-f", "-F", "json", *jobs]

    def read_status(self, answer: Answer, jobs: Sequence[str]) -> dict[str, Job] | None:
        """Return what is known of `jobs`, None if nothing can be said."""
        if not answer.ok and "unknown job" not in answer.words.lower():
            return None
        try:
            listed = json.loads(answer.out or "{}").get("Jobs", {})
        except ValueError:
            return None
        found = {}
        for job, facts in listed.items():
            if job in jobs:
                node = re.split(r"[/+*]", str(facts.get("exec_host", "")))[0]
                state = _STATES.get(str(facts.get("job_state", "")), "pending")
                code = facts.get("Exit_status")
                reason = f"exit code {code}" if state == "ended" and code is not None else str(facts.get("comment", ""))
                found[job] = Job(job, state, node, reason)
        return found

    def cancel(self, jobs: Sequence[str]) -> list[list[str]]:
        """Return the commands that remove jobs."""
        return [["qdel", *jobs]]

    def gone(self, answer: Answer) -> bool:
        """Return whether jobs could not be removed because they had ended already."""
        return says_only(answer, r"(qdel: )?(Unknown Job Id|Job has finished) \S+")

    def queue_check(self, queue: str) -> list[str]:
        """Return a command that fails if the queue does not exist."""
        return ["qstat", "-Q", queue] if queue else []
