"""Strategy ``slurm``: a block is a job of Slurm."""

from __future__ import annotations

import re
import shlex
from typing import Literal

from pydantic import Field

from fasthep_parsl.interfaces import BlockLocation, Script
from fasthep_parsl.plan import PlanBlock, PlanPool
from fasthep_parsl.strategies.base import BatchModel, block_of, node_words, output
from fasthep_parsl.strategies.formats import Directives, Lines, clock, mebibytes, script_text, with_prefix
from fasthep_parsl.workflow.values import Line


class Slurm(BatchModel):
    """Workers on a Slurm cluster: one ``sbatch`` job per block, one task per node."""

    account: Line | None = Field(None, description="account that pays")
    partition: Line | None = Field(None, description="partition, where it is not the name of the queue")
    qos: Line | None = Field(None, description="quality of service, where it is not the name of the queue")
    queue_option: Literal["partition", "qos"] = Field("partition", description="what the names of the queues are")
    constraint: Line | None = Field(None, description="features of nodes, `gpu&hbm80g`")
    gpu_option: Literal["gpus-per-node", "gres", "none"] = Field(
        "gpus-per-node", description="how GPUs are asked for; none: they come with the nodes of the queue"
    )
    gpu_type: Line | None = Field(None, description="type of GPU as Slurm calls it, `a100`")
    memory: bool = Field(True, description="whether memory is asked for; some sites refuse that (whole nodes)")
    licenses: Lines = Field((), description="licences and file systems, `scratch`")
    reservation: Line | None = Field(None, description="reservation")
    clusters: Line | None = Field(None, description="cluster, where one Slurm serves several")
    nodelist: Lines = Field((), description="nodes that must be part of each block")
    exclude: Lines = Field((), description="nodes that are never used")
    avoid_nodes: bool = Field(
        True, description="whether nodes on which blocks failed are excluded by name; some sites delete such jobs"
    )
    directives: Directives = Field((), description="further options of sbatch, `--mail-type=FAIL`")
    srun_options: Lines = Field((), description="further options of srun (blocks of several nodes)")

    def script(self, pool: PlanPool, place: BlockLocation) -> Script:
        """Return the batch script of one block; see `BatchStrategy`.

        The job gets the environment that sbatch runs in, as is usual with Slurm.
        """
        block = block_of(pool, type(self))
        asked = [*self._naming(place), *self._choice(block, place), *_size(block), *self._devices(block)]
        lines = [f"#SBATCH --{name}={_quote(value)}" if value else f"#SBATCH --{name}" for name, value in asked]
        lines += with_prefix("#SBATCH", self.directives)
        command = shlex.join(node_words(place))
        if block.nodes > 1:
            # a node whose workers end (drained, or broken) does not end the others
            words = ["srun", f"--nodes={block.nodes}", f"--ntasks={block.nodes}", "--ntasks-per-node=1"]
            words += [f"--cpus-per-task={block.cpus}", "--kill-on-bad-exit=0", "--wait=0", *self.srun_options]
            command = " ".join([*words, command])
        return Script(f"block.{place.block}.sh", script_text(lines, f"exec {command}"))

    def _naming(self, place: BlockLocation) -> list[tuple[str, str]]:
        return [
            ("job-name", place.job),
            ("chdir", place.folder),
            ("output", _file_name(output(place, "out"))),
            ("error", _file_name(output(place, "err"))),
            ("no-requeue", ""),  # a block that is lost is replaced by us
        ]

    def _choice(self, block: PlanBlock, place: BlockLocation) -> list[tuple[str, str]]:
        named = {"partition": self.partition, "qos": self.qos}
        if block.queue:
            named[self.queue_option] = block.queue
        wanted = {
            "account": self.account,
            **named,
            "constraint": self.constraint,
            "licenses": ",".join(self.licenses),
            "reservation": self.reservation,
            "clusters": self.clusters,
            "nodelist": ",".join(self.nodelist),
            "exclude": ",".join(dict.fromkeys([*self.exclude, *(place.avoid if self.avoid_nodes else ())])),
        }
        return [(name, value) for name, value in wanted.items() if value]

    def _devices(self, block: PlanBlock) -> list[tuple[str, str]]:
        asked = [("mem", f"{mebibytes(block.memory)}M")] if self.memory else []
        kind = f"{self.gpu_type}:" if self.gpu_type else ""
        if block.gpus and self.gpu_option == "gres":
            asked.append(("gres", f"gpu:{kind}{block.gpus}"))
        elif block.gpus and self.gpu_option == "gpus-per-node":
            asked.append(("gpus-per-node", f"{kind}{block.gpus}"))
        return asked


def _size(block: PlanBlock) -> list[tuple[str, str]]:
    size = [("nodes", str(block.nodes)), ("ntasks-per-node", "1"), ("cpus-per-task", str(block.cpus))]
    if block.whole_nodes:
        size.append(("exclusive", ""))
    return [*size, ("time", clock(block.walltime))]


def _file_name(path: str) -> str:
    """Keep Slurm from replacing ``%j`` and the like in a path; a backslash anywhere turns that off, and escapes."""
    return path.replace("\\", "\\\\") if "\\" in path else path.replace("%", "%%")


def _quote(value: str) -> str:
    """Quote a value as sbatch reads its directives: with backslashes, and ``#`` starts a comment."""
    if re.fullmatch(r"[\w./:,=+@%&|()*\[\]-]+", value):
        return value
    return '"' + re.sub(r'([\\"])', r"\\\1", value) + '"'
