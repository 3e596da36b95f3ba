"""Strategy ``grid_engine``: a block is a job of Grid Engine (SGE, UGE). Its scripts are rendered, they were not run here.

Directives follow Parsl's ``GridEngineProvider`` (``parsl/providers/grid_engine``: ``-S``, ``-o``, ``-e``, ``h_rt``,
``-q``); slots, resources and nodes to avoid follow the manual of ``qsub`` (``-pe``, ``-l``, ``-l h=!(…)``).
"""

from __future__ import annotations

import shlex
from typing import ClassVar

from pydantic import Field

from fasthep_parsl.interfaces import BlockLocation, Script
from fasthep_parsl.plan import PlanBlock, PlanPool
from fasthep_parsl.strategies.base import BatchModel, block_of, node_words, output
from fasthep_parsl.strategies.formats import (
    Directives,
    Lines,
    clock,
    mebibytes,
    quote_by_choice,
    script_text,
    short_name,
    with_prefix,
)
from fasthep_parsl.workflow.values import Line

LONGEST_NAME = 64


class GridEngine(BatchModel):
    """Workers on a Grid Engine cluster: one ``qsub`` job per block, on one node. Rendered and checked, not run here."""

    several_nodes: ClassVar[bool] = False

    project: Line | None = Field(None, description="project that pays")
    parallel_environment: Line = Field("smp", description="parallel environment that gives all slots on one node")
    memory_resource: Line | None = Field(
        None, description="resource for memory per slot, `h_vmem` or `mem_free`; null: not asked for"
    )
    gpu_resource: Line | None = Field("gpu", description="resource for GPUs per job; null: not asked for")
    resources: Lines = Field((), description="further resources, `os=el9`")
    directives: Directives = Field((), description="further options of qsub, `-notify`")

    def script(self, pool: PlanPool, place: BlockLocation) -> Script:
        """Return the batch script of one block; see `BatchStrategy`."""
        block = block_of(pool, type(self))
        asked = [
            "-S /bin/bash",
            f"-N {short_name(place.job, LONGEST_NAME)}",
            f"-wd {quote_by_choice(place.folder)}",
            f"-o {quote_by_choice(output(place, 'out'))}",
            f"-e {quote_by_choice(output(place, 'err'))}",
            "-r n",  # a block that is lost is replaced by us
            "-m n",
            *([f"-P {quote_by_choice(self.project)}"] if self.project else []),
            *([f"-q {quote_by_choice(block.queue)}"] if block.queue else []),
            *([f"-pe {quote_by_choice(self.parallel_environment)} {block.cpus}"] if block.cpus > 1 else []),
            f"-l h_rt={clock(block.walltime)}",
            *self._needs(block, place),
            *self.directives,
        ]
        command = shlex.join(node_words(place))
        return Script(f"block.{place.block}.sh", script_text(with_prefix("#$", asked), f"exec {command}"))

    def _needs(self, block: PlanBlock, place: BlockLocation) -> list[str]:
        needs = list(self.resources)
        if self.memory_resource:
            needs.append(f"{self.memory_resource}={max(mebibytes(block.memory) // block.cpus, 1)}M")
        if block.gpus and self.gpu_resource:
            needs.append(f"{self.gpu_resource}={block.gpus}")
        if block.whole_nodes:
            needs.append("exclusive=true")
        if place.avoid:
            needs.append(f"h=!({'|'.join(place.avoid)})")
        return [f"-l {quote_by_choice(need)}" for need in needs]
