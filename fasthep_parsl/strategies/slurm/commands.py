"""Commands of Slurm: sbatch, squeue, scancel and sinfo, and how to read what they print."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from fasthep_parsl.interfaces import CommandResult, Job, NodeGroup, SchedulerCommands

_PENDING = {"PENDING", "CONFIGURING", "POWER_UP_NODE", "REQUEUED", "REQUEUE_FED"}
_RUNNING = {"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"}
_HELD_STATES = {"REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"}
"""squeue(1), "Job State Codes"."""
_HELD = re.compile(
    r"JobHeld(User|Admin)|JobHoldMaxRequeue|launch.failed.requeued.held|BadConstraints|PartitionTimeLimit"
    r"|Invalid(Account|QOS)|(QOS|Assoc)MaxWallDurationPerJobLimit"
)
"""Reasons for which a pending job does not start until somebody acts; squeue(1), "Job Reason Codes"."""
_KEPT = frozenset({"SLURM_CONF", "SLURM_CLUSTERS", "SLURM_JWT", "SBATCH_ACCOUNT", "SBATCH_RESERVATION"})
"""Variables that name the cluster, the user, and the account that is charged."""
_DROPPED = ("SLURM_", "SBATCH_", "SQUEUE_", "SCANCEL_", "SINFO_")
"""Prefixes of variables that describe the job of this process, or the user's defaults. They would win over the lines of
our scripts, or hide jobs."""


class SlurmCommands(SchedulerCommands):
    """Commands of Slurm, with or without accounting: ``sacct`` is not used.

    ``squeue --states=all`` also lists jobs that have ended within ``MinJobAge`` (5 minutes by default), with their end
    state. Jobs that it does not list have ended before.

    Parameters
    ----------
    clusters : str, optional
        Cluster, where one Slurm serves several.
    queues_are_partitions : bool
        Whether queues are partitions. If not, they are qualities of service.
    """

    programs = ("sbatch", "squeue", "scancel")

    def __init__(self, clusters: str | None = None, *, queues_are_partitions: bool = True) -> None:
        self._clusters = [f"--clusters={clusters}"] if clusters else []
        self._partitions = queues_are_partitions

    def submit(self, script: Path) -> list[str]:
        """Return the command that submits a script."""
        return ["sbatch", "--parsable", str(script)]

    def job_id(self, output: str) -> str:
        """Return the id in the output of a successful submission: ``id`` or ``id;cluster``."""
        found = re.findall(r"^\s*(\d+)(?:;\S*)?\s*$", output, re.MULTILINE)  # plug-ins of a site can print lines too
        return found[-1] if found else ""

    def status(self, jobs: Sequence[str]) -> list[str]:
        """Return the command that queries jobs."""
        return [
            "squeue",
            *self._clusters,
            "--noheader",
            "--states=all",
            "--format=%i|%T|%N|%r",
            f"--jobs={','.join(jobs)}",
        ]

    def read_status(self, result: CommandResult, jobs: Sequence[str]) -> dict[str, Job] | None:
        """Return the state of `jobs`, None if the result does not contain it."""
        if not result.ok:
            # squeue fails if it is given a single job and that is not listed any more
            return {} if "invalid job id" in result.message.lower() else None
        found: dict[str, Job] = {}
        for line in result.out.splitlines():
            parts = line.strip().split("|")
            if len(parts) == 4 and parts[0] in jobs:
                found[parts[0]] = _job(*parts)
        return found

    def cancel(self, jobs: Sequence[str]) -> list[list[str]]:
        """Return the commands that cancel jobs."""
        return [["scancel", *self._clusters, *jobs]]

    def already_ended(self, result: CommandResult) -> bool:
        """Return whether jobs could not be cancelled because they had ended already."""
        return result.every_line_matches(r".*(Invalid job id specified|Job/step already completing or completed)")

    def queue_check(self, queue: str) -> list[str]:
        """Return the command that prints nothing if a partition does not exist; empty for qualities of service."""
        if not queue or not self._partitions:
            return []
        return ["sinfo", *self._clusters, "--noheader", "--format=%P", f"--partition={queue}"]

    def listing(self) -> list[str]:
        """Return the command that lists the jobs of the user."""
        return ["squeue", *self._clusters, "--me", "--noheader", "--format=%i|%o"]

    def trial(self, script: Path) -> list[str]:
        """Return the command that checks a script."""
        return ["sbatch", "--test-only", str(script)]

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """Return the environment without variables of Slurm that would change the jobs."""
        return {name: value for name, value in inherited.items() if name in _KEPT or not name.startswith(_DROPPED)}

    def survey(self) -> list[str]:
        """Return the command that lists partitions."""
        return ["sinfo", "--noheader", "--exact", "--format=%P|%a|%l|%c|%m|%G|%D|%h"]

    def read_survey(self, output: str) -> list[NodeGroup]:
        """Return one group for each partition that is up: its most frequent kind of node. The default comes first."""
        found: dict[str, NodeGroup] = {}
        for line in output.splitlines():
            parts = line.strip().split("|")
            if len(parts) != 8 or parts[1] != "up" or not (parts[3].isdigit() and parts[4].isdigit()):
                continue
            group = _node_group(parts)
            before = found.get(group.queue)
            if before is None or before.nodes < group.nodes:
                found[group.queue] = group
        return sorted(found.values(), key=lambda group: not group.default)


def _job(job: str, state: str, nodes: str, reason: str) -> Job:
    node = _first_node(nodes)
    if state in _HELD_STATES:
        return Job(job, "held", node, reason)
    if state in _PENDING:
        return Job(job, "held" if _HELD.fullmatch(reason) else "pending", node, reason)
    if state in _RUNNING:
        return Job(job, "running", node, reason)
    end = state.lower().replace("_", " ")
    return Job(job, "ended", node, end if reason in {"None", "", state.capitalize()} else f"{end} ({reason})")


def _first_node(nodes: str) -> str:
    """Return the first name of a list such as ``c[1-3,7],m1``."""
    found = re.match(r"([^\[,]+)(\[([^\],-]+))?", nodes.strip())
    return (found.group(1) + (found.group(3) or "")) if found else ""


def _node_group(parts: list[str]) -> NodeGroup:
    """Return the nodes in the fields ``%P|%a|%l|%c|%m|%G|%D|%h`` of sinfo."""
    name, _, limit, cpus, memory, gres, nodes, shared = parts
    gpu_type, gpus = _gpus(gres)
    return NodeGroup(
        name.rstrip("*"),
        int(nodes),
        int(cpus),
        int(memory),
        gpus,
        _seconds(limit),
        whole_nodes=shared == "EXCLUSIVE",
        default=name.endswith("*"),
        options={"gpu_type": gpu_type} if gpu_type else {},
    )


def _gpus(gres: str) -> tuple[str, int]:
    """Return type and number of the GPUs in ``gpu:a100:4(S:0-1),nvme:1``."""
    types: Counter[str] = Counter()
    for gpu_type, count in re.findall(r"(?:^|,)gpu(?::([^:,(]+(?=:)))?:(\d+)", gres):
        types[gpu_type] += int(count)
    return (next(iter(types)) if len(types) == 1 else "", types.total())


def _seconds(limit: str) -> float | None:
    """Return a limit such as ``1-12:00:00`` or ``30:00`` in seconds, None for ``infinite``."""
    days, _, time = limit.rpartition("-")
    parts = time.split(":")
    if not all(part.isdigit() for part in parts) or not (days or "0").isdigit():
        return None
    numbers = [0, 0, 0, *map(int, parts)][-3:] if not days else [*map(int, parts), 0, 0][:3]
    hours, minutes, seconds = numbers
    return float(int(days or 0) * 86400 + hours * 3600 + minutes * 60 + seconds)
