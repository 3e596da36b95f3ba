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

_LAUNCH = (
    "{python} -m {module} {{debug}} {{max_workers_per_node}} -a {{addresses}} -p {{prefetch_capacity}} "
    "-c {{cores_per_worker}} -m {{mem_per_worker}} --poll {{poll_period}} --port={{worker_port}} "
    "--cert_dir '{{cert_dir}}' --logdir='{{logdir}}' --logconf='{{logconf}}' --hb_period={{heartbeat_period}} "
    "--block_id={{{{block_id}}}} {{address_probe_timeout_string}} --hb_threshold={{heartbeat_threshold}} --drain_period={{drain_period}} "
    "--cpu-affinity {{cpu_affinity}} {{enable_mpi_mode}} --mpi-launcher={{mpi_launcher}} "
    "--available-accelerators {{accelerators}}"
)


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
        launch_cmd=_LAUNCH.format(python=shlex.quote(sys.executable), module=POOL_MODULE),
        interchange_launch_cmd=[sys.executable, "-m", INTERCHANGE_MODULE, str(os.getpid()), output],
    )


def never_block(started: HighThroughputExecutor) -> None:
    """Keep a dead interchange from blocking who submits a task to it, or closes it."""
    started.outgoing_q.zmq_socket.sndtimeo = SEND_TIMEOUT
    started.outgoing_q.zmq_socket.linger = 0
