"""The command line of a node's workers. Imports no Parsl: `plan --scripts` shows what a run would submit."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from fasthep_parsl.blocks.local_block import POOL_MODULE
from fasthep_parsl.blocks.node_checks import arrival_options
from fasthep_parsl.blocks.python_command import module_command
from fasthep_parsl.plan import PlanPool

LOCAL_HEARTBEAT = 1
"""Seconds between two heartbeats of managers on this machine. A dead worker stays unnoticed for so long."""
HEARTBEAT = 5
"""Seconds between two heartbeats of managers on a batch system. There can be thousands."""
HEARTBEAT_THRESHOLD = 30
"""Seconds without a beat after which workers are taken for lost; Parsl's 120 s is how long that would stay unnoticed."""
POLL_PERIOD = 50
"""Milliseconds that managers wait for messages at a time."""
MPI_LAUNCHER = "mpiexec"
"""Parsl's default; its worker pool wants to be told, no task uses it."""


@dataclass(frozen=True, slots=True)
class Link:
    """What workers are told of their driver; known once the interchange listens.

    Attributes
    ----------
    addresses : str
        Addresses to try, separated by commas.
    port : str
        Its port.
    certificates : str or None
        Folder of the certificates that encrypt the connection.
    logs, log_config : str or None
        Folder for the logs of managers, and the configuration of logging.
    """

    addresses: str
    port: str
    certificates: str | None
    logs: str | None
    log_config: str | None


PLACEHOLDERS = Link("<addresses>", "<port>", "<certificates>", "<logs>", "<log config>")
"""Stands for what is not known before a run."""


def heartbeat_period(pool: PlanPool) -> int:
    """Return the seconds between two beats of the managers of `pool`."""
    return LOCAL_HEARTBEAT if pool.block is None else HEARTBEAT


def drain_period(pool: PlanPool) -> int | None:
    """Return after how many seconds workers take no more tasks, None if they may for ever.

    A tenth of the block's lifetime is left for the tasks that run (they are made for tens of seconds), and 15 s for the
    workers' start, which the batch system has counted already.
    """
    lifetime = pool.block.walltime if pool.block else pool.walltime
    return None if lifetime is None else max(int(lifetime * 0.9 - 15), int(lifetime * 0.5), 1)


def worker_command(pool: PlanPool, link: Link) -> list[str]:
    """Return the command line of a node's workers, without ``--block_id``; paths may hold any character."""
    node = pool.block
    options = {
        "--max_workers_per_node": node.workers_per_node if node else pool.workers_per_block,
        "--addresses": link.addresses,
        "--port": link.port,
        "--cores_per_worker": pool.cpus,
        "--mem_per_worker": None,
        "--cert_dir": link.certificates,
        "--logdir": link.logs,
        "--logconf": link.log_config,
        "--hb_period": heartbeat_period(pool),
        "--hb_threshold": HEARTBEAT_THRESHOLD,
        "--poll": POLL_PERIOD,
        "--drain_period": drain_period(pool),
        "--cpu-affinity": "none",
        "--mpi-launcher": MPI_LAUNCHER,
    }
    return [
        *module_command(pool.python or sys.executable, POOL_MODULE),
        *arrival_options(pool),
        *(f"{k}={v}" for k, v in options.items()),
    ]
