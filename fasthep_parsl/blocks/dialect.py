"""What differs between batch systems: the words of their commands and how to read the answers. Pure."""

from __future__ import annotations

import importlib
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fasthep_parsl.blocks.commands import Answer
from fasthep_parsl.errors import SiteError

State = Literal["pending", "running", "ended", "held"]


@dataclass(frozen=True, slots=True)
class Job:
    """A job as its batch system sees it.

    Attributes
    ----------
    id : str
        Its id.
    state : str
        ``pending``, ``running``, ``ended`` or ``held`` (it will not start without help).
    node : str
        Its first node, as the batch system calls it; empty if it has none.
    reason : str
        Why it waits, is held, or has ended.
    """

    id: str
    state: State
    node: str = ""
    reason: str = ""


_CLASSES = {
    "slurm": "Slurm",
    "htcondor": "HTCondor",
    "pbs": "PBS",
    "lsf": "LSF",
    "grid_engine": "GridEngine",
    "kubernetes": "Kubernetes",
}
"""Strategy → class in the module of the same name."""
KINDS = tuple(_CLASSES)
"""Strategies that there are commands for."""


class Dialect(ABC):
    """Commands of one batch system.

    Parameters
    ----------
    options : mapping
        Fields of the strategy.
    """

    programs: tuple[str, ...]
    """Commands that must be there."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options

    @abstractmethod
    def submit(self, script: Path) -> list[str]:
        """Return the command that submits a script."""

    @abstractmethod
    def job_id(self, output: str) -> str:
        """Return the id in the output of a successful submission, empty if there is none."""

    @abstractmethod
    def status(self, jobs: Sequence[str]) -> list[str]:
        """Return the command that asks for jobs."""

    @abstractmethod
    def read_status(self, answer: Answer, jobs: Sequence[str]) -> dict[str, Job] | None:
        """Return what is known of `jobs`, None if nothing can be said; a job that is not in it has ended."""

    @abstractmethod
    def cancel(self, jobs: Sequence[str]) -> list[list[str]]:
        """Return the commands that remove jobs, to be run one after the other; the first one's answer counts."""

    def gone(self, answer: Answer) -> bool:
        """Return whether a removal failed only because the jobs had ended already; such an answer may be a success."""
        del answer
        return False

    def post_mortem(self, folder: Path, block: int) -> Job | None:
        """Return what the batch system has written about a block into its folder, None if it writes nothing."""
        del folder, block
        return None

    def listing(self) -> list[str]:
        """Return the command that prints ``id|script`` of each job of the user.

        Empty if the batch system writes that (`post_mortem`), or if there is none: then jobs whose submission was not
        answered are not looked for.
        """
        return []

    def trial(self, script: Path) -> list[str]:
        """Return the command that says whether a script would be accepted, without submitting it; empty: none can."""
        del script
        return []

    def queue_check(self, queue: str) -> list[str]:
        """Return the command that fails, or prints nothing, if a queue does not exist; empty if there are none."""
        del queue
        return []


def understood(dialect: Dialect, answer: Answer, jobs: Sequence[str]) -> dict[str, Job] | None:
    """Return what is known of `jobs`, None if nothing can be said, or made of what was said."""
    try:
        return dialect.read_status(answer, jobs)
    except (AttributeError, LookupError, TypeError, ValueError):  # not what the manual says, whatever it is
        return None


def says_only(answer: Answer, pattern: str) -> bool:
    """Return whether a command has said something, and each of its lines is `pattern` and nothing else."""
    lines = [line.strip() for line in (answer.out + "\n" + answer.err).splitlines() if line.strip()]
    return bool(lines) and all(re.fullmatch(pattern, line) for line in lines)


def dialect_of(kind: str, options: Mapping[str, Any]) -> Dialect:
    """Return the dialect of a strategy.

    Parameters
    ----------
    kind : str
        Name of the strategy.
    options : mapping
        Its fields.

    Raises
    ------
    SiteError
        This backend has no commands for it.
    """
    if kind not in _CLASSES:
        raise SiteError(f"backend parsl has no commands for strategy `{kind}`; it has: {', '.join(_CLASSES)}")
    module = importlib.import_module(f"{__package__}.{kind}")
    made: Dialect = getattr(module, _CLASSES[kind])(options)
    return made
