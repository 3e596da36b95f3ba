"""Strategy ``pbs``: a block is a job of PBS Professional or OpenPBS. Its scripts are rendered, they were not run here.

Directives follow Parsl's ``PBSProProvider`` (``parsl/providers/pbspro/template.py``) and, for select lines, file systems
and the launcher, the user guides of Polaris and Aurora (argonne-lcf/user-guides).
"""

from __future__ import annotations

import shlex

from pydantic import Field

from fasthep_parsl.interfaces import BlockLocation, Script
from fasthep_parsl.plan import PlanBlock, PlanPool
from fasthep_parsl.strategies.base import BatchModel, block_of, launch, node_words, output
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

LONGEST_NAME = 15


class Pbs(BatchModel):
    """Workers on a PBS Pro cluster: one ``qsub`` job per block. Rendered and checked as text, not run here."""

    account: Line | None = Field(None, description="account that pays")
    ncpus: bool = Field(True, description="whether cores are asked for (`ncpus`); not needed where nodes are whole")
    memory: bool = Field(True, description="whether memory is asked for (`mem`); not needed where nodes are whole")
    gpu_resource: Line | None = Field("ngpus", description="what GPUs are called in a select line; null: not asked for")
    select_options: Lines = Field((), description="further parts of the select line, `system=polaris`")
    place: Line | None = Field(None, description="placement; by default `scatter` for several nodes, `:excl` for whole")
    filesystems: Line | None = Field(None, description="file systems that the job needs, `home:eagle`")
    directives: Directives = Field((), description="further options of qsub, `-W group_list=cms`")
    launcher: Line = Field(
        "mpiexec -n {nodes} --ppn 1", description="what starts one process per node of a block of several nodes"
    )
    launch_options: Lines = Field((), description="further options of the launcher, `--depth=64`")

    def script(self, pool: PlanPool, place: BlockLocation) -> Script:
        """Return the batch script of one block; see `BatchStrategy`.

        PBS cannot keep a job away from named nodes, so ``place.avoid`` has no effect. A path that holds both kinds of
        quotes cannot be written in a directive.
        """
        block = block_of(pool, type(self))
        asked = [
            "-S /bin/bash",
            f"-N {short_name(place.job, LONGEST_NAME)}",
            f"-o {quote_by_choice(output(place, 'out'))}",
            f"-e {quote_by_choice(output(place, 'err'))}",
            "-r n",  # a block that is lost is replaced by us
            "-m n",
            *([f"-A {quote_by_choice(self.account)}"] if self.account else []),
            *([f"-q {quote_by_choice(block.queue)}"] if block.queue else []),
            f"-l select={self._select(block)}",
            *self._placement(block),
            f"-l walltime={clock(block.walltime)}",
            *([f"-l filesystems={self.filesystems}"] if self.filesystems else []),
            *self.directives,
        ]
        command = shlex.join(node_words(place))
        if block.nodes > 1:
            command = f"{launch(self.launcher, self.launch_options, block.nodes)} {command}"
        return Script(f"block.{place.block}.sh", script_text(with_prefix("#PBS", asked), f"exec {command}"))

    def _select(self, block: PlanBlock) -> str:
        chunk = [str(block.nodes)]
        chunk += [f"ncpus={block.cpus}"] if self.ncpus else []
        chunk += [f"mem={mebibytes(block.memory)}mb"] if self.memory else []
        chunk += [f"{self.gpu_resource}={block.gpus}"] if block.gpus and self.gpu_resource else []
        return ":".join([*chunk, *(part.strip(":") for part in self.select_options)])

    def _placement(self, block: PlanBlock) -> list[str]:
        usual = "scatter" if block.nodes > 1 or block.whole_nodes else ""
        place = self.place or (f"{usual}:excl" if block.whole_nodes else usual)
        return [f"-l place={place}"] if place else []
