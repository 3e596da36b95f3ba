"""Commands of HTCondor: condor_submit, condor_q, condor_rm and condor_status, and the event log of a job."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fasthep_parsl.interfaces import CommandResult, Job, JobState, NodeGroup, SchedulerCommands

_STATES: dict[Any, JobState] = {
    1: "pending",
    2: "running",
    3: "ended",
    4: "ended",
    5: "held",
    6: "running",
    7: "pending",
}
"""JobStatus: idle, running, removed, completed, held, transferring output, suspended; HTCondor manual, "Job ClassAd
Attributes"."""
_ATTRIBUTES = "ClusterId,ProcId,JobStatus,RemoteHost,LastRemoteHost,HoldReason,RemoveReason,LastRejMatchReason"
_SLOT = ("TotalSlotCpus", "TotalSlotMemory", "TotalSlotGPUs")


class HTCondorCommands(SchedulerCommands):
    """Commands of HTCondor."""

    programs = ("condor_submit", "condor_q", "condor_rm")

    def submit(self, script: Path) -> list[str]:
        """Return the command that submits a script."""
        return ["condor_submit", "-terse", str(script)]

    def job_id(self, output: str) -> str:
        """Return the id in ``<first job> - <last job>``."""
        found = re.search(r"^\s*(\d+\.\d+)\s+-\s+\d+\.\d+\s*$", output, re.MULTILINE)
        return found.group(1) if found else ""

    def status(self, jobs: Sequence[str]) -> list[str]:
        """Return the command that queries jobs."""
        return ["condor_q", *jobs, "-json", "-attributes", _ATTRIBUTES]

    def read_status(self, result: CommandResult, jobs: Sequence[str]) -> dict[str, Job] | None:
        """Return the state of `jobs`, None if the result does not contain it. Jobs that have ended leave the queue."""
        if not result.ok:
            return None
        text = result.out.strip()
        try:
            listed = json.loads(text[text.index("[") :]) if "[" in text else []
        except ValueError:
            return None
        found: dict[str, Job] = {}
        for ad in listed:
            job = f"{ad.get('ClusterId')}.{ad.get('ProcId')}" if isinstance(ad, dict) else ""
            if job in jobs:
                host = str(ad.get("RemoteHost") or ad.get("LastRemoteHost") or "")
                state = _STATES.get(ad.get("JobStatus"), "pending")
                found[job] = Job(job, state, node_of(host), _reason(ad, state))
        return found

    def cancel(self, jobs: Sequence[str]) -> list[list[str]]:
        """Return the commands that cancel jobs, including those on nodes that do not respond."""
        return [["condor_rm", *jobs], ["condor_rm", "-forcex", *jobs]]

    def already_ended(self, result: CommandResult) -> bool:
        """Return whether jobs could not be cancelled because they have left the queue."""
        return result.every_line_matches(r"Job [\d.]+ (not found|already marked for removal|marked for removal)\.?")

    def post_mortem(self, folder: Path, block: int) -> Job | None:
        """Return where a block ran and how it ended, from the job's event log ``block.<number>.log``."""
        try:
            text = (folder / f"block.{block}.log").read_text(errors="replace")
        except OSError:
            return None
        return read_log(text)

    def trial(self, script: Path) -> list[str]:
        """Return the command that parses a submit file and discards the jobs."""
        return ["condor_submit", "-dry-run", os.devnull, str(script)]

    def survey(self) -> list[str]:
        """Return the command that lists slots."""
        attributes = f"Machine,{','.join(_SLOT)}"
        return ["condor_status", "-constraint", 'SlotType =!= "Dynamic"', "-json", "-attributes", attributes]

    def read_survey(self, output: str) -> list[NodeGroup]:
        """Return the kinds of nodes, the most frequent first."""
        start = output.find("[")
        try:
            slots = json.loads(output[start:]) if start >= 0 else []
        except ValueError:
            return []
        machines: dict[str, Counter[str]] = {}
        for slot in slots:  # static slots of one machine are parts of it
            sums = machines.setdefault(str(slot.get("Machine")), Counter())
            sums.update({name: int(slot.get(name) or 0) for name in _SLOT})
        kinds = Counter((sums[_SLOT[0]], sums[_SLOT[1]], sums[_SLOT[2]]) for sums in machines.values())
        listed = kinds.most_common()
        return [NodeGroup("", count, cpus, memory, gpus) for (cpus, memory, gpus), count in listed if cpus and memory]


def _reason(ad: Mapping[str, Any], state: JobState) -> str:
    name = {"held": "HoldReason", "pending": "LastRejMatchReason"}.get(state, "RemoveReason")
    reason = str(ad.get(name) or "").strip()
    return f"{reason}; for details: `condor_q -better-analyze`" if reason and state == "pending" else reason


def node_of(slot: str) -> str:
    """Return the machine of a slot, ``slot1_2@machine``."""
    return slot.rpartition("@")[2]


_EVENTS: dict[str, str] = {"004": "evicted", "005": "ended", "007": "", "009": "removed", "012": "held"}
"""Codes of events after which a job does not run. 007 is an exception of the shadow, whose message is enough."""

_LAST = {"005", "009"}
"""Codes of events after which it never runs again."""


def read_log(text: str) -> Job | None:
    """Return the state of a job after the last event in its log; HTCondor manual, "Job Event Log Codes".

    Parameters
    ----------
    text : str
        An event log with one job.
    """
    node = reason = job = ""
    over = False
    for event in re.split(r"^\.\.\.$", text, flags=re.MULTILINE):
        lines = [line.strip() for line in event.strip().splitlines()]
        head = re.match(r"(\d{3}) \((\d+)\.(\d+)\.", lines[0]) if lines else None
        if not head:
            continue
        code, job = head.group(1), f"{int(head.group(2))}.{int(head.group(3))}"
        over = over or code in _LAST
        if code == "001":
            slot = next((line for line in lines if line.startswith("SlotName:")), "")
            node, reason = node_of(slot.removeprefix("SlotName:").strip()), ""
        elif code in _EVENTS:
            message = next((line for line in lines[1:] if line), "")
            reason = ": ".join(part for part in (_EVENTS[code], message) if part)
    return Job(job, "ended" if over else "pending", node, reason) if job else None
