"""Provider of blocks on this machine: each is a process group, whose state is read from its processes.

Unlike with Parsl's LocalProvider, each block is a session of its own: removing it ends all its processes and never ours.
The first block may have been started early, so that its imports run while the interchange comes up.
"""

from __future__ import annotations

import shlex
import signal
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from fasthep_parsl.backends.parsl.provider_base import BlockProvider, Submission
from fasthep_parsl.blocks.local_block import LIFELINE, POOL_MODULE, LocalBlock
from fasthep_parsl.blocks.worker_command import Link, worker_command
from fasthep_parsl.interfaces import CommandResult, Job
from fasthep_parsl.plan import PlanPool
from fasthep_parsl.strategies.node import quoted_program, start_text

_GUARD = f"""(read -r -u "${LIFELINE}"; kill -KILL -- -$$) &"""
"""Ends a block whose driver has died while its `worker_init` runs. Later, the worker pool does that itself."""


class LocalProvider(BlockProvider):
    """Start blocks as process groups of this machine. The id of a job is that of its first process.

    Parameters
    ----------
    pool : PlanPool
        The pool. A block of a pool with a `worker_init` cannot be started early.
    log_dir : Path
        Standard output and error of blocks go here.
    environment : mapping
        Added to the environment of blocks.
    warm : LocalBlock, optional
        A block that was started early.
    run_dir : Path, optional
        The run directory, for pools whose workers run in a container.
    """

    ends_are_certain = True

    def __init__(
        self,
        pool: PlanPool,
        log_dir: Path,
        environment: Mapping[str, str],
        warm: LocalBlock | None = None,
        run_dir: Path | None = None,
    ) -> None:
        super().__init__(pool, log_dir)
        self._environment = dict(environment)
        self._blocks: dict[str, LocalBlock] = {}
        self._warm = warm
        self._folders = [shlex.quote(str(folder.resolve())) for folder in (log_dir, run_dir) if folder is not None]
        self._command: list[str] = []
        self._lock = threading.Lock()
        self._closed = False

    def prepare(self, link: Link) -> None:
        """Prepare for blocks whose workers connect to `link`."""
        self._command = worker_command(self.pool, link)

    def submit_block(self, block: int) -> Submission:
        """Start a block; return the outcome."""
        command = [*self._command, f"--block_id={block}"]
        with self._lock:
            if self._closed:
                return Submission("", "the run ends")
            try:
                started = self._use_warm(command) or self._start(command, block)
            except OSError as error:
                return Submission("", str(error))
            job = str(started.pid)
            self._blocks[job] = started
            self.jobs_by_block[block] = job
        return Submission(job)

    def _use_warm(self, command: list[str]) -> LocalBlock | None:
        """Return the block that was started early, None if there is none or it has died."""
        warm, self._warm = self._warm, None
        if warm is None or warm.send(shlex.join(command[command.index(POOL_MODULE) + 1 :])):
            return warm
        warm.end()
        return None

    def _start(self, command: list[str], block: int) -> LocalBlock:
        guard = (_GUARD,) if self.pool.worker_init else ()
        say = f'fasthep_say() {{ echo "fasthep-parsl: block {block}: $1" >&2; }}'
        program = f"{quoted_program(command[0])} {shlex.join(command[1:])}"
        script = "\n".join((*guard, say, start_text(self.pool, program, self._folders)))
        return LocalBlock(["/bin/bash", "-c", script], self.log_dir, f"block.{block}", self._environment)

    def query(self, jobs: Sequence[str]) -> dict[str, Job]:
        """Return the states of `jobs`."""
        return {job: self._state(job) for job in jobs}

    def _state(self, job: str) -> Job:
        block = self._blocks.get(job)
        if block is None:
            return Job(job, "ended")
        code = block.ended()
        return Job(job, "running") if code is None else Job(job, "ended", reason=_reason(code))

    def processes(self) -> list[int]:
        """Return the first processes of blocks that have not ended."""
        return [block.pid for block in self._blocks.copy().values() if block.process.returncode is None]

    @property
    def dying(self) -> bool:
        """Whether the first process of a block has ended, and others have not."""
        return any(block.dying for block in self._blocks.copy().values())

    def remove(self, jobs: Sequence[str], timeout: float | None = None) -> CommandResult:
        """End blocks with all their processes."""
        del timeout
        for job in jobs:
            block = self._blocks.get(job)
            if block is not None:
                block.end()
        return CommandResult(0)

    def errors_of(self, block: int, lines: int = 10) -> str:
        """Return the last lines that a block wrote to standard error."""
        started = self._blocks.get(self.jobs_by_block.get(block, ""))
        if started is None or not started.log.exists():
            return ""
        return "\n".join(started.log.read_text(errors="replace").strip().splitlines()[-lines:])

    def close(self) -> None:
        """Let no block start any more."""
        with self._lock:
            self._closed = True
            warm, self._warm = self._warm, None
        if warm is not None:
            warm.end()


def _reason(code: int) -> str:
    """Return how a block has ended, from the exit code of its first process."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
