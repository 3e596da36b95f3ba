"""Slurm: sbatch, squeue, scancel. Works with and without accounting: ``sacct`` is never asked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fasthep_parsl.blocks.commands import Answer
from fasthep_parsl.blocks.dialect import Dialect, Job, says_only

_PENDING = {"PENDING", "CONFIGURING", "POWER_UP_NODE", "REQUEUED", "REQUEUE_FED"}
_RUNNING = {"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"}
_HELD_STATES = {"REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"}
"""squeue(1), "Job State Codes"."""
_HELD = re.compile(
    r"JobHeld(User|Admin)|JobHoldMaxRequeue|launch.failed.requeued.held|BadConstraints|PartitionTimeLimit"
    r"|Invalid(Account|QOS)|(QOS|Assoc)MaxWallDurationPerJobLimit"
)
"""Reasons why a pending job never starts without help; squeue(1), "Job Reason Codes"."""


class Slurm(Dialect):
    """Commands of Slurm.

    ``squeue --states=all`` also shows jobs that have ended within the last ``MinJobAge`` (5 minutes by default), with
    their real end state, so that nothing depends on a database. Older ones are gone, hence ended.
    """

    programs = ("sbatch", "squeue", "scancel")

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        clusters = options.get("clusters")
        self._clusters = [f"--clusters={clusters}"] if clusters else []
        self._partitions = options.get("queue_option", "partition") == "partition"

    def submit(self, script: Path) -> list[str]:
        """Return the command that submits a script."""
        return ["sbatch", "--parsable", str(script)]

    def job_id(self, output: str) -> str:
        """Return the id in the output of a successful submission: ``id`` or ``id;cluster``."""
        found = re.findall(r"^\s*(\d+)(?:;\S*)?\s*$", output, re.MULTILINE)  # plugins of a site may talk too
        return found[-1] if found else ""

    def status(self, jobs: Sequence[str]) -> list[str]:
        """Return the command that asks for jobs."""
        return [
            "squeue",
            *self._clusters,
            "--noheader",
            "--states=all",
            "--format=%i|%T|%N|%r",
            f"--jobs={','.join(jobs)}",
        ]

    def read_status(self, answer: Answer, jobs: Sequence[str]) -> dict[str, Job] | None:
        """Return what is known of `jobs`, None if nothing can be said."""
        if not answer.ok:
            # with a single job that it has forgotten, squeue fails
            return {} if "invalid job id" in answer.words.lower() else None
        found: dict[str, Job] = {}
        for line in answer.out.splitlines():
            parts = line.strip().split("|")
            if len(parts) == 4 and parts[0] in jobs:
                found[parts[0]] = _job(*parts)
        return found

    def cancel(self, jobs: Sequence[str]) -> list[list[str]]:
        """Return the commands that remove jobs."""
        return [["scancel", *self._clusters, *jobs]]

    def gone(self, answer: Answer) -> bool:
        """Return whether jobs could not be removed because they had ended already."""
        return says_only(answer, r".*(Invalid job id specified|Job/step already completing or completed)")

    def queue_check(self, queue: str) -> list[str]:
        """Return a command that prints nothing if the partition does not exist; empty where queues are qualities."""
        if not queue or not self._partitions:
            return []
        return ["sinfo", *self._clusters, "--noheader", "--format=%P", f"--partition={queue}"]

    def listing(self) -> list[str]:
        """Return the command that lists the jobs of the user."""
        return ["squeue", *self._clusters, "--me", "--noheader", "--format=%i|%o"]

    def trial(self, script: Path) -> list[str]:
        """Return the command that checks a script; it says when the job would start."""
        return ["sbatch", "--test-only", str(script)]


def _job(job: str, state: str, nodes: str, reason: str) -> Job:
    node = _first_node(nodes)
    if state in _HELD_STATES:
        return Job(job, "held", node, reason)
    if state in _PENDING:
        return Job(job, "held" if _HELD.fullmatch(reason) else "pending", node, reason)
    if state in _RUNNING:
        return Job(job, "running", node, reason)
    words = state.lower().replace("_", " ")
    return Job(job, "ended", node, words if reason in {"None", "", state.capitalize()} else f"{words} ({reason})")


def _first_node(nodes: str) -> str:
    """Return the first name of a list such as ``c[1-3,7],m1``."""
    found = re.match(r"([^\[,]+)(\[([^\],-]+))?", nodes.strip())
    return (found.group(1) + (found.group(3) or "")) if found else ""
