"""Strategy ``lsf``: a block is a job of IBM Spectrum LSF. Tested as text, without an LSF.

The commands follow LSF's command reference. Directives follow Parsl's ``LSFProvider`` (``parsl/providers/lsf``: ``-W``, ``-J``, ``-P``, ``-q``, ``-nnodes``,
``-n`` with ``span[ptile=]``) and its ``JsrunLauncher``; memory, GPUs and nodes to avoid follow the manual of ``bsub``
(``rusage[mem=]``, ``-gpu``, ``select[hname!=]``).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from fasthep_parsl.interfaces import BlockLocation, CommandResult, Discovery, Job, JobState, SchedulerCommands, Script
from fasthep_parsl.plan import PlanBlock, PlanPool
from fasthep_parsl.strategies.base import BatchModel, block_of, launch, node_command, output_path
from fasthep_parsl.strategies.formats import (
    Directives,
    Lines,
    clock,
    mebibytes,
    quote_by_choice,
    script_text,
    with_prefix,
)
from fasthep_parsl.workflow.values import Line

LAUNCHERS = {
    "cores": """blaunch -z "$(sort -u "$LSB_DJOB_HOSTFILE" | tr '\\n' ' ')\"""",
    "nodes": "jsrun -n {nodes} -r 1 -a 1 -c ALL_CPUS -g ALL_GPUS",
}
_STATES: dict[str, JobState] = {
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


class LsfCommands(SchedulerCommands):
    """Commands of LSF."""

    programs = ("bsub", "bjobs", "bkill")

    def submit(self, script: Path) -> list[str]:
        """Return the command that submits a script. bsub reads directives from its standard input only."""
        return ["/bin/sh", "-c", 'bsub < "$1"', "bsub", str(script)]

    def job_id(self, output: str) -> str:
        """Return the id in ``Job <id> is submitted to queue <name>``."""
        found = re.search(r"Job <(\d+)>", output)
        return found.group(1) if found else ""

    def status(self, jobs: Sequence[str]) -> list[str]:
        """Return the command that queries jobs, including those that ended within the last hour."""
        return ["bjobs", "-a", "-noheader", "-o", "jobid stat exec_host exit_reason delimiter='|'", *jobs]

    def read_status(self, result: CommandResult, jobs: Sequence[str]) -> dict[str, Job] | None:
        """Return the state of `jobs`, None if the result does not contain it."""
        if not result.ok and "is not found" not in result.message and "No job found" not in result.message:
            return None
        found = {}
        for line in result.out.splitlines():
            parts = [part.strip() for part in line.split("|")]
            if len(parts) == 4 and parts[0] in jobs:
                node = re.sub(r"^\d+\*", "", parts[2].split(":")[0]).strip("-")
                found[parts[0]] = Job(parts[0], _STATES.get(parts[1], "pending"), node, parts[3].strip("-"))
        return found

    def cancel(self, jobs: Sequence[str]) -> list[list[str]]:
        """Return the commands that cancel jobs."""
        return [["bkill", *jobs]]

    def already_ended(self, result: CommandResult) -> bool:
        """Return whether jobs could not be cancelled because they had ended already."""
        return result.every_line_matches(
            r"Job <\S+>(: No matching job found|: Job has already finished| is being terminated)"
        )

    def queue_check(self, queue: str) -> list[str]:
        """Return the command that fails if a queue does not exist; empty if no queue is named."""
        return ["bqueues", queue] if queue else []


class Lsf(BatchModel):
    """Workers on an LSF cluster: one ``bsub`` job per block. Tested as text only."""

    discovery: ClassVar[Discovery | None] = Discovery(
        programs=LsfCommands.programs,
        commands=LsfCommands(),
        queues_hint="`bqueues -l` lists them, `lshosts` their nodes",
    )

    project: Line | None = Field(None, description="project that is charged")
    request: Literal["cores", "nodes"] = Field(
        "cores", description="what jobs request: `-n` cores, a number per node, or `-nnodes` whole nodes"
    )
    memory: bool = Field(True, description="whether memory is requested (`rusage[mem=…MB]`); never for `nodes`")
    gpus: bool = Field(True, description="whether GPUs are requested (`-gpu num=`); never for `nodes`")
    select: Lines = Field((), description="expressions that nodes must fulfil, `type==X86_64`")
    directives: Directives = Field((), description="further options of bsub, `-alloc_flags smt4`")
    launcher: Line | None = Field(
        None, description="what starts one process per node of several; by default blaunch for cores, jsrun for nodes"
    )
    launch_options: Lines = Field((), description="further options of the launcher")

    def script(self, pool: PlanPool, location: BlockLocation) -> Script:
        """Return the batch script of one block, for the standard input of bsub; see `BatchStrategy`."""
        block = block_of(pool, type(self))
        options = [
            f"-J {quote_by_choice(location.job)}",
            f"-cwd {quote_by_choice(location.folder)}",
            f"-o {quote_by_choice(output_path(location, 'out'))}",
            f"-e {quote_by_choice(output_path(location, 'err'))}",
            "-rn",  # the scaling policy replaces lost blocks
            f"-W {clock(max(block.walltime, 60))[:-3]}",  # hours and minutes
            *([f"-P {quote_by_choice(self.project)}"] if self.project else []),
            *([f"-q {quote_by_choice(block.queue)}"] if block.queue else []),
            *self._size(block),
            *(f'-R "select[{need}]"' for need in [*self.select, *(f"hname!='{node}'" for node in location.avoid)]),
            *self.directives,
        ]
        command = shlex.join(node_command(location))
        if block.nodes > 1:
            launcher = self.launcher or LAUNCHERS[self.request]
            command = f"{launch(launcher, self.launch_options, block.nodes)} {command}"
        return Script(f"block.{location.block}.sh", script_text(with_prefix("#BSUB", options), f"exec {command}"))

    def commands(self) -> LsfCommands:
        """Return the commands of LSF."""
        return LsfCommands()

    def _size(self, block: PlanBlock) -> list[str]:
        if self.request == "nodes":
            return [f"-nnodes {block.nodes}"]
        options = [f"-n {block.nodes * block.cpus}", f'-R "span[ptile={block.cpus}]"']
        options += [f'-R "rusage[mem={mebibytes(block.memory)}MB]"'] if self.memory else []
        options += [f'-gpu "num={block.gpus}"'] if block.gpus and self.gpus else []
        return options + (["-x"] if block.whole_nodes else [])
