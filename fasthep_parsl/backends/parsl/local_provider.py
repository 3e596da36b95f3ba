"""Blocks of workers as process groups on this machine.

Unlike Parsl's own LocalProvider each block is a session of its own, so that cancelling it ends all its processes and never
ours; nothing here raises from `status` or `cancel`; and a block may have been started early, so that its imports run while
the interchange comes up.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from parsl.executors import HighThroughputExecutor
from parsl.jobs.states import JobState, JobStatus

from fasthep_parsl.backends.parsl.block_monitor import LocalMonitor
from fasthep_parsl.backends.parsl.provider_base import SelfManagedProvider
from fasthep_parsl.blocks.local_block import LIFELINE, POOL_MODULE, LocalBlock
from fasthep_parsl.blocks.worker_command import Link, worker_command
from fasthep_parsl.plan import PlanPool
from fasthep_parsl.resources.hidden import EXPORT

_GUARD = f"""(read -r -u "${LIFELINE}"; kill -KILL -- -$$) &"""
"""Ends a block whose driver has died while its `worker_init` runs; later the worker pool sees to that as well."""


class LocalProvider(SelfManagedProvider):
    """Start blocks as sub-processes.

    Parameters
    ----------
    pool : PlanPool
        The pool; a block of one with a `worker_init` cannot be started early.
    log_dir : Path
        Standard output and error of blocks go here.
    environment : mapping
        Added to the environment of blocks.
    warm : LocalBlock, optional
        A block that was started early.
    """

    def __init__(
        self, pool: PlanPool, log_dir: Path, environment: Mapping[str, str], warm: LocalBlock | None = None
    ) -> None:
        super().__init__("local", pool.workers * pool.cpus)
        self.pool = pool
        self.log_dir = log_dir
        self.environment = dict(environment)
        self._blocks: dict[str, LocalBlock] = {}
        self._cancelled: set[str] = set()
        self._warm = warm
        self._latest: LocalBlock | None = None

    def submit(self, command: str, tasks_per_node: int, job_name: str = "block") -> str:
        """Start a block that runs `command`; return its process id."""
        del tasks_per_node
        block, self._warm = self._warm, None
        arguments = shlex.split(command)
        if block is None or not block.send(shlex.join(arguments[arguments.index(POOL_MODULE) + 1 :])):
            if block is not None:
                block.end()
            block = self._start(command, job_name)
        job = str(block.pid)
        self._blocks[job] = self._latest = block
        self.resources[job] = {"job_id": job}
        return job

    def _start(self, command: str, job_name: str) -> LocalBlock:
        first = (_GUARD, *self.pool.worker_init) if self.pool.worker_init else ()
        last = () if self.pool.gpus else (EXPORT,)  # whatever `worker_init` says
        script = "\n".join((*first, *last, "exec " + command))
        return LocalBlock(
            ["/bin/bash", "-c", script], self.log_dir, f"{job_name}.{len(self._blocks)}", self.environment
        )

    def status(self, job_ids: Sequence[object]) -> list[JobStatus]:
        """Return the state of blocks."""
        return [self._state(str(job)) for job in job_ids]

    def _state(self, job: str) -> JobStatus:
        block = self._blocks.get(job)
        if block is None:
            return JobStatus(JobState.MISSING)
        code = block.process.poll()
        if code is None:
            return JobStatus(JobState.RUNNING)
        if job in self._cancelled:
            return JobStatus(JobState.CANCELLED)
        return JobStatus(JobState.COMPLETED if code == 0 else JobState.FAILED, exit_code=code)

    def cancel(self, job_ids: Sequence[object]) -> list[bool]:
        """End blocks with all their processes."""
        for job in job_ids:
            self._cancelled.add(str(job))
            block = self._blocks.get(str(job))
            if block is not None:
                block.end()
        return [True for _ in job_ids]

    def ended(self) -> list[int | None]:
        """Return, for each block that was not cancelled, its exit code, or None while it runs."""
        return [block.process.poll() for job, block in self._blocks.items() if job not in self._cancelled]

    def jobs(self) -> list[int]:
        """Return the process ids of all blocks that were not cancelled."""
        return [int(job) for job in self._blocks if job not in self._cancelled]

    def watch(self, executor: HighThroughputExecutor) -> LocalMonitor:
        """Return what looks after the blocks of `executor`."""
        return LocalMonitor(self.pool, executor, self)

    def prepare(self, link: Link) -> str:
        """Return the command that Parsl launches, with ``{block_id}`` to be filled in."""
        return (
            shlex.join(worker_command(self.pool, link)).replace("{", "{{").replace("}", "}}") + " --block_id={block_id}"
        )

    def close(self) -> None:
        """End every block that is left."""
        warm, self._warm = self._warm, None
        if warm is not None:
            warm.end()
        self.cancel(self.jobs())

    def errors(self, lines: int = 10) -> str:
        """Return the last lines that the latest block wrote to standard error."""
        if self._latest is None:
            return ""
        text = self._latest.log.read_text(errors="replace") if self._latest.log.exists() else ""
        return "\n".join(text.strip().splitlines()[-lines:])
