"""HighThroughputExecutors from pools, with Parsl's defaults corrected; each line here has cost somebody a run."""

from __future__ import annotations

import logging
import os
import shlex
import socket
import sys
from pathlib import Path

from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.logconfigs.file import FileLogging

from fasthep_parsl.backends.parsl.processes import POOL_MODULE, Block, worker_environment
from fasthep_parsl.backends.parsl.provider import LocalBlocks
from fasthep_parsl.errors import SiteError
from fasthep_parsl.plan import PlanPool

INTERCHANGE_MODULE = "fasthep_parsl.backends.parsl.interchange"
HEARTBEAT_PERIOD = {"local": 1}
"""Seconds, by provider: how long a dead worker may stay unnoticed. Thousands of managers must not beat that often."""
USUAL_HEARTBEAT = 5
HEARTBEAT_THRESHOLD = 30
"""Seconds; Parsl's 120 s is how long a lost node would stay unnoticed."""
SEND_TIMEOUT = 2000
"""Milliseconds that handing a task to the interchange may take; without a limit it hangs when the interchange is dead."""


def config(run_dir: Path) -> Config:
    """Return a Parsl configuration without pools; they are added when their first task comes."""
    return Config(
        executors=[],
        run_dir=str(run_dir / "log" / "parsl"),
        strategy="none",  # we start blocks ourselves: none for a pool that is not used
        strategy_period=60,  # nothing to do for Parsl's poller: pools watch over their blocks themselves
        initialize_logging=FileLogging(level=logging.WARNING),  # INFO is 3.75 MB per 1000 tasks
        retries=0,  # we split a bundle before we run it again
        usage_tracking=0,
    )


def provider(pool: PlanPool, log_dir: Path, warm: Block | None) -> LocalBlocks:
    """Return the provider of a pool; `warm` is a block of it that was started early.

    Raises
    ------
    SiteError
        The plan names a provider that this backend cannot build.
    """
    if pool.provider != "local":
        raise SiteError(f"pool `{pool.name}`: provider `{pool.provider}` is not known to backend parsl")
    return LocalBlocks(log_dir, worker_environment(pool), pool.worker_init, pool.workers * pool.cpus, warm)


def executor(pool: PlanPool, blocks: LocalBlocks, accelerators: list[str]) -> HighThroughputExecutor:
    """Return the executor of a pool, labelled with its name.

    Parameters
    ----------
    pool : PlanPool
        The pool.
    blocks : LocalBlocks
        Its provider.
    accelerators : list of str
        Devices that workers may use, one each.
    """
    blocks.log_dir.mkdir(parents=True, exist_ok=True)
    output = str(blocks.log_dir / "interchange.out")
    return HighThroughputExecutor(
        label=pool.name,
        provider=blocks,
        address="127.0.0.1" if pool.provider == "local" else socket.gethostname(),  # None asks a public service
        encrypted=True,  # also keeps a later driver on the same port from taking these workers
        max_workers_per_node=pool.workers_per_block,
        cores_per_worker=pool.cpus,
        available_accelerators=accelerators,
        heartbeat_period=HEARTBEAT_PERIOD.get(pool.provider, USUAL_HEARTBEAT),
        heartbeat_threshold=HEARTBEAT_THRESHOLD,
        poll_period=50,
        drain_period=None if pool.walltime is None else max(int(pool.walltime * 0.9), 60),
        block_error_handler=False,
        interchange_launch_cmd=[sys.executable, "-m", INTERCHANGE_MODULE, str(os.getpid()), output],
    )


def prepare(pool: PlanPool, started: HighThroughputExecutor) -> None:
    """Correct what can only be corrected once an executor has started, before its first block is."""
    started.outgoing_q.zmq_socket.sndtimeo = SEND_TIMEOUT
    started.outgoing_q.zmq_socket.linger = 0
    started.launch_cmd = _launch_command(pool, started)


def _launch_command(pool: PlanPool, started: HighThroughputExecutor) -> str:
    """Return the command line of a block, with ``{block_id}`` to be filled in; paths may hold any character."""
    options = {
        "--max_workers_per_node": pool.workers_per_block,
        "--addresses": ",".join(started.all_addresses),
        "--port": started.worker_port,
        "--cores_per_worker": pool.cpus,
        "--mem_per_worker": None,
        "--cert_dir": started.cert_dir,
        "--logdir": started.worker_logdir,
        "--logconf": started.logconf_path,
        "--hb_period": started.heartbeat_period,
        "--hb_threshold": started.heartbeat_threshold,
        "--poll": started.poll_period,
        "--drain_period": started.drain_period,
        "--cpu-affinity": "none",
        "--mpi-launcher": started.mpi_launcher,
    }
    words = [sys.executable, "-m", POOL_MODULE, *(f"{name}={value}" for name, value in options.items())]
    words += ["--available-accelerators", *started.available_accelerators]
    return shlex.join(words).replace("{", "{{").replace("}", "}}") + " --block_id={block_id}"
