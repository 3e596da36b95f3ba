"""Blocks of workers as process groups on this machine.

Unlike Parsl's own LocalProvider each block is a session of its own, so that cancelling it ends all its processes and never
ours; nothing here raises from `status` or `cancel`, since one exception stops Parsl's polling of the other pools; and a
block may have been started early, so that its imports run while the interchange comes up.
"""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from parsl.jobs.states import JobState, JobStatus
from parsl.providers.base import ExecutionProvider

from fasthep_parsl.backends.parsl.processes import POOL_MODULE, end_group, start


class LocalBlocks(ExecutionProvider):  # type: ignore[misc]  # Parsl is not typed
    """Start blocks as sub-processes.

    Parameters
    ----------
    log_dir : Path
        Standard output and error of blocks go here.
    environment : mapping
        Added to the environment of blocks.
    worker_init : tuple of str
        Shell lines run first; a block with any cannot be started early.
    cores_per_node : int
        Cores that workers may use.
    warm : Popen, optional
        A block that was started early.
    """

    def __init__(
        self,
        log_dir: Path,
        environment: Mapping[str, str],
        worker_init: tuple[str, ...] = (),
        cores_per_node: int = 1,
        warm: subprocess.Popen[bytes] | None = None,
    ) -> None:
        self.log_dir = log_dir
        self.environment = dict(environment)
        self.worker_init = worker_init
        self.nodes_per_block = 1
        self.init_blocks = 0
        self.min_blocks = 0
        self.max_blocks = 1
        self.parallelism = 1.0
        self.script_dir: str | None = None
        self._cores_per_node = cores_per_node
        self.resources: dict[object, object] = {}
        self._blocks: dict[str, subprocess.Popen[bytes]] = {}
        self._cancelled: set[str] = set()
        self._warm = warm

    @property
    def label(self) -> str:
        """Name of the provider in Parsl's logs."""
        return "local"

    @property
    def cores_per_node(self) -> int:
        """Cores that workers may use."""
        return self._cores_per_node

    @cores_per_node.setter
    def cores_per_node(self, value: int) -> None:
        self._cores_per_node = value

    @property
    def mem_per_node(self) -> float | None:
        """Not limited here: the plan has clamped the number of workers already."""
        return None

    @property
    def status_polling_interval(self) -> int:
        """Seconds between two looks at the blocks."""
        return 1

    def submit(self, command: str, tasks_per_node: int, job_name: str = "block") -> str:
        """Start a block that runs `command`; return its process id."""
        del tasks_per_node
        process, self._warm = self._warm, None
        arguments = shlex.split(command)
        if process is not None and process.poll() is None and process.stdin is not None:
            tail = arguments[arguments.index(POOL_MODULE) + 1 :]
            process.stdin.write((shlex.join(tail) + "\n").encode())
            process.stdin.close()
        else:
            script = "\n".join((*self.worker_init, "exec " + command))
            process = start(["/bin/bash", "-c", script], self.log_dir, f"{job_name}.{time.time_ns()}", self.environment)
        self._blocks[str(process.pid)] = process
        self.resources[str(process.pid)] = {"job_id": str(process.pid)}
        return str(process.pid)

    def status(self, job_ids: Sequence[object]) -> list[JobStatus]:
        """Return the state of blocks."""
        return [self._state(str(job)) for job in job_ids]

    def _state(self, job: str) -> JobStatus:
        process = self._blocks.get(job)
        if process is None:
            return JobStatus(JobState.MISSING)
        code = process.poll()
        if code is None:
            return JobStatus(JobState.RUNNING)
        if job in self._cancelled:
            return JobStatus(JobState.CANCELLED)
        return JobStatus(JobState.COMPLETED if code == 0 else JobState.FAILED, exit_code=code)

    def cancel(self, job_ids: Sequence[object]) -> list[bool]:
        """End blocks with all their processes."""
        for job in job_ids:
            self._cancelled.add(str(job))
            process = self._blocks.get(str(job))
            if process is not None:
                end_group(process)
        return [True for _ in job_ids]

    def close(self) -> None:
        """End every block that is left."""
        if self._warm is not None:
            end_group(self._warm)
        self.cancel(list(self._blocks))

    def errors(self) -> str:
        """Return the last lines that blocks wrote to standard error."""
        found = []
        for path in sorted(self.log_dir.glob("*.err")):
            found += path.read_text(errors="replace").splitlines()[-5:]
        return "\n".join(found[-10:])
