"""Local blocks: process groups of this machine, each in its own session, ended as a whole. Without Parsl, for a fast start."""

from __future__ import annotations

import contextlib
import os
import runpy
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from fasthep_parsl import registry
from fasthep_parsl.blocks.fork import ChildProcess, Fork, can_fork
from fasthep_parsl.blocks.python_command import module_command, python_path
from fasthep_parsl.plan import Plan, PlanPool
from fasthep_parsl.resources.hidden import NO_GPUS
from fasthep_parsl.setup_folder import setup_variables

POOL_MODULE = "fasthep_parsl.backends.parsl.worker_pool"
LIFELINE = "FASTHEP_PARSL_LIFELINE"
"""Environment variable: number of the file descriptor that is closed when the driver ends."""
LAST_BREATH = 3.0
"""Seconds to wait, after a block was killed, for its last process, which cleans up after the others."""


class LocalBlock:
    """Processes in a session of their own.

    They have the other end of a pipe, the *lifeline*. However this process ends, the kernel closes the pipe, and the block
    ends itself. The resources that its processes share have no names, and the last process removes their temporary files.

    Parameters
    ----------
    arguments : list of str
        The command line.
    log_dir : Path
        Folder for the output, ``<name>.out`` and ``<name>.err``.
    name : str
        Name of these files.
    environment : mapping
        Added to the environment of this process.
    run_here : callable, optional
        Called in a fork of this process, instead of running the command line.
    """

    def __init__(
        self,
        arguments: list[str],
        log_dir: Path,
        name: str,
        environment: Mapping[str, str],
        run_here: Callable[[], None] | None = None,
    ) -> None:
        log_dir.mkdir(parents=True, exist_ok=True)
        self.log = log_dir / f"{name}.err"
        self._killed = 0.0
        theirs, self._lifeline = os.pipe()
        environment = {**environment, LIFELINE: str(theirs)}
        try:
            with (log_dir / f"{name}.out").open("ab") as out, self.log.open("ab") as err:
                if run_here is not None:
                    self.process: ChildProcess = Fork(run_here, out.fileno(), err.fileno(), environment, keep=theirs)
                else:
                    self.process = subprocess.Popen(  # noqa: S603  (our own command line)
                        arguments,
                        stdin=subprocess.DEVNULL,
                        stdout=out,
                        stderr=err,
                        env={**os.environ, **environment},
                        pass_fds=[theirs],
                        start_new_session=True,
                    )
        except BaseException:
            os.close(self._lifeline)
            raise
        finally:
            os.close(theirs)

    @property
    def pid(self) -> int:
        """Id of its first process, which is also that of its group and session."""
        return self.process.pid

    @property
    def dying(self) -> bool:
        """Whether the first process has ended, and the others are being killed."""
        return self.process.returncode is not None and self._lifeline >= 0

    def send(self, line: str) -> bool:
        """Send its command line to a block that was started early; return whether that worked."""
        try:
            os.write(self._lifeline, (line + "\n").encode())
        except OSError:
            return False
        return self.process.poll() is None

    def ended(self) -> int | None:
        """Return the exit code of the first process once no process of the block is left, else None.

        When the first process has ended, the others are killed.
        """
        code = self.process.poll()
        if code is None or self._lifeline < 0:
            return code
        self._kill()
        self._killed = self._killed or time.monotonic()
        if not self._is_left(0.0) or time.monotonic() > self._killed + LAST_BREATH:
            os.close(self._lifeline)
            self._lifeline = -1
            return code
        return None

    def end(self, patience: float = 1.0) -> None:
        """End all its processes: terminate the first one, then kill the others.

        Parameters
        ----------
        patience : float
            Seconds between the two.
        """
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(patience)
        if self._lifeline < 0:
            return
        self._kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        self._is_left(LAST_BREATH)
        os.close(self._lifeline)
        self._lifeline = -1

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def _is_left(self, seconds: float) -> bool:
        """Wait at most `seconds` for the last process of the block; return whether one is left.

        Each of them has the other end of the lifeline. When the last one ends, `poll` reports an error.
        """
        lifeline = select.poll()
        lifeline.register(self._lifeline, 0)
        return not lifeline.poll(seconds * 1000)


def start_warm(plan: Plan, pool: PlanPool, run_dir: Path, log_dir: Path) -> LocalBlock | None:
    """Start a block that imports, then waits for its command line. Return None if the pool needs a shell or another Python.

    If this process has already imported the array libraries (to read file headers), the block is a fork of it.
    """
    if pool.worker_init or pool.block is not None or not _is_ours(pool):
        return None
    fork = "uproot" in sys.modules and can_fork() and _is_plain(plan, pool)
    command = [*module_command(sys.executable, POOL_MODULE), "--warm"]
    return LocalBlock(command, log_dir, "warm", worker_environment(pool, run_dir), _become_pool if fork else None)


def _is_ours(pool: PlanPool) -> bool:
    """Return whether workers use the driver's Python. Another one must not find the driver's packages."""
    return not pool.container and pool.python in ("", sys.executable)


def _is_plain(plan: Plan, pool: PlanPool) -> bool:
    """Return whether no library has threads or devices of its own that a fork would break.

    XRootD and some sources have threads, a GPU has a context, and numpy counts its threads when it is imported.
    """
    places = (
        place
        for dataset in plan.datasets
        for file in dataset.files
        for place in plan.source.of(dataset).read_with(file)
    )
    plain = all(registry.load("sources", kind).fork_safe for kind in plan.source.kinds)
    return pool.cpus == 1 and not pool.gpus and plain and not any("://" in place for place in places)


def _become_pool() -> None:
    """Do the same as ``python -m <POOL_MODULE> --warm``."""
    runpy.run_module(POOL_MODULE, {"WARM": True}, run_name="__main__", alter_sys=True)


def worker_environment(pool: PlanPool, run_dir: Path) -> dict[str, str]:
    """Return what workers of `pool` need in their environment."""
    threads = str(pool.cpus)
    return {
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "NUMEXPR_MAX_THREADS": threads,
        "PARSL_CORES": str(pool.workers_per_block * pool.cpus),  # the plan has decided, Parsl need not count again
        **({"PYTHONPATH": python_path()} if _is_ours(pool) else {}),
        **(setup_variables(str(run_dir.resolve())) if pool.files or pool.secrets else {}),
        **({} if pool.gpus else NO_GPUS),
    }
