"""What the workers of a block check and find out on their node, before they connect. Runs on workers.

A wrong version of Python or Parsl would make the whole pool fail, an address that cannot be reached would be waited for in
silence, and Parsl would pin workers to GPUs 0..n-1, whichever the batch system has given.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from fasthep_parsl.plan import PlanPool
from fasthep_parsl.worker.gpus import BLOCK_FOLDER, NoGpuError, query_gpus, record_gpus

GPU_VARIABLES = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")
"""In which batch systems say what GPUs a job has; Parsl writes the first, second and last of them for each worker."""
NO_GPUS = frozenset({"NoDevFiles", "-1", "10000", "none", "void"})
"""What batch systems write into them if a job has none: Slurm the first, HTCondor 10000."""
REACH_TIMEOUT = 20.0
"""Seconds in which the driver must answer at one of its addresses."""


CERTIFICATES = ("client.key_secret", "server.key")
"""Names that Parsl gives to the secret of workers, and to what they know the driver by."""


class NodeCheckError(Exception):
    """Workers cannot run on this node."""


def arrival_options(pool: PlanPool) -> list[str]:
    """Return the options that `arrive` needs on the nodes of `pool`; none on this machine."""
    sharing = ["--sharing", str(pool.workers_per_gpu)] if pool.workers_per_gpu > 1 else []
    if pool.block is None:
        return ["--gpus", str(pool.gpus), "--of", str(pool.workers), *sharing, "--here"] if pool.gpus else []
    python = "{}.{}".format(*sys.version_info)
    words = ["--python", python, "--parsl", version("parsl")]
    words += [] if pool.shared else ["--brought"]
    if pool.gpus:
        words += ["--gpus", str(pool.gpus), "--of", str(pool.block.workers_per_node), *sharing]
        words += ["--here"] if pool.block.whole_nodes else []
    return words


def arrive(arguments: Sequence[str]) -> list[str]:
    """Check this node; return the command line for Parsl's worker pool.

    Parameters
    ----------
    arguments : sequence of str
        Those of `arrival_options`, then those of Parsl.

    Raises
    ------
    NodeCheckError
        What is wrong here.
    """
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False)
    parser.add_argument("--python", default="")
    parser.add_argument("--parsl", default="")
    parser.add_argument("--gpus", type=int, default=0)
    parser.add_argument("--of", type=int, default=1)
    parser.add_argument("--sharing", type=int, default=1)
    parser.add_argument("--here", action="store_true")
    parser.add_argument("--brought", action="store_true")
    known, rest = parser.parse_known_args(list(arguments))
    given = dict(word.split("=", 1) for word in rest if word.startswith("--") and "=" in word)
    if known.python:
        _check_versions(known.python, known.parsl)
        _check_reach(given.get("--addresses", "").split(","), int(given.get("--port", "0")))
    if known.brought:
        settle(Path(given["--cert_dir"]))
    if not known.gpus:
        return rest
    devices = assigned_gpus(os.environ, known.gpus, known.of, ours=known.here, sharing=known.sharing)
    return [*rest, "--available-accelerators", *_looked_at(devices, given.get("--block_id", ""))]


def _looked_at(devices: Sequence[str], block: str) -> list[str]:
    """Write down what the GPUs of workers are; return them by names that mean the same GPU to everybody.

    Parsl divides a number by the workers per GPU that it has counted itself, and so would put workers that share GPUs
    0 and 1 all on 0; a UUID it takes as it is.
    """
    names = list(dict.fromkeys(name for group in devices for name in group.split(",")))
    try:
        gpus = query_gpus(names, os.environ.get("FASTHEP_PARSL_NODE") or socket.gethostname())
    except NoGpuError as error:
        raise NodeCheckError(str(error)) from None
    if folder := os.environ.get(BLOCK_FOLDER):
        record_gpus(gpus, Path(folder), block)
    pins = {gpu.device: gpu.pin for gpu in gpus}
    return [",".join(pins[name] for name in group.split(",")) for group in devices]


def _check_versions(python: str, parsl_version: str) -> None:
    here = "{}.{}".format(*sys.version_info)
    if here != python:
        raise NodeCheckError(
            f"Python of the workers is {here} ({sys.executable}), the driver's is {python}: they must be equal"
        )
    found = version("parsl")  # without importing it
    if found != parsl_version:
        raise NodeCheckError(f"Parsl of the workers is {found}, the driver's is {parsl_version}: they must be equal")


def _check_reach(addresses: Sequence[str], port: int) -> None:
    """Fail at once, and with words, if the driver cannot be reached."""
    reasons = []
    for address in addresses:
        try:
            with socket.create_connection((address, port), timeout=REACH_TIMEOUT / len(addresses)):
                return
        except (OSError, UnicodeError, OverflowError) as error:  # the last ones: not the name of a host, not a port
            reasons.append(f"{address}:{port} ({getattr(error, 'strerror', None) or error})")
    raise NodeCheckError(f"{socket.gethostname()} cannot reach the driver at {', '.join(reasons)}")


def settle(certificates: Path) -> None:
    """Put certificates that were brought with the job, and lie beside their folder, into it; Parsl wants it private.

    Parsl takes the driver's public key from the file of its secret, which it does not use here: that stays with the driver.
    """
    certificates.mkdir(mode=0o700, exist_ok=True)
    own, public = (certificates.parent / name for name in CERTIFICATES)
    own.replace(certificates / own.name)
    (certificates / "server.key_secret").write_text(f'{public.read_text()}    secret-key = "stays with the driver"\n')


def assigned_gpus(
    environment: Mapping[str, str], per_worker: int, workers: int, *, ours: bool, sharing: int = 1
) -> list[str]:
    """Return the devices of each worker, as the batch system calls them; workers that share have the same ones.

    Parameters
    ----------
    environment : mapping
        Environment of the job.
    per_worker : int
        GPUs per worker.
    workers : int
        Workers on this node.
    ours : bool
        Whether all GPUs of the node are ours if the batch system says nothing (whole nodes, this machine).
    sharing : int
        Most workers that share the same GPUs; they are dealt out in turn, so that no GPU has two more than another.

    Raises
    ------
    NodeCheckError
        There are fewer GPUs than workers need.
    """
    said = next((environment[name] for name in GPU_VARIABLES if environment.get(name)), "")
    devices = [device.strip() for device in said.split(",") if device.strip() and device.strip() not in NO_GPUS]
    wanted = per_worker * -(-workers // sharing)
    if not said and ours:
        devices = [str(number) for number in range(wanted)]
    if len(devices) < per_worker:
        name = next((name for name in GPU_VARIABLES if environment.get(name)), GPU_VARIABLES[0])
        given = f"{name}={said}" if said else f"{name} is not set"
        raise NodeCheckError(f"the batch system has assigned {len(devices)} GPUs, the workers need {wanted} ({given})")
    groups = [devices[at : at + per_worker] for at in range(0, len(devices) - per_worker + 1, per_worker)]
    return [",".join(group) for group in groups[: wanted // per_worker] * sharing][:workers]
