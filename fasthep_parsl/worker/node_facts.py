"""Facts about a node: found by its node checks, kept in the folder of its block, sent to the driver with the first result.

They travel in the same way with and without a shared file system.
"""

from __future__ import annotations

import json
import os
import platform
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from fasthep_parsl.tasks import NodeFacts

FACTS_VARIABLE = "FASTHEP_PARSL_FACTS"
"""Environment variable of workers with the path of the file that has the facts."""
BLOCK_FOLDER = "FASTHEP_PARSL_FOLDER"
"""Environment variable with the folder of a block."""
NODE_VARIABLE = "FASTHEP_PARSL_NODE"
"""Environment variable with the name of the node in the batch system."""
ENVIRONMENT_VARIABLE = "FASTHEP_PARSL_ENVIRONMENT"
"""Environment variable with the hash of the packed environment."""


def node_name() -> str:
    """Return the name of this node."""
    return os.environ.get(NODE_VARIABLE) or socket.gethostname()


def describe_node(software: Mapping[str, str], block: str) -> NodeFacts:
    """Return the description of this node. Starts no process and imports no package."""
    return NodeFacts(
        node=node_name(),
        block=int(block) if block.isdigit() else -1,
        python=platform.python_version(),
        platform=f"{os.uname().sysname.lower()}-{os.uname().machine}",
        system=_system(),
        cpu=_cpu(),
        software=software,
        environment=os.environ.get(ENVIRONMENT_VARIABLE, ""),
    )


def record_facts(facts: NodeFacts) -> None:
    """Write facts to the file that the environment names, for the workers of this node."""
    if path := os.environ.get(FACTS_VARIABLE):
        with suppress(OSError):  # the disk is full: tasks will report it
            Path(path).write_text(json.dumps(asdict(facts)), encoding="utf-8")


def own_facts() -> NodeFacts | None:
    """Return the recorded facts of the node of this worker, None if there are none."""
    try:
        content = json.loads(Path(os.environ[FACTS_VARIABLE]).read_text(encoding="utf-8"))
        return NodeFacts(**{**content, "gpus": tuple(content["gpus"])})
    except (KeyError, OSError, ValueError, TypeError):
        return None


def first_facts() -> NodeFacts | None:
    """Return the facts at the first call in a process, then None."""
    if os.getpid() in _sent_by:
        return None
    _sent_by.add(os.getpid())
    return own_facts()


_sent_by: set[int] = set()
"""This process, if it has sent the facts. Workers are forks: a set of their parent is empty."""


def _system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return ""


def _cpu() -> str:
    """Return the name of the first processor. The file is long on large nodes, so it is not read to its end."""
    with suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return " ".join(value.split())
            if not line.strip():
                break
    return ""
