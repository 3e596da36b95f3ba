"""Provider of blocks that are jobs of a batch system. Its methods do not raise.

It is not derived from Parsl's providers, because every part of them would have to be replaced: the status command in the
constructor, the templates, the polling, the cancelling and the exceptions.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from fasthep_parsl.atomic import write_text
from fasthep_parsl.backends.parsl.provider_base import BlockProvider, Submission
from fasthep_parsl.blocks.job_control import job_control
from fasthep_parsl.blocks.scripts import block_script
from fasthep_parsl.blocks.staged_files import StagedFiles, on_node, staged_files
from fasthep_parsl.blocks.submission_recovery import recover_submissions
from fasthep_parsl.blocks.worker_command import Link, worker_command
from fasthep_parsl.interfaces import BlockLocation, CommandResult, Job
from fasthep_parsl.plan import PlanPool
from fasthep_parsl.strategies.base import NODE_SCRIPT
from fasthep_parsl.strategies.node import node_script


class BatchProvider(BlockProvider):
    """Submit, query and remove the jobs of a pool.

    Parameters
    ----------
    pool : PlanPool
        The pool; its `block` is set.
    run_dir : Path
        The run directory; blocks bring files from it to nodes that do not see it.
    folder : Path
        For scripts and output of this provider.
    name : str
        Name of the jobs in the batch system's listings.
    closing : threading.Event
        When set, only commands that remove jobs are waited for.
    """

    def __init__(self, pool: PlanPool, run_dir: Path, folder: Path, name: str, closing: threading.Event) -> None:
        super().__init__(pool, folder.resolve())
        self.staged = StagedFiles()
        self._run_dir = run_dir.resolve()
        self._unanswered: set[int] = set()
        self._name = name
        self._control = job_control(pool, closing)

    def submit_block(self, block: int) -> Submission:
        """Submit a block; return the outcome."""
        commands = self._control.commands
        try:
            path = self._write_script(block)
        except OSError as error:
            return Submission("", str(error))
        except Exception as error:  # noqa: BLE001  (a strategy can be anybody's code)
            return Submission("", f"{type(error).__name__}: {error}")
        result = self._control.run(commands.submit(path))
        job = commands.job_id(result.out) if result.ok else ""
        if job:
            self.jobs_by_block[block] = job
            self.resources[job] = {"job_id": job}
            return Submission(job)
        transient = not result.ok and commands.transient(result)
        if result.ok or transient:
            self._unanswered.add(block)
        if result.ok:
            return Submission("", f"no job id in the output of `{commands.programs[0]}`: {result.message}")
        return Submission("", result.message, transient)

    def _write_script(self, block: int) -> Path:
        bring = self.staged
        place = BlockLocation(str(self.log_dir), self._name, block, self.avoid, bring.files, bring.secrets)
        script = block_script(self.pool, place)
        return write_text(self.log_dir / script.name, script.text)

    def prepare(self, link: Link) -> None:
        """Write the script that each node of a block runs."""
        self.staged = staged_files(self.pool, self._run_dir, link)
        command = worker_command(self.pool, on_node(self.pool, link))
        write_text(self.log_dir / NODE_SCRIPT, node_script(self.pool, command, str(self._run_dir)))

    def query(self, jobs: Sequence[str]) -> dict[str, Job] | None:
        """Return the state of `jobs`, None if the batch system does not answer. Jobs that are missing have ended."""
        return self._control.query(jobs)

    def remove(self, jobs: Sequence[str], timeout: float | None = None) -> CommandResult:
        """Cancel jobs, even if the run is closing."""
        return self._control.cancel(jobs, timeout)

    def find_again(self) -> dict[int, str]:
        """Return block → job for blocks that exist although their submission was not answered. They count from now on."""
        found = recover_submissions(self._control, self.log_dir, self._unanswered) if self._unanswered else {}
        self._unanswered -= found.keys()
        self.jobs_by_block |= found
        return found

    def post_mortem(self, block: int) -> Job | None:
        """Return what the batch system has written about the end of a block."""
        return self._control.commands.post_mortem(self.log_dir, block)

    def node_of(self, block: int) -> str:
        """Return the node on which a block has started, from a file that it writes; empty if it has not started."""
        try:
            return (self.log_dir / f"block.{block}.node").read_text().split("\n")[0].strip()
        except OSError:
            return ""

    def errors_of(self, block: int, lines: int = 10) -> str:
        """Return the last lines that a block wrote to standard error."""
        try:
            text = (self.log_dir / f"block.{block}.err").read_text(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.strip().splitlines()[-lines:])
