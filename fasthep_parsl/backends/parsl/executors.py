"""Parsl's configuration and executors for pools, with defaults that survive faults."""

from __future__ import annotations

import logging
import os
import sys
import threading
from pathlib import Path

from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.logconfigs.file import FileLogging

from fasthep_parsl.backends.parsl.local_provider import LocalProvider
from fasthep_parsl.backends.parsl.provider_base import BlockProvider
from fasthep_parsl.backends.parsl.waking import WakingResults
from fasthep_parsl.blocks.local_block import LocalBlock, worker_environment
from fasthep_parsl.blocks.network import meeting_point
from fasthep_parsl.blocks.python_command import module_command, python_path
from fasthep_parsl.blocks.scripts import job_name
from fasthep_parsl.blocks.worker_command import (
    HEARTBEAT_THRESHOLD,
    Link,
    drain_period,
    heartbeat_period,
)
from fasthep_parsl.plan import PlanPool

INTERCHANGE_MODULE = "fasthep_parsl.backends.parsl.interchange"
SEND_TIMEOUT = 2000
"""Milliseconds for sending a task to the interchange. Without a limit this hangs when the interchange is dead."""

START_POLL = 100
"""Milliseconds between two looks of the thread that receives results, until the executor has started. It has no task yet."""


def config(run_dir: Path) -> Config:
    """Return a Parsl configuration without executors. A pool adds its executor with its first task."""
    return Config(
        executors=[],
        run_dir=str(run_dir / "log" / "parsl"),
        strategy="none",  # the monitors of pools start blocks
        strategy_period=60,  # Parsl's poller has nothing to do
        initialize_logging=FileLogging(level=logging.WARNING),  # INFO is 3.75 MB per 1000 tasks
        retries=0,  # the driver splits a bundle before it runs it again
        usage_tracking=0,
    )


def provider(
    pool: PlanPool,
    run_dir: Path,
    log_dir: Path,
    closing: threading.Event,
    warm: LocalBlock | None = None,
    software: str = "",
) -> BlockProvider:
    """Return the provider of a pool.

    Parameters
    ----------
    pool : PlanPool
        The pool.
    run_dir : Path
        The run directory.
    log_dir : Path
        Folder for scripts and output of its blocks.
    closing : threading.Event
        Set when the run ends. Commands are not waited for after that.
    warm : LocalBlock, optional
        A block on this machine that was started early.
    software : str
        The software that workers must have, as one line.
    """
    if pool.block is not None:
        from fasthep_parsl.backends.parsl.batch_provider import BatchProvider  # not needed for local pools

        batch = BatchProvider(pool, run_dir, log_dir, job_name(pool), closing)
        batch.software = software
        return batch
    local = LocalProvider(pool, log_dir, worker_environment(pool, run_dir), warm, run_dir)
    local.software = software
    return local


def executor(pool: PlanPool, blocks: BlockProvider) -> HighThroughputExecutor:
    """Return the executor of a pool, labelled with its name.

    Parameters
    ----------
    pool : PlanPool
        The pool.
    blocks : BlockProvider
        Its provider.

    Raises
    ------
    SiteError
        This machine does not have the address, or a free port, of the site's `network`.
    """
    blocks.log_dir.mkdir(parents=True, exist_ok=True)
    reach = meeting_point(pool)
    return HighThroughputExecutor(
        label=pool.name,
        provider=blocks,
        address=reach.bind,  # with None, Parsl asks a public service
        worker_port=reach.port,
        encrypted=True,  # also prevents that a later driver on the same port gets these workers
        max_workers_per_node=pool.block.workers_per_node if pool.block else pool.workers_per_block,
        cores_per_worker=pool.cpus,
        heartbeat_period=heartbeat_period(pool),
        heartbeat_threshold=HEARTBEAT_THRESHOLD,
        poll_period=START_POLL,
        drain_period=drain_period(pool),
        block_error_handler=False,
        interchange_launch_cmd=_interchange_command(str(blocks.log_dir / "interchange.out")),
    )


def _interchange_command(output: str) -> list[str]:
    """Return the command line of an interchange that prints to the file `output`. It gets the driver's environment."""
    python = module_command(sys.executable, INTERCHANGE_MODULE)
    return ["/usr/bin/env", f"PYTHONPATH={python_path()}", *python, str(os.getpid()), output]


def prepare(pool: PlanPool, started: HighThroughputExecutor, blocks: BlockProvider) -> None:
    """Set what can be set only after an executor has started, before its first block starts."""
    started.incoming_q = WakingResults(started.incoming_q)  # its thread finds it within START_POLL
    started.outgoing_q.zmq_socket.sndtimeo = SEND_TIMEOUT
    started.outgoing_q.zmq_socket.linger = 0
    blocks.prepare(_link(pool, started, blocks.software))


def _link(pool: PlanPool, started: HighThroughputExecutor, software: str) -> Link:
    return Link(
        ",".join(meeting_point(pool, started.worker_port).addresses),
        str(started.worker_port),
        started.cert_dir,
        started.worker_logdir,
        started.logconf_path,
        software,
    )
