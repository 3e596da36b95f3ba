"""The command line of Parsl's worker pool on a node. Pure: `plan --scripts` shows it before a run."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from fasthep_parsl.blocks.local_block import POOL_MODULE
from fasthep_parsl.blocks.node_checks import node_check_options
from fasthep_parsl.blocks.python_command import module_command
from fasthep_parsl.plan import PlanPool

LOCAL_HEARTBEAT = 1
"""Seconds between two heartbeats of managers on this machine. A dead worker stays unnoticed for so long."""
HEARTBEAT = 5
"""Seconds between two heartbeats of managers on a batch system. There can be thousands."""
HEARTBEAT_THRESHOLD = 30
"""Seconds without a heartbeat after which workers count as lost. With Parsl's 120 s, this would stay unnoticed for long."""
POLL_PERIOD = 50
"""Option of Parsl's worker pool in milliseconds. Managers do not use it: they wait for messages."""
MPI_LAUNCHER = "mpiexec"
"""Parsl's default. Its worker pool requires the option; no task uses it."""


@dataclass(frozen=True, slots=True)
class Link:
    """The connection of workers to their driver. It is known once the interchange listens.

    Attributes
    ----------
    addresses : str
        Addresses to try, separated by commas.
    port : str
        Port of the interchange.
    certificates : str or None
        Folder of the certificates that encrypt the connection.
    logs, log_config : str or None
        Folder for the logs of managers, and the configuration of logging.
    software : str
        The software that workers must have, as one line; empty if nothing is checked.
    """

    addresses: str
    port: str
    certificates: str | None
    logs: str | None
    log_config: str | None
    software: str = ""


PLACEHOLDERS = Link("<addresses>", "<port>", "<certificates>", "<logs>", "<log config>", "<software>")
"""Placeholders for values that are not known before a run."""


def heartbeat_period(pool: PlanPool) -> int:
    """Return the seconds between two heartbeats of the managers of `pool`."""
    return LOCAL_HEARTBEAT if pool.block is None else HEARTBEAT


def drain_period(pool: PlanPool) -> int | None:
    """Return the seconds after which workers accept no more tasks, None if there is no limit.

    A tenth of the block's lifetime remains for running tasks, which are planned for tens of seconds. 15 s are for the
    start of the workers, which the batch system counts too.
    """
    lifetime = pool.block.walltime if pool.block else pool.walltime
    return None if lifetime is None else max(int(lifetime * 0.9 - 15), int(lifetime * 0.5), 1)


def worker_command(pool: PlanPool, link: Link) -> list[str]:
    """Return the command line of a node's workers, without ``--block_id``. Paths can contain any character."""
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
        *node_check_options(pool),
        *([f"--software={link.software}"] if link.software else []),
        *(f"{k}={v}" for k, v in options.items()),
    ]
