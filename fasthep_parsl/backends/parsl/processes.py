"""Process groups on this machine: started apart from ours, ended as a whole. Imports no Parsl, so it is there at once."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from fasthep_parsl.plan import PlanPool

POOL_MODULE = "fasthep_parsl.backends.parsl.worker_pool"


def start(
    arguments: list[str], log_dir: Path, name: str, environment: Mapping[str, str], stdin: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own; its output goes to ``<log_dir>/<name>.out`` and ``.err``."""
    log_dir.mkdir(parents=True, exist_ok=True)
    with (log_dir / f"{name}.out").open("ab") as out, (log_dir / f"{name}.err").open("ab") as err:
        return subprocess.Popen(  # noqa: S603  (our own command line)
            arguments, stdin=stdin, stdout=out, stderr=err, env={**os.environ, **environment}, start_new_session=True
        )


def start_warm(pool: PlanPool, log_dir: Path) -> subprocess.Popen[bytes] | None:
    """Start a block that imports, then waits for its command line; None if the pool needs a shell first."""
    if pool.worker_init or pool.provider != "local":
        return None
    command = [sys.executable, "-m", POOL_MODULE, "--warm"]
    return start(command, log_dir, "warm", worker_environment(pool), stdin=subprocess.PIPE)


def worker_environment(pool: PlanPool) -> dict[str, str]:
    """Return what workers of `pool` need in their environment."""
    threads = str(pool.cpus)
    return {
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "NUMEXPR_MAX_THREADS": threads,
        "FASTHEP_PARSL_DRIVER": str(os.getpid()),
        "PYTHONPATH": _python_path(),
    }


def _python_path() -> str:
    """Return a path on which workers find this package, also when it was not installed."""
    here = str(Path(__file__).resolve().parents[3])
    return os.pathsep.join(dict.fromkeys([here, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]))


def end_group(process: subprocess.Popen[bytes], patience: float = 1.0) -> None:
    """End a session's processes: ask its leader, then kill what is left.

    Parameters
    ----------
    process : Popen
        Leader of the session.
    patience : float
        Seconds between asking and killing.
    """
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.poll() is None:
        process.wait(5)
