"""Base class and helpers of the strategies for batch systems."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from fasthep_parsl.interfaces import BlockLocation, ContainerRefusal, Discovery
from fasthep_parsl.plan import PlanBlock, PlanContainer, PlanPool
from fasthep_parsl.workflow.values import Model

NODE_SCRIPT = "node.sh"
"""Name of the script that each node of a block runs, in the folder of the block."""


class BatchModel(Model):
    """Base class of strategies whose workers are jobs of a batch system."""

    batch: ClassVar[bool] = True
    several_nodes: ClassVar[bool] = True
    """Whether one job can have several nodes. If not, the compiler plans blocks of one node."""
    brings_files: ClassVar[bool] = False
    """Whether jobs transfer files to nodes that do not see the run directory."""
    delivers: ClassVar[tuple[str, ...]] = ()
    """Kinds of `PlanBatchCredential` that the batch system brings to jobs."""
    discovery: ClassVar[Discovery | None] = None
    """How `sites init` finds the batch system; None if it does not look for it."""

    @property
    def starts_containers(self) -> bool:
        """Whether the batch system starts containers: it does not, unless a strategy says so."""
        return False

    def refuse_container(self, container: PlanContainer | None) -> ContainerRefusal | None:
        """Return why jobs cannot have a container; None if they can."""
        del container
        return None


def unknown_image(container: PlanContainer, starts: str) -> ContainerRefusal:
    """Return the refusal of an image; `starts` is what can be started."""
    return ContainerRefusal(("environment", "image"), f"`{container.image}` cannot be started here", f"use {starts}")


def block_of(pool: PlanPool, strategy: type[BatchModel]) -> PlanBlock:
    """Return the geometry of the pool's blocks.

    Raises
    ------
    ValueError
        The pool has no block, or its blocks have more nodes than a job can have.
    """
    if pool.block is None:
        raise ValueError(f"pool `{pool.name}` has no block")
    if pool.block.nodes > 1 and not strategy.several_nodes:
        raise ValueError(f"pool `{pool.name}`: {strategy.__name__} jobs have one node, not {pool.block.nodes}")
    return pool.block


def node_command(location: BlockLocation) -> list[str]:
    """Return the command that each node of the block runs."""
    return ["/bin/bash", f"{location.folder}/{NODE_SCRIPT}", str(location.block)]


def launch(launcher: str, options: Sequence[str], nodes: int) -> str:
    """Return the launcher's part of a command line, with ``{nodes}`` filled in."""
    return " ".join([launcher.replace("{nodes}", str(nodes)), *options])


def output_path(location: BlockLocation, kind: str) -> str:
    """Return the path of an output file of the block; `kind` is ``out``, ``err`` or ``log``."""
    return f"{location.folder}/block.{location.block}.{kind}"
