"""A fake batch system as a user's plug-in: one file, found by its entry point.

Its jobs are processes of this machine. The programs are next to this file: fake-submit, fake-list, fake-cancel,
fake-nodes. Jobs are kept in the folder that FAKE_BATCH_JOBS names.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from fasthep_parsl.interfaces import BlockLocation, CommandResult, Discovery, Job, NodeGroup, SchedulerCommands, Script
from fasthep_parsl.interfaces.discovery import SHARED_FILES
from fasthep_parsl.plan import PlanPool
from fasthep_parsl.strategies.base import BatchModel, block_of, node_command, output_path
from fasthep_parsl.strategies.formats import script_text
from fasthep_parsl.workflow.values import Line


class FakeCommands(SchedulerCommands):
    """Commands of the fake batch system."""

    programs = ("fake-submit", "fake-list", "fake-cancel")

    def submit(self, script: Path) -> list[str]:
        """Return the command that submits a script."""
        return ["fake-submit", str(script)]

    def job_id(self, output: str) -> str:
        """Return the id in ``accepted job <id>``."""
        found = re.search(r"^accepted job (\d+)$", output, re.MULTILINE)
        return found.group(1) if found else ""

    def status(self, jobs: Sequence[str]) -> list[str]:
        """Return the command that queries jobs."""
        return ["fake-list", *jobs]

    def read_status(self, result: CommandResult, jobs: Sequence[str]) -> dict[str, Job] | None:
        """Return the state of `jobs`: lines of ``<id> <state> <node>``."""
        if not result.ok:
            return None
        listed = [line.split() for line in result.out.splitlines()]
        return {
            job: Job(job, "running" if state == "R" else "ended", node) for job, state, node in listed if job in jobs
        }

    def cancel(self, jobs: Sequence[str]) -> list[list[str]]:
        """Return the command that cancels jobs."""
        return [["fake-cancel", *jobs]]

    def queue_check(self, queue: str) -> list[str]:
        """Return the command that fails if a queue does not exist."""
        return ["fake-nodes", queue] if queue else []

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """Return the environment without a variable that would make the programs fail."""
        return {name: value for name, value in inherited.items() if name != "FAKE_BATCH_REFUSE"}

    def survey(self) -> list[str]:
        """Return the command that lists nodes."""
        return ["fake-nodes"]

    def read_survey(self, output: str) -> list[NodeGroup]:
        """Return the nodes: lines of ``<queue> <nodes> <cpus> <memory in MiB>``."""
        listed = [line.split() for line in output.splitlines()]
        return [NodeGroup(queue, int(nodes), int(cpus), int(memory)) for queue, nodes, cpus, memory in listed]


class FakeBatch(BatchModel):
    """Workers on the fake batch system: one job per block, on one node."""

    several_nodes: ClassVar[bool] = False
    discovery: ClassVar[Discovery | None] = Discovery(
        programs=(*FakeCommands.programs, "fake-nodes"),
        commands=FakeCommands(),
        strategy_lines=("  project: drafted",),
        profile_lines=SHARED_FILES,
    )

    project: Line | None = Field(None, description="project that is charged")

    def script(self, pool: PlanPool, location: BlockLocation) -> Script:
        """Return the script of one block; see `BatchStrategy`."""
        block = block_of(pool, type(self))
        directives = [f"#FAKE project={self.project} queue={block.queue} cpus={block.cpus}"]
        lines = [f"exec >{shlex.quote(output_path(location, 'out'))} 2>{shlex.quote(output_path(location, 'err'))}"]
        lines += ["export FASTHEP_PARSL_NODE=fake-node", f"exec {shlex.join(node_command(location))}"]
        return Script(f"block.{location.block}.sh", script_text(directives, "\n".join(lines)))

    def commands(self) -> FakeCommands:
        """Return the commands."""
        return FakeCommands()
