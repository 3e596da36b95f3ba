"""Survey of a machine: find its batch system, and list the nodes and queues."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fasthep_parsl import registry
from fasthep_parsl.blocks.job_control import JobControl
from fasthep_parsl.interfaces import Discovery, NodeGroup

TIMEOUT = 30.0
"""Seconds in which a batch system must describe its nodes."""


@dataclass(frozen=True, slots=True)
class Survey:
    """A batch system and its nodes.

    Attributes
    ----------
    strategy : str
        Name of its strategy; empty if no batch system was found.
    discovery : Discovery or None
        What the strategy offers for a draft.
    groups : tuple of NodeGroup
        Its nodes; empty if it did not describe them.
    command : str
        Command that describes the nodes; empty if there is none.
    error : str
        The message of that command, if it failed.
    """

    strategy: str = ""
    discovery: Discovery | None = None
    groups: tuple[NodeGroup, ...] = ()
    command: str = ""
    error: str = ""


def survey_machine() -> Survey:
    """Return the batch system of this machine with its nodes.

    A machine can have the programs of several batch systems, also of one that is not in use. The first one that
    describes its nodes is taken, else the first one that has a command for this, else the first one.
    """
    surveys = [_survey(name, discovery) for name, discovery in _present()]
    ranked = sorted(surveys, key=lambda survey: (not survey.groups, not survey.command))
    return ranked[0] if ranked else Survey()


def _present() -> Iterator[tuple[str, Discovery]]:
    """Yield the strategies whose programs are on PATH."""
    for name in registry.names("strategies"):
        strategy = registry.load("strategies", name)
        discovery: Discovery | None = strategy.discovery if strategy.batch else None
        if discovery is not None and all(map(shutil.which, discovery.programs)):
            yield name, discovery


def _survey(name: str, discovery: Discovery) -> Survey:
    argv = discovery.commands.survey()
    if not argv:
        return Survey(name, discovery)
    result = JobControl(discovery.commands, TIMEOUT).run(argv)
    groups = discovery.commands.read_survey(result.out) if result.ok else []
    return Survey(name, discovery, tuple(groups), shlex.join(argv), "" if result.ok else result.message)


def group_names(groups: Sequence[NodeGroup]) -> list[str]:
    """Return a name for each group: its queue, else one made of the resources of a node."""
    return [group.queue or _name(group) for group in groups]


def _name(group: NodeGroup) -> str:
    gpus = f"-{group.gpus}gpu" if group.gpus else ""
    return f"{group.cpus}cpu-{max(group.memory >> 10, 1)}GiB{gpus}"
