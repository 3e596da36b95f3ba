"""A first draft of a site profile: what this machine and its batch system say, and what is left to find out."""

from __future__ import annotations

import socket
from pathlib import Path

import psutil
import yaml

from fasthep_parsl.atomic import write_text
from fasthep_parsl.blocks.survey import Shape, Survey, look_around, names_of
from fasthep_parsl.errors import ConfigError, Problem
from fasthep_parsl.resources.units import format_duration
from fasthep_parsl.sites.search import user_folder

MOST_SHAPES = 12
"""Kinds of nodes that are listed; pools of many institutes have very many."""
_BASES = {"slurm": "_slurm", "htcondor": "_htcondor", "pbs": "_pbspro"}
_ACCOUNTS = {
    "slurm": "  # account: …            # project that is charged; `sacctmgr show associations user=$USER` lists yours",
    "htcondor": "  # accounting_group: …   # if your pool asks for one",
    "pbs": "  # account: …            # project that is charged",
}
_QUEUES = {
    "pbs": "`qstat -Qf` lists them, `pbsnodes -a` their nodes",
    "lsf": "`bqueues -l` lists them, `lshosts` their nodes",
    "grid_engine": "`qconf -sql` lists them, `qhost` their nodes",
    "kubernetes": "`kubectl describe nodes` says what they have",
}


def draft_profile() -> str:
    """Return a commented profile for the batch system that is found on this machine. It loads as it is."""
    found = look_around()
    parts = [_head(found), _strategy(found), _network(), _rest(found), _queues(found)]
    return "\n".join(part for part in parts if part)


def write_profile(name: str, folder: Path | None, text: str) -> Path:
    """Write a profile to the folder of the user's own sites, or to another one; return the file.

    Raises
    ------
    ConfigError
        There is one already, it cannot be written, or `name` is no name of a site.
    """
    if not name or name.startswith(("_", ".")) or Path(name).name != name:
        message = f"`{name}` is no name for a site"
        raise ConfigError(Problem("E165", message, hint="letters and digits; not a path, and no `_` in front"))
    path = (folder or user_folder()).expanduser().absolute() / f"{name}.yaml"
    if path.exists():
        raise ConfigError(Problem("E165", f"{path} exists already", hint="give another name, or remove the file"))
    try:
        return write_text(path, text)
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}"
        raise ConfigError(Problem("E165", message, hint="give another folder with --outdir")) from None


def _head(found: Survey) -> str:
    what = found.kind or "no batch system"
    lines = ["# Draft of a site profile: check what stands here, and fill in what is behind `#`."]
    if not found.kind:
        lines.append("# No command of a batch system is on PATH: workers are processes of this machine.")
    if found.words:
        lines += ["# The batch system did not describe itself:", *(f"#   {line}" for line in found.words.splitlines())]
    lines += [
        "meta:",
        f"  description: {_quoted(f'{socket.gethostname()} ({what})')}",
        "  # contact: …",
        "  # docs_url: …",
        "  status: unverified       # `verified` and `verified_on: YYYY-MM-DD` once it has worked",
    ]
    return "\n".join(lines)


def _strategy(found: Survey) -> str:
    lines = []
    if found.kind in _BASES:
        lines.append(f"extends: {_BASES[found.kind]}")
    lines += ["strategy:", f"  kind: {found.kind or 'local'}"]
    lines += [_ACCOUNTS[found.kind]] if found.kind in _ACCOUNTS else []
    if found.kind == "htcondor":
        lines += [
            "  # HTCondor has no walltime of its own; if your pool limits jobs, this is where it is told:",
            "  # walltime_attribute: +MaxRuntime",
        ]
    return "\n".join(lines)


def _network() -> str:
    """Return the addresses of this machine; by default workers try all of them."""
    lines = ["# How jobs reach this machine. By default they try all its addresses; name the right one if you know it."]
    lines += ["# network:"]
    for name, addresses in sorted(psutil.net_if_addrs().items()):
        lines += [
            f"#   interface: {name}  # {item.address}"
            for item in addresses
            if item.family is socket.AF_INET and not item.address.startswith("127.")
        ]
    return "\n".join([*lines, "#   ports: 10000-10100  # if only some are open to jobs: one for each pool of a run"])


def _rest(found: Survey) -> str:
    if not found.kind:
        return ""
    lines = []
    if found.kind not in _BASES or found.kind == "htcondor":
        lines += [
            "# Jobs see the environment from which the run is started, and its run directory:",
            "environment: {kind: shared-prefix, prefix: current}",
            "shared_filesystem: true",
        ]
    if found.kind != "htcondor":  # it sets a folder for each job
        lines.append("# scratch: $TMPDIR          # disk of a node, expanded there")
    lines += ["# worker_init:", "#   - module load …"]
    return "\n".join(lines)


def _queues(found: Survey) -> str:
    if not found.kind:
        return ""
    if not found.shapes:
        where = _QUEUES.get(found.kind, "the site's documents say which there are")
        return "\n".join(
            [
                f"# Queues and their nodes: {where}.",
                "# queues:",
                "#   short: {node: {cpus: 64, memory: 250GB}, walltime: 4h}",
                "",
            ]
        )
    lines = [f"# From `{found.command}`. The first that fits is taken."]
    if not found.shapes[0].queue:
        lines.append("# HTCondor has no queues: these are its kinds of nodes, under names that are free to choose.")
    lines.append("queues:")
    names = names_of(found.shapes)
    for name, shape in list(zip(names, found.shapes, strict=True))[:MOST_SHAPES]:
        lines += _entry(name, shape)
    left = len(found.shapes) - MOST_SHAPES
    return "\n".join([*lines, *([f"  # … {left} more kinds of nodes"] if left > 0 else []), ""])


def _entry(name: str, shape: Shape) -> list[str]:
    has = [f"cpus: {shape.cpus}", f"memory: {_memory(shape.memory)}"] + ([f"gpus: {shape.gpus}"] if shape.gpus else [])
    count = f"{shape.nodes} node{'s' if shape.nodes > 1 else ''}"
    lines = [f"  {_quoted(name)}:{'  # the default' if shape.usual else ''}"]
    lines.append(f"    node: {{{', '.join(has)}}}  # {count}; say less if the system keeps some")
    if shape.walltime:
        lines.append(f"    walltime: {format_duration(shape.walltime)}")
    elif shape.queue:
        lines.append("    # walltime: …         # no limit is set")
    lines += ["    whole_nodes: true"] if shape.whole_nodes else []
    lines += [f"    options: {{gpu_type: {_quoted(shape.gpu_type)}}}"] if shape.gpu_type else []
    return lines


def _memory(mebibytes: int) -> str:
    return f"{mebibytes >> 10}GiB" if mebibytes >= 1024 else f"{mebibytes}MiB"


def _quoted(text: str) -> str:
    """Return text as YAML has it."""
    return yaml.safe_dump(text, width=10_000, allow_unicode=True).splitlines()[0]
