"""Slurm's own records of jobs, parsed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

ENDED = frozenset(
    {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT"}
)
_FIELD = re.compile(r"(?:^| )([A-Z][A-Za-z/:]*)=")


@dataclass(frozen=True)
class Job:
    """One job in the records of the batch system.

    Parameters
    ----------
    id : int
        Its id.
    name : str
        Its name.
    state : str
        As Slurm spells it: PENDING, RUNNING, COMPLETED, NODE_FAIL, …
    partition : str
        Its queue.
    nodes : str
        Slurm's list of its nodes, like ``c[1-2]``; empty before the start.
    exit_code : str
        ``code:signal``.
    reason : str
        Why it is in its state; empty in records of ended jobs.
    start : str
        When it started, as Slurm writes it.
    """

    id: int
    name: str
    state: str
    partition: str
    nodes: str = ""
    exit_code: str = ""
    reason: str = ""
    start: str = ""

    @property
    def ended(self) -> bool:
        """Whether it has left the queue permanently."""
        return self.state in ENDED


def parse_job(line: str) -> Job:
    """Parse a line of ``scontrol --oneliner show job`` or of jobcomp/filetxt."""
    parts = _FIELD.split(line.strip())
    fields = dict(zip(parts[1::2], parts[2::2], strict=True))
    return Job(
        id=int(fields["JobId"]),
        name=fields.get("JobName", fields.get("Name", "")),
        state=fields["JobState"],
        partition=fields["Partition"],
        nodes=_known(fields["NodeList"]),
        exit_code=fields.get("ExitCode", ""),
        reason=_known(fields.get("Reason", "")),
        start=_known(fields.get("StartTime", "")),
    )


def parse_sacct(line: str) -> Job:
    """Parse a line of ``sacct --parsable2`` with the columns of `SACCT`."""
    number, name, state, partition, nodes, exit_code, start = line.split("|")
    # "CANCELLED by 0"
    return Job(int(number), name, state.split()[0], partition, _known(nodes), exit_code, "", _known(start))


SACCT = "JobIDRaw,JobName,State,Partition,NodeList,ExitCode,Start"


def latest(jobs: Iterable[Job]) -> dict[int, Job]:
    """Return the last record of each job."""
    return {job.id: job for job in jobs}


def _known(text: str) -> str:
    return "" if text in {"(null)", "None", "None assigned", "Unknown", "N/A"} else text
