"""Strategy ``grid_engine``: a block is a job of Grid Engine (SGE, UGE). Tested as text, without a Grid Engine.

The commands follow its manual pages. Directives follow Parsl's ``GridEngineProvider`` (``parsl/providers/grid_engine``: ``-S``, ``-o``, ``-e``, ``h_rt``,
``-q``); slots, resources and nodes to avoid follow the manual of ``qsub`` (``-pe``, ``-l``, ``-l h=!(…)``).
"""

from __future__ import annotations

import getpass
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from fasthep_parsl.interfaces import BlockLocation, CommandResult, Discovery, Job, JobState, SchedulerCommands, Script
from fasthep_parsl.plan import PlanBlock, PlanPool
from fasthep_parsl.strategies.base import BatchModel, block_of, node_command, output_path
from fasthep_parsl.strategies.formats import (
    Directives,
    Lines,
    clock,
    mebibytes,
    quote_by_choice,
    script_text,
    short_name,
    with_prefix,
)
from fasthep_parsl.workflow.values import Line

LONGEST_NAME = 64


class GridEngineCommands(SchedulerCommands):
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
        """Return the command that lists all jobs of the user that have not ended; qstat cannot select jobs."""
        del jobs
        return ["qstat", "-u", getpass.getuser()]

    def read_status(self, result: CommandResult, jobs: Sequence[str]) -> dict[str, Job] | None:
        """Return the state of `jobs`, None if the result does not contain it."""
        if not result.ok:
            return None
        found = {}
        for line in result.out.splitlines():
            columns = line.split()  # id, priority, name, user, state, date, time[, queue@node], slots
            if len(columns) >= 8 and columns[0] in jobs:
                node = next((text.rpartition("@")[2] for text in columns[7:] if "@" in text), "")
                found[columns[0]] = Job(columns[0], _state(columns[4]), node, f"state {columns[4]}")
        return found

    def cancel(self, jobs: Sequence[str]) -> list[list[str]]:
        """Return the commands that cancel jobs."""
        return [["qdel", *jobs]]

    def already_ended(self, result: CommandResult) -> bool:
        """Return whether jobs could not be cancelled because they had ended already."""
        return result.every_line_matches(
            r'denied: job "\d+" does not exist|.* has (registered the|deleted) job \d+( for deletion)?'
        )

    def queue_check(self, queue: str) -> list[str]:
        """Return the command that fails if a queue does not exist; empty if no queue is named."""
        return ["qconf", "-sq", queue] if queue else []


def _state(letters: str) -> JobState:
    """Return the state for the letters of qstat: ``h`` held, ``E`` error, ``q`` queued, else running; qstat(1)."""
    if "E" in letters or "h" in letters:
        return "held"
    return "pending" if "q" in letters else "running"


class GridEngine(BatchModel):
    """Workers on a Grid Engine cluster: one ``qsub`` job per block, on one node. Tested as text only."""

    several_nodes: ClassVar[bool] = False

    discovery: ClassVar[Discovery | None] = Discovery(
        programs=(*GridEngineCommands.programs, "qconf"),
        commands=GridEngineCommands(),
        queues_hint="`qconf -sql` lists them, `qhost` their nodes",
    )

    project: Line | None = Field(None, description="project that is charged")
    parallel_environment: Line = Field("smp", description="parallel environment that gives all slots on one node")
    memory_resource: Line | None = Field(
        None, description="resource for memory per slot, `h_vmem` or `mem_free`; null: not requested"
    )
    gpu_resource: Line | None = Field("gpu", description="resource for GPUs per job; null: not requested")
    resources: Lines = Field((), description="further resources, `os=el9`")
    directives: Directives = Field((), description="further options of qsub, `-notify`")

    def script(self, pool: PlanPool, location: BlockLocation) -> Script:
        """Return the batch script of one block; see `BatchStrategy`."""
        block = block_of(pool, type(self))
        options = [
            "-S /bin/bash",
            f"-N {short_name(location.job, LONGEST_NAME)}",
            f"-wd {quote_by_choice(location.folder)}",
            f"-o {quote_by_choice(output_path(location, 'out'))}",
            f"-e {quote_by_choice(output_path(location, 'err'))}",
            "-r n",  # the scaling policy replaces lost blocks
            "-m n",
            *([f"-P {quote_by_choice(self.project)}"] if self.project else []),
            *([f"-q {quote_by_choice(block.queue)}"] if block.queue else []),
            *([f"-pe {quote_by_choice(self.parallel_environment)} {block.cpus}"] if block.cpus > 1 else []),
            f"-l h_rt={clock(block.walltime)}",
            *self._needs(block, location),
            *self.directives,
        ]
        command = shlex.join(node_command(location))
        return Script(f"block.{location.block}.sh", script_text(with_prefix("#$", options), f"exec {command}"))

    def commands(self) -> GridEngineCommands:
        """Return the commands of Grid Engine."""
        return GridEngineCommands()

    def _needs(self, block: PlanBlock, location: BlockLocation) -> list[str]:
        needs = list(self.resources)
        if self.memory_resource:
            needs.append(f"{self.memory_resource}={max(mebibytes(block.memory) // block.cpus, 1)}M")
        if block.gpus and self.gpu_resource:
            needs.append(f"{self.gpu_resource}={block.gpus}")
        if block.whole_nodes:
            needs.append("exclusive=true")
        if location.avoid:
            needs.append(f"h=!({'|'.join(location.avoid)})")
        return [f"-l {quote_by_choice(need)}" for need in needs]
