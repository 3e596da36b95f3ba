"""Strategy ``pbs``: a block is a job of PBS Professional or OpenPBS. Tested as text, without a PBS.

The commands follow the reference guide of PBS Professional. Directives follow Parsl's ``PBSProProvider`` (``parsl/providers/pbspro/template.py``) and, for select lines, file systems
and the launcher, the user guides of Polaris and Aurora (argonne-lcf/user-guides).
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from fasthep_parsl.interfaces import BlockLocation, CommandResult, Discovery, Job, JobState, SchedulerCommands, Script
from fasthep_parsl.interfaces.discovery import SCRATCH
from fasthep_parsl.plan import PlanBlock, PlanPool
from fasthep_parsl.strategies.base import BatchModel, block_of, launch, node_command, output_path
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

LONGEST_NAME = 15
_STATES: dict[str, JobState] = {
    **dict.fromkeys("QWT", "pending"),
    **dict.fromkeys("RBESU", "running"),
    **dict.fromkeys("FXM", "ended"),
    "H": "held",
}
"""job_state: PBS Professional reference guide, "Job States"."""


class PbsCommands(SchedulerCommands):
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
        """Return the command that queries jobs, including those that ended recently."""
        return ["qstat", "-x", "-f", "-F", "json", *jobs]

    def read_status(self, result: CommandResult, jobs: Sequence[str]) -> dict[str, Job] | None:
        """Return the state of `jobs`, None if the result does not contain it."""
        if not result.ok and "unknown job" not in result.message.lower():
            return None
        try:
            listed = json.loads(result.out or "{}").get("Jobs", {})
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
        """Return the commands that cancel jobs."""
        return [["qdel", *jobs]]

    def already_ended(self, result: CommandResult) -> bool:
        """Return whether jobs could not be cancelled because they had ended already."""
        return result.every_line_matches(r"(qdel: )?(Unknown Job Id|Job has finished) \S+")

    def queue_check(self, queue: str) -> list[str]:
        """Return the command that fails if a queue does not exist; empty if no queue is named."""
        return ["qstat", "-Q", queue] if queue else []


class Pbs(BatchModel):
    """Workers on a PBS Pro cluster: one ``qsub`` job per block. Tested as text only."""

    discovery: ClassVar[Discovery | None] = Discovery(
        programs=(*PbsCommands.programs, "pbsnodes"),
        commands=PbsCommands(),
        base="_pbspro",
        strategy_lines=("  # account: …            # project that is charged",),
        profile_lines=SCRATCH,
        queues_hint="`qstat -Qf` lists them, `pbsnodes -a` their nodes",
    )

    account: Line | None = Field(None, description="account that is charged")
    ncpus: bool = Field(True, description="whether cores are requested (`ncpus`); not needed where nodes are whole")
    memory: bool = Field(True, description="whether memory is requested (`mem`); not needed where nodes are whole")
    gpu_resource: Line | None = Field(
        "ngpus", description="name of GPUs in a select line; null: GPUs are not requested"
    )
    select_options: Lines = Field((), description="further parts of the select line, `system=polaris`")
    place: Line | None = Field(None, description="placement; by default `scatter` for several nodes, `:excl` for whole")
    filesystems: Line | None = Field(None, description="file systems that the job needs, `home:eagle`")
    directives: Directives = Field((), description="further options of qsub, `-W group_list=cms`")
    launcher: Line = Field(
        "mpiexec -n {nodes} --ppn 1", description="what starts one process per node of a block of several nodes"
    )
    launch_options: Lines = Field((), description="further options of the launcher, `--depth=64`")

    def script(self, pool: PlanPool, location: BlockLocation) -> Script:
        """Return the batch script of one block; see `BatchStrategy`.

        PBS cannot exclude nodes by name, so ``location.avoid`` has no effect. A directive cannot contain a path with both
        kinds of quotes.
        """
        block = block_of(pool, type(self))
        options = [
            "-S /bin/bash",
            f"-N {short_name(location.job, LONGEST_NAME)}",
            f"-o {quote_by_choice(output_path(location, 'out'))}",
            f"-e {quote_by_choice(output_path(location, 'err'))}",
            "-r n",  # the scaling policy replaces lost blocks
            "-m n",
            *([f"-A {quote_by_choice(self.account)}"] if self.account else []),
            *([f"-q {quote_by_choice(block.queue)}"] if block.queue else []),
            f"-l select={self._select(block)}",
            *self._placement(block),
            f"-l walltime={clock(block.walltime)}",
            *([f"-l filesystems={self.filesystems}"] if self.filesystems else []),
            *self.directives,
        ]
        command = shlex.join(node_command(location))
        if block.nodes > 1:
            command = f"{launch(self.launcher, self.launch_options, block.nodes)} {command}"
        return Script(f"block.{location.block}.sh", script_text(with_prefix("#PBS", options), f"exec {command}"))

    def commands(self) -> PbsCommands:
        """Return the commands of PBS."""
        return PbsCommands()

    def _select(self, block: PlanBlock) -> str:
        chunk = [str(block.nodes)]
        chunk += [f"ncpus={block.cpus}"] if self.ncpus else []
        chunk += [f"mem={mebibytes(block.memory)}mb"] if self.memory else []
        chunk += [f"{self.gpu_resource}={block.gpus}"] if block.gpus and self.gpu_resource else []
        return ":".join([*chunk, *(part.strip(":") for part in self.select_options)])

    def _placement(self, block: PlanBlock) -> list[str]:
        usual = "scatter" if block.nodes > 1 or block.whole_nodes else ""
        place = self.place or (f"{usual}:excl" if block.whole_nodes else usual)
        return [f"-l place={place}"] if place else []
