"""How workers come to be: strategies, environments, credentials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """What must be true on a worker before its first task: shell lines and files.

    Attributes
    ----------
    worker_init : tuple of str
        Shell lines, run before the worker pool starts. Never holds a secret.
    python : str
        Python of the workers.
    files : mapping
        Name in the run directory → path on the submit side, to be brought to workers.
    """

    worker_init: tuple[str, ...] = ()
    python: str = "python3"
    files: Mapping[str, str] = field(default_factory=dict)


class Strategy(Protocol):
    """How the workers of a pool are created: a frozen model with the site's options."""

    batch: ClassVar[bool]
    """Whether workers are jobs of a batch system. If so, it is a `BatchStrategy`, and the compiler fits blocks to the
    site's queues. If not, workers are processes of this machine."""


class Environment(Protocol):
    """The software that workers run."""

    def setup(self, run_dir: Path) -> WorkerSetup:
        """Return what workers need. Pure."""

    def prepare(self, run_dir: Path) -> None:
        """Make it exist (pack, copy). Idempotent."""


class Credential(Protocol):
    """A proxy or token that workers need; its value never enters a plan, script, environment or event."""

    def setup(self, run_dir: Path) -> WorkerSetup:
        """Return what workers need. Pure."""

    def prepare(self, run_dir: Path) -> None:
        """Bring it to the run directory, readable by the user alone. Idempotent."""
