"""Options of a Slurm cluster for tests, and its configuration files."""

from __future__ import annotations

import os
import pwd
import socket
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

NAME = "tests"


@dataclass(frozen=True)
class Node:
    """A virtual node. Its resources are declared, not enforced.

    Parameters
    ----------
    name : str
        Its name.
    memory_gib : int
        Its memory in GiB.
    gpus : int
        Fake GPUs: they are counted and CUDA_VISIBLE_DEVICES names them.
    cpus : int
        Its cores.
    """

    name: str
    memory_gib: int
    gpus: int = 0
    cpus: int = 8


@dataclass(frozen=True)
class Partition:
    """A queue.

    Parameters
    ----------
    name : str
        Its name.
    nodes : tuple of str
        Names of its nodes.
    max_minutes : int or None
        Longest time limit that a job may ask for, in minutes; None for no limit. Slurm looks every 30 s for jobs that
        are over their limit.
    priority : int
        With preemption, jobs of a partition with a higher one push out those of a lower one.
    """

    name: str
    nodes: tuple[str, ...]
    max_minutes: int | None = None
    priority: int = 1


NODES = (Node("c1", 32), Node("c2", 32), Node("m1", 256), Node("g1", 64, gpus=2))
PARTITIONS = (Partition("cpu", ("c1", "c2")), Partition("highmem", ("m1",)), Partition("gpu", ("g1",)))


@dataclass(frozen=True)
class SlurmOptions:
    """Options of a cluster, with defaults.

    Parameters
    ----------
    accounting : {"none", "dbd"}
        Without accounting ``sacct`` fails; "dbd" is slurmdbd with a database of its own.
    requeue : bool
        Whether jobs of a dead node go back into the queue (Slurm's own default) or end.
    preempt : {"off", "cancel", "requeue"}
        What happens to jobs when those of a partition of higher priority need their cores. Other than "off" adds a
        partition ``urgent`` on the nodes of the first.
    nodes, partitions : tuple
        The cluster; the first partition is the default.
    extra_lines : tuple of str
        More lines for slurm.conf.
    slurmd_timeout : int
        Seconds without an answer after which a node is down.
    """

    accounting: Literal["none", "dbd"] = "none"
    requeue: bool = False
    preempt: Literal["off", "cancel", "requeue"] = "off"
    nodes: tuple[Node, ...] = NODES
    partitions: tuple[Partition, ...] = PARTITIONS
    extra_lines: tuple[str, ...] = ()
    slurmd_timeout: int = 6

    def limited(self, **minutes: int) -> SlurmOptions:
        """Return these options with other time limits of the named partitions, minutes."""
        found = tuple(replace(p, max_minutes=minutes.get(p.name, p.max_minutes)) for p in self.partitions)
        return replace(self, partitions=found)


def write_config(folder: Path, options: SlurmOptions, first_port: int) -> None:
    """Write slurm.conf and its companions into ``folder/etc``; the cluster uses 60 ports from `first_port` on."""
    etc = folder / "etc"
    gpu_lines = ["AutoDetect=off"]
    for node in options.nodes:
        if node.gpus:
            files = [folder / "dev" / f"{node.name}-{number}" for number in range(node.gpus)]
            for file in files:  # a GPU must be a character device; any will do
                file.symlink_to("/dev/null")
            gpu_lines += [f"NodeName={node.name} Name=gpu File={file}" for file in files]
    (etc / "gres.conf").write_text("\n".join(gpu_lines) + "\n")
    (etc / "plugstack.conf").write_text("")
    lines = _general(folder, options, first_port) + _cluster(options, first_port) + list(options.extra_lines)
    (etc / "slurm.conf").write_text("\n".join(lines) + "\n")
    if options.accounting == "dbd":
        file = etc / "slurmdbd.conf"
        file.touch(mode=0o600)  # slurmdbd refuses one that others can read
        file.write_text("\n".join(_database(folder, first_port)) + "\n")


def _host() -> str:
    return socket.gethostname().partition(".")[0]


def _user() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def _general(folder: Path, options: SlurmOptions, port: int) -> list[str]:
    user = _user()
    preempt = {
        "off": ["PreemptType=preempt/none"],
        "cancel": ["PreemptType=preempt/partition_prio", "PreemptMode=CANCEL"],
        "requeue": ["PreemptType=preempt/partition_prio", "PreemptMode=REQUEUE"],
    }
    accounting = {
        "none": ["AccountingStorageType=accounting_storage/none"],
        "dbd": [
            "AccountingStorageType=accounting_storage/slurmdbd",
            "AccountingStorageHost=127.0.0.1",
            f"AccountingStoragePort={port + 19}",
            f"AccountingStoragePass={folder}/munge/sock",
        ],
    }
    return [
        f"ClusterName={NAME}",
        f"SlurmctldHost={_host()}(127.0.0.1)",
        f"SlurmctldPort={port}",
        f"SrunPortRange={port + 20}-{port + 59}",
        "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny",
        f"SlurmUser={user}",
        f"SlurmdUser={user}",
        f"StateSaveLocation={folder}/state",
        f"SlurmdSpoolDir={folder}/spool/%n",
        f"SlurmctldPidFile={folder}/pid/slurmctld",
        f"SlurmdPidFile={folder}/pid/slurmd.%n",
        f"SlurmctldLogFile={folder}/log/slurmctld.log",
        f"SlurmdLogFile={folder}/log/slurmd.%n.log",
        "JobCompType=jobcomp/filetxt",
        f"JobCompLoc={folder}/log/jobcomp.txt",
        "AuthType=auth/munge",
        "CredType=cred/munge",
        # A requeued job waits as long as a credential lives: 2 minutes by default.
        f"AuthInfo=socket={folder}/munge/sock,cred_expire=15",
        # No containers, and no accounting of resources: nodes share one real machine.
        "JobAcctGatherType=jobacct_gather/none",
        "ProctrackType=proctrack/linuxproc",
        "TaskPlugin=task/none",
        "SwitchType=switch/none",
        "MpiDefault=none",
        "SlurmdParameters=config_overrides",  # nodes can be larger than the machine
        "GresTypes=gpu",
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_Core_Memory",
        "DefMemPerCPU=1000",
        "SchedulerType=sched/backfill",
        "SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1",
        f"JobRequeue={int(options.requeue)}",
        "ReturnToService=2",
        "SlurmctldTimeout=30",
        f"SlurmdTimeout={options.slurmd_timeout}",
        "MessageTimeout=4",  # a dead node is asked twice, so long each, before it is down: 27 s with the default 10
        "KillWait=3",
        "UnkillableStepTimeout=20",
        "MinJobAge=300",
        *preempt[options.preempt],
        *accounting[options.accounting],
    ]


def _cluster(options: SlurmOptions, port: int) -> list[str]:
    lines = []
    for number, node in enumerate(options.nodes, 1):
        gpus = f" Gres=gpu:{node.gpus}" if node.gpus else ""
        lines.append(
            f"NodeName={node.name} NodeHostname={_host()} NodeAddr=127.0.0.1 Port={port + number}"
            f" CPUs={node.cpus} RealMemory={node.memory_gib * 1024}{gpus} State=UNKNOWN"
        )
    partitions = options.partitions
    if options.preempt != "off":
        partitions = (*partitions, Partition("urgent", partitions[0].nodes, priority=10))
    lines += [
        f"PartitionName={partition.name} Nodes={','.join(partition.nodes)} State=UP DefaultTime=10"
        f" Default={'YES' if partition is partitions[0] else 'NO'} MaxTime={partition.max_minutes or 'INFINITE'}"
        f" PriorityTier={partition.priority}"
        for partition in partitions
    ]
    return lines


def _database(folder: Path, port: int) -> list[str]:
    return [
        f"DbdHost={_host()}",
        "DbdAddr=127.0.0.1",
        f"DbdPort={port + 19}",
        "CommunicationParameters=NoInAddrAny",
        f"SlurmUser={_user()}",
        f"PidFile={folder}/pid/slurmdbd",
        f"LogFile={folder}/log/slurmdbd.log",
        "AuthType=auth/munge",
        f"AuthInfo=socket={folder}/munge/sock",
        "StorageType=accounting_storage/mysql",
        "StorageHost=localhost",
        "StorageUser=slurm",
        "StorageLoc=accounting",
    ]
