"""The contract of a strategy for a batch system: the script of a block.

Such a strategy is one file: a `BatchStrategy` and its `SchedulerCommands`. Both are pure. They return texts and command
lines, and read outputs; other modules run the commands. `strategies/slurm` is an example.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol

from fasthep_parsl.interfaces.workers import Strategy

if TYPE_CHECKING:
    from fasthep_parsl.interfaces.discovery import Discovery
    from fasthep_parsl.interfaces.scheduler_commands import SchedulerCommands
    from fasthep_parsl.plan import PlanContainer, PlanPool


@dataclass(frozen=True, slots=True)
class BlockLocation:
    """Where a block of a pool has its files, and how its job is called.

    Attributes
    ----------
    folder : str
        Absolute path. The block runs ``node.sh`` in this folder and writes ``block.<number>.out`` and ``.err`` to it.
    job : str
        Name of the job in the batch system's listings.
    block : int
        Number of the block in its pool.
    avoid : tuple of str
        Nodes on which blocks have failed, by the batch system's names.
    files : tuple of str
        Paths or URLs to transfer to nodes that do not see `folder`. ``node.sh`` is transferred in any case.
    secrets : tuple of str
        Further files, to be transferred encrypted.
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


class ContainerRefusal(NamedTuple):
    """Why a strategy cannot start a container.

    Attributes
    ----------
    key : tuple of str
        Key path of the mistake below ``execution``, ``("environment", "bind")``.
    message, hint : str
        As in `Problem`.
    """

    key: tuple[str, ...]
    message: str
    hint: str


class BatchStrategy(Strategy, Protocol):
    """A strategy whose workers are jobs of a batch system. Derive it from `fasthep_parsl.strategies.base.BatchModel`."""

    several_nodes: ClassVar[bool]
    """Whether one job can have several nodes."""
    brings_files: ClassVar[bool]
    """Whether jobs transfer the files of their `BlockLocation`. If not, nodes must see the run directory."""
    delivers: ClassVar[tuple[str, ...]]
    """Kinds of `PlanBatchCredential` that the batch system brings to jobs: `script` asks for those of the pool."""
    discovery: ClassVar[Discovery | None]
    """How `sites init` finds the batch system; None if it does not look for it."""

    def script(self, pool: PlanPool, location: BlockLocation) -> Script:
        """Return what is submitted for one block of `pool`, whose `block` is set; `self` has the pool's options.

        Each node of the block runs ``/bin/bash <folder>/node.sh <number of the block>``. If the batch system has its own
        name for a node, the script exports it as FASTHEP_PARSL_NODE.
        """

    @property
    def starts_containers(self) -> bool:
        """Whether `script` lets the batch system start the container of a pool, if its runtime is ``site``.

        ``node.sh`` then runs in the container. If not, ``node.sh`` starts the container with apptainer.
        """

    def refuse_container(self, container: PlanContainer | None) -> ContainerRefusal | None:
        """Return why the jobs cannot have this container, or none; None if they can.

        Its runtime is ``site`` only if `starts_containers`.
        """

    def commands(self) -> SchedulerCommands:
        """Return the commands of the batch system, for the options in `self`."""
