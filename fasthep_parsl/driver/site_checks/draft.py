"""Draft of a site profile, from the batch system and the network of this machine."""

from __future__ import annotations

import socket
from pathlib import Path

import psutil
import yaml

from fasthep_parsl.atomic import write_text
from fasthep_parsl.blocks.survey import Survey, group_names, survey_machine
from fasthep_parsl.errors import ConfigError, Problem
from fasthep_parsl.interfaces import NodeGroup
from fasthep_parsl.resources.units import format_duration
from fasthep_parsl.site_search import user_folder
from fasthep_parsl.workflow.execution_model import Execution

MOST_GROUPS = 12
"""Kinds of nodes that are listed; a pool of many institutes can have hundreds."""


def draft_profile() -> str:
    """Return a commented profile for the batch system of this machine. It can be loaded without changes."""
    found = survey_machine()
    parts = [_head(found), _strategy(found), _network(), _settings(found), _queues(found)]
    return "\n".join(part for part in parts if part)


def write_profile(name: str, folder: Path | None, text: str) -> Path:
    """Write a profile to the folder of the user's own sites, or to another one; return the file.

    Raises
    ------
    ConfigError
        The file exists, it cannot be written, or `name` is not a valid name.
    """
    if not name or name.startswith(("_", ".")) or Path(name).name != name:
        message = f"`{name}` is not a valid name of a site"
        raise ConfigError(
            Problem("E165", message, hint="write letters and digits: not a path, and no `_` at the beginning")
        )
    path = (folder or user_folder()).expanduser().absolute() / f"{name}.yaml"
    if path.exists():
        raise ConfigError(Problem("E165", f"{path} exists", hint="choose another name, or remove the file"))
    try:
        return write_text(path, text)
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}"
        raise ConfigError(Problem("E165", message, hint="choose another folder with --outdir")) from None


def _head(found: Survey) -> str:
    lines = ["# Draft of a site profile. Check each value, and fill in the lines that begin with `#`."]
    if not found.strategy:
        lines.append("# The commands of a batch system are not on PATH: workers are processes of this machine.")
    if found.error:
        lines += [
            "# The batch system did not describe its nodes:",
            *(f"#   {line}" for line in found.error.splitlines()),
        ]
    system = found.strategy or "no batch system"
    lines += [
        "meta:",
        f"  description: {_quoted(f'{socket.gethostname()} ({system})')}",
        "  # contact: …",
        "  # docs_url: …",
        "  status: unverified       # `verified` and `verified_on: YYYY-MM-DD` once it has worked",
    ]
    return "\n".join(lines)


def _strategy(found: Survey) -> str:
    lines = [f"extends: {found.discovery.base}"] if found.discovery and found.discovery.base else []
    lines += ["strategy:", f"  kind: {found.strategy or Execution().strategy.kind}"]
    return "\n".join([*lines, *(found.discovery.strategy_lines if found.discovery else ())])


def _network() -> str:
    """Return commented lines with the addresses of this machine. By default, workers try all of them."""
    lines = ["# How jobs reach this machine. By default they try all its addresses. Name the right one if you know it."]
    lines += ["# network:"]
    for name, addresses in sorted(psutil.net_if_addrs().items()):
        lines += [
            f"#   interface: {name}  # {item.address}"
            for item in addresses
            if item.family is socket.AF_INET and not item.address.startswith("127.")
        ]
    return "\n".join([*lines, "#   ports: 10000-10100  # if only these are open to jobs; each pool of a run needs one"])


def _settings(found: Survey) -> str:
    if found.discovery is None:
        return ""
    return "\n".join([*found.discovery.profile_lines, "# worker_init:", "#   - module load …"])


def _queues(found: Survey) -> str:
    if found.discovery is None:
        return ""
    if not found.groups:
        return "\n".join(
            [
                f"# Queues and their nodes: {found.discovery.queues_hint}.",
                "# queues:",
                "#   short: {node: {cpus: 64, memory: 250GB}, walltime: 4h}",
                "",
            ]
        )
    lines = [f"# From `{found.command}`. A pool gets the first queue that fits."]
    if not found.groups[0].queue:
        lines.append("# This batch system has no queues. These are its kinds of nodes; change the names as you like.")
    lines.append("queues:")
    names = group_names(found.groups)
    for name, group in list(zip(names, found.groups, strict=True))[:MOST_GROUPS]:
        lines += _entry(name, group)
    left = len(found.groups) - MOST_GROUPS
    return "\n".join([*lines, *([f"  # … {left} more kinds of nodes"] if left > 0 else []), ""])


def _entry(name: str, group: NodeGroup) -> list[str]:
    has = [f"cpus: {group.cpus}", f"memory: {_memory(group.memory)}"] + ([f"gpus: {group.gpus}"] if group.gpus else [])
    count = f"{group.nodes} node{'s' if group.nodes > 1 else ''}"
    lines = [f"  {_quoted(name)}:{'  # the default' if group.default else ''}"]
    lines.append(f"    node: {{{', '.join(has)}}}  # {count}; reduce the values if the system reserves some")
    if group.walltime:
        lines.append(f"    walltime: {format_duration(group.walltime)}")
    elif group.queue:
        lines.append("    # walltime: …         # no limit is set")
    lines += ["    whole_nodes: true"] if group.whole_nodes else []
    options = ", ".join(f"{key}: {_quoted(value)}" for key, value in group.options.items())
    lines += [f"    options: {{{options}}}"] if options else []
    return lines


def _memory(mebibytes: int) -> str:
    return f"{mebibytes >> 10}GiB" if mebibytes >= 1024 else f"{mebibytes}MiB"


def _quoted(text: str) -> str:
    """Return text as a YAML value."""
    return yaml.safe_dump(text, width=10_000, allow_unicode=True).splitlines()[0]
