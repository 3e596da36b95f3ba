"""Node checks: before its workers connect, a block checks software, network and GPUs of its node. Runs on workers.

Without them, a wrong version of Python or Parsl makes the whole pool fail, another version of a library changes results
without a message, an address that cannot be reached is waited for, and Parsl pins workers to GPUs 0..n-1 whichever the
batch system has assigned.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from fasthep_parsl.analysis_code.handshake import ExpectedSoftware, differences, installed_software, refusal
from fasthep_parsl.plan import PlanPool
from fasthep_parsl.tasks import NodeFacts
from fasthep_parsl.worker.gpus import Gpu, NoGpuError, query_gpus
from fasthep_parsl.worker.node_facts import BLOCK_FOLDER, NODE_VARIABLE, describe_node, node_name, record_facts

GPU_VARIABLES = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")
"""Variables in which batch systems name the GPUs of a job. Parsl sets the first, second and last for each worker."""
NO_GPUS = frozenset({"NoDevFiles", "-1", "10000", "none", "void"})
"""Values of these variables for a job without GPUs: the first is Slurm's, 10000 is HTCondor's."""
REACH_TIMEOUT = 20.0
"""Seconds in which the driver must answer at one of its addresses."""
CERTIFICATES = ("client.key_secret", "server.key")
"""Parsl's names of the workers' secret key and of the driver's public key."""


class NodeCheckError(Exception):
    """Workers cannot run on this node."""


def node_check_options(pool: PlanPool) -> list[str]:
    """Return the options of `check_node` for the nodes of `pool`; none on this machine without GPUs."""
    sharing = ["--sharing", str(pool.workers_per_gpu)] if pool.workers_per_gpu > 1 else []
    if pool.block is None:
        return ["--gpus", str(pool.gpus), "--of", str(pool.workers), *sharing, "--here"] if pool.gpus else []
    options = ["--reach"]
    options += [] if pool.shared else ["--brought"]
    if pool.gpus:
        options += ["--gpus", str(pool.gpus), "--of", str(pool.block.workers_per_node), *sharing]
        options += ["--here"] if pool.block.whole_nodes else []
    return options


def check_software(arguments: Sequence[str], *, compare: bool = True) -> NodeFacts:
    """Check the software of this node; return what is known about the node. Imports no package.

    Parameters
    ----------
    arguments : sequence of str
        The command line of the node's workers.
    compare : bool
        Whether to compare the software. A fork of the driver has the driver's in memory.

    Raises
    ------
    NodeCheckError
        The software differs from that of the driver in a way that can change results.
    """
    options, given = _given(arguments)
    expected = ExpectedSoftware.from_text(options.software) if options.software else ExpectedSoftware()
    found = installed_software(expected.software) if compare else expected.software
    reason = refusal(differences(expected, found), expected, sys.executable)
    if reason:
        raise NodeCheckError(reason)
    return describe_node(found, given.get("--block_id", ""))


def check_node(arguments: Sequence[str], facts: NodeFacts | None = None) -> list[str]:
    """Check this node, and record the facts about it; return the command line for Parsl's worker pool.

    Parameters
    ----------
    arguments : sequence of str
        The options of `node_check_options`, then those of Parsl.
    facts : NodeFacts, optional
        The result of `check_software`, if that was called before.

    Raises
    ------
    NodeCheckError
        Workers cannot run on this node; the message is the reason.
    """
    facts = facts or check_software(arguments)
    known, given = _given(arguments)
    rest: list[str] = known.rest
    if known.reach:
        _check_reach(given.get("--addresses", "").split(","), int(given.get("--port", "0")))
    if known.brought:
        install_certificates(Path(given["--cert_dir"]))
    if known.gpus:
        devices = assigned_gpus(os.environ, known.gpus, known.of, ours=known.here, sharing=known.sharing)
        gpus = _query(devices)
        facts = replace(facts, gpus=tuple(asdict(gpu) for gpu in gpus))
        rest = [*rest, "--available-accelerators", *_pins(devices, gpus)]
    record_facts(facts)
    return rest


def refuse_node(arguments: Sequence[str], error: NodeCheckError) -> None:
    """Write to standard error, and next to the script of the block, why no workers start on this node.

    Other nodes of the block can work, so the driver cannot see from the block that this one does not.
    """
    _, given = _given(arguments)
    node, block = os.environ.get(NODE_VARIABLE, ""), given.get("--block_id", "")
    where = f"block {block} on node {node}: " if node else ""
    sys.stderr.write(f"fasthep-parsl: {where}{error}\n")
    sys.stderr.flush()
    folder = os.environ.get(BLOCK_FOLDER)
    if folder and node:
        with suppress(OSError), refusals_file(Path(folder), block).open("a", encoding="utf-8") as file:
            file.write(json.dumps([node, str(error)]) + "\n")


def refusals_file(folder: Path, block: str) -> Path:
    """Return the file to which the nodes of a block that are refused write why, one line for each."""
    return folder / f"block.{block}.refused"


def refused_nodes(folder: Path, block: int) -> dict[str, str]:
    """Return node → reason of the nodes of a block that were refused, where their file is visible."""
    try:
        lines = refusals_file(folder, str(block)).read_text(encoding="utf-8").splitlines()
        return dict(json.loads(line) for line in lines)
    except (OSError, ValueError, TypeError):
        return {}


def _given(arguments: Sequence[str]) -> tuple[argparse.Namespace, dict[str, str]]:
    """Return our options, with those of Parsl as `rest`, and the values of the latter by name."""
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False)
    parser.add_argument("--software", default="")
    parser.add_argument("--gpus", type=int, default=0)
    parser.add_argument("--of", type=int, default=1)
    parser.add_argument("--sharing", type=int, default=1)
    parser.add_argument("--reach", action="store_true")
    parser.add_argument("--here", action="store_true")
    parser.add_argument("--brought", action="store_true")
    known, rest = parser.parse_known_args(list(arguments))
    known.rest = rest
    return known, dict(word.split("=", 1) for word in rest if word.startswith("--") and "=" in word)


def _query(devices: Sequence[str]) -> list[Gpu]:
    names = list(dict.fromkeys(name for group in devices for name in group.split(",")))
    try:
        return query_gpus(names, node_name())
    except NoGpuError as error:
        raise NodeCheckError(str(error)) from None


def _pins(devices: Sequence[str], gpus: Sequence[Gpu]) -> list[str]:
    """Return the GPUs of workers by their UUIDs where these are known.

    Parsl uses a UUID as it is, but divides a number by its own count of workers per GPU. It would put all workers that
    share GPUs 0 and 1 on GPU 0.
    """
    pins = {gpu.device: gpu.pin for gpu in gpus}
    return [",".join(pins[name] for name in group.split(",")) for group in devices]


def _check_reach(addresses: Sequence[str], port: int) -> None:
    """Raise `NodeCheckError` if the driver cannot be reached."""
    reasons = []
    for address in addresses:
        try:
            with socket.create_connection((address, port), timeout=REACH_TIMEOUT / len(addresses)):
                return
        except (OSError, UnicodeError, OverflowError) as error:  # the last two: not a host name, not a port
            reasons.append(f"{address}:{port} ({getattr(error, 'strerror', None) or error})")
    raise NodeCheckError(f"{socket.gethostname()} cannot reach the driver at {', '.join(reasons)}")


def install_certificates(certificates: Path) -> None:
    """Move certificates that were transferred with the job into their folder, which Parsl wants to be private.

    Parsl reads the driver's public key from the file of its secret key. The secret itself is not needed here and stays with
    the driver.
    """
    certificates.mkdir(mode=0o700, exist_ok=True)
    own, public = (certificates.parent / name for name in CERTIFICATES)
    own.replace(certificates / own.name)
    (certificates / "server.key_secret").write_text(f'{public.read_text()}    secret-key = "stays with the driver"\n')


def assigned_gpus(
    environment: Mapping[str, str], per_worker: int, workers: int, *, ours: bool, sharing: int = 1
) -> list[str]:
    """Return the GPUs of each worker, as the batch system names them. Workers that share GPUs have equal entries.

    Parameters
    ----------
    environment : mapping
        Environment of the job.
    per_worker : int
        GPUs per worker.
    workers : int
        Workers on this node.
    ours : bool
        Whether the block may use all GPUs of the node if no variable is set (whole nodes, this machine).
    sharing : int
        Most workers that share the same GPUs. They are assigned in turn, so the loads differ by one worker at most.

    Raises
    ------
    NodeCheckError
        There are fewer GPUs than workers need.
    """
    assigned = next((environment[name] for name in GPU_VARIABLES if environment.get(name)), "")
    devices = [device.strip() for device in assigned.split(",") if device.strip() and device.strip() not in NO_GPUS]
    wanted = per_worker * -(-workers // sharing)
    if not assigned and ours:
        devices = [str(number) for number in range(wanted)]
    if len(devices) < per_worker:
        name = next((name for name in GPU_VARIABLES if environment.get(name)), GPU_VARIABLES[0])
        given = f"{name}={assigned}" if assigned else f"{name} is not set"
        raise NodeCheckError(f"the batch system has assigned {len(devices)} GPUs, the workers need {wanted} ({given})")
    groups = [devices[at : at + per_worker] for at in range(0, len(devices) - per_worker + 1, per_worker)]
    return [",".join(group) for group in groups[: wanted // per_worker] * sharing][:workers]
