"""How workers come to be: strategies, environments, credentials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from fasthep_parsl.plan import PlanPool


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


@dataclass(frozen=True, slots=True)
class BlockLocation:
    """Where a block of a pool lies, and what it is called.

    Attributes
    ----------
    folder : str
        Absolute path; the block runs ``node.sh`` of it and writes ``block.<number>.out`` and ``.err`` there.
    job : str
        Name for the batch system's listings.
    block : int
        Number of the block in its pool.
    avoid : tuple of str
        Nodes, as the batch system calls them, on which blocks have failed.
    files : tuple of str
        Paths or URLs to be brought to workers that do not see `folder`; ``node.sh`` comes by itself.
    secrets : tuple of str
        More of them, which nobody may read on the way.
    """

    folder: str
    job: str
    block: int
    avoid: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Script:
    """A submit file: its name in the folder of the block, and its text."""

    name: str
    text: str


class Strategy(Protocol):
    """How the workers of a pool come to exist: a frozen model with what a site says of its batch system."""

    batch: ClassVar[bool]
    """Whether a batch system creates them: then it is a `BatchStrategy`, and the compiler shapes blocks to the site's
    queues. Else workers are processes of this machine."""


class BatchStrategy(Strategy, Protocol):
    """A strategy whose workers are jobs of a batch system. Pure: asks no scheduler, starts nothing."""

    several_nodes: ClassVar[bool]
    """Whether one job can have several nodes."""
    brings_files: ClassVar[bool]
    """Whether jobs bring the files of their `BlockLocation`; else nodes must see the run directory."""

    def script(self, pool: PlanPool, place: BlockLocation) -> Script:
        """Return what is submitted for one block of `pool`, whose `block` is set; `self` holds the pool's options."""


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
