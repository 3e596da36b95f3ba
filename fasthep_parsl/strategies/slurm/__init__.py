"""Strategy ``slurm``: a block is a job of Slurm. Its script; the commands are in `commands`."""

from __future__ import annotations

import re
import shlex
from typing import ClassVar, Literal

from pydantic import Field

from fasthep_parsl.interfaces import BlockLocation, ContainerRefusal, Discovery, Script
from fasthep_parsl.interfaces.discovery import SCRATCH
from fasthep_parsl.plan import PlanBlock, PlanContainer, PlanPool
from fasthep_parsl.strategies.base import BatchModel, block_of, node_command, output_path, unknown_image
from fasthep_parsl.strategies.formats import Directives, Lines, clock, mebibytes, script_text, with_prefix
from fasthep_parsl.strategies.slurm.commands import SlurmCommands
from fasthep_parsl.workflow.values import Line

_CLEAN = "unset PYTHONPATH PYTHONHOME # those of the submit side\n"


class Slurm(BatchModel):
    """Workers on a Slurm cluster: one ``sbatch`` job per block, one task per node."""

    discovery: ClassVar[Discovery | None] = Discovery(
        programs=(*SlurmCommands.programs, "sinfo"),
        commands=SlurmCommands(),
        base="_slurm",
        strategy_lines=(
            "  # account: …            # project that is charged; `sacctmgr show associations user=$USER` lists yours",
        ),
        profile_lines=SCRATCH,
    )

    account: Line | None = Field(None, description="account that is charged")
    partition: Line | None = Field(None, description="partition, if queues are not partitions")
    qos: Line | None = Field(None, description="quality of service, if queues are not qualities of service")
    queue_option: Literal["partition", "qos"] = Field(
        "partition", description="whether queues are partitions or qualities of service"
    )
    constraint: Line | None = Field(None, description="features of nodes, `gpu&hbm80g`")
    gpu_option: Literal["gpus-per-node", "gres", "none"] = Field(
        "gpus-per-node", description="how GPUs are requested; none: the nodes of the queue include them"
    )
    gpu_type: Line | None = Field(None, description="Slurm's name for the type of GPU, `a100`")
    memory: bool = Field(True, description="whether memory is requested; some sites with whole nodes refuse this")
    licenses: Lines = Field((), description="licences and file systems, `scratch`")
    reservation: Line | None = Field(None, description="reservation")
    clusters: Line | None = Field(None, description="cluster, if one Slurm serves several")
    nodelist: Lines = Field((), description="nodes that each block must include")
    exclude: Lines = Field((), description="nodes that are never used")
    avoid_nodes: bool = Field(
        True, description="whether nodes on which blocks failed are excluded by name; some sites delete such jobs"
    )
    oci_bundles: bool = Field(
        False,
        description="whether Slurm starts containers, which are OCI bundles (`--container`); if not, apptainer does",
    )
    directives: Directives = Field((), description="further options of sbatch, `--mail-type=FAIL`")
    srun_options: Lines = Field((), description="further options of srun (blocks of several nodes)")

    def script(self, pool: PlanPool, location: BlockLocation) -> Script:
        """Return the batch script of one block; see `BatchStrategy`.

        The job inherits the environment of sbatch, as is usual with Slurm.
        """
        block = block_of(pool, type(self))
        options = [*self._naming(location), *self._choice(block, location), *_size(block), *self._devices(block)]
        bundle = [("container", pool.container.image)] if pool.container and pool.container.runtime == "site" else []
        options += bundle if block.nodes == 1 else []
        lines = [f"#SBATCH --{name}={_quote(value)}" if value else f"#SBATCH --{name}" for name, value in options]
        lines += with_prefix("#SBATCH", self.directives)
        command = shlex.join(node_command(location))
        if block.nodes > 1:
            # when the workers of one node end (drained, or broken), the other nodes go on
            srun = ["srun", f"--nodes={block.nodes}", f"--ntasks={block.nodes}", "--ntasks-per-node=1"]
            srun += [f"--cpus-per-task={block.cpus}", "--kill-on-bad-exit=0", "--wait=0", *self.srun_options]
            srun += [shlex.quote(f"--{name}={value}") for name, value in bundle]
            command = " ".join([*srun, command])
        return Script(f"block.{location.block}.sh", script_text(lines, f"{_CLEAN if bundle else ''}exec {command}"))

    def commands(self) -> SlurmCommands:
        """Return the commands of Slurm."""
        return SlurmCommands(self.clusters, queues_are_partitions=self.queue_option == "partition")

    @property
    def starts_containers(self) -> bool:
        """Slurm starts containers where the site has configured a runtime for OCI bundles."""
        return self.oci_bundles

    def refuse_container(self, container: PlanContainer | None) -> ContainerRefusal | None:
        """Return why jobs cannot have a container: OCI bundles are folders, and say themselves what they mount."""
        if container is None or container.runtime != "site":
            return None
        if container.bind:
            hint = "mount them in the bundle's `config.json`, or use `runtime: apptainer`"
            return ContainerRefusal(("environment", "bind"), "Slurm cannot mount folders of your choice", hint)
        if "://" in container.image or container.image.endswith(".sif"):
            return unknown_image(container, "the folder of an OCI bundle, or `runtime: apptainer`")
        return None

    def _naming(self, location: BlockLocation) -> list[tuple[str, str]]:
        return [
            ("job-name", location.job),
            ("chdir", location.folder),
            ("output", _file_name(output_path(location, "out"))),
            ("error", _file_name(output_path(location, "err"))),
            ("no-requeue", ""),  # the scaling policy replaces lost blocks
        ]

    def _choice(self, block: PlanBlock, location: BlockLocation) -> list[tuple[str, str]]:
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
            "exclude": ",".join(dict.fromkeys([*self.exclude, *(location.avoid if self.avoid_nodes else ())])),
        }
        return [(name, value) for name, value in wanted.items() if value]

    def _devices(self, block: PlanBlock) -> list[tuple[str, str]]:
        options = [("mem", f"{mebibytes(block.memory)}M")] if self.memory else []
        kind = f"{self.gpu_type}:" if self.gpu_type else ""
        if block.gpus and self.gpu_option == "gres":
            options.append(("gres", f"gpu:{kind}{block.gpus}"))
        elif block.gpus and self.gpu_option == "gpus-per-node":
            options.append(("gpus-per-node", f"{kind}{block.gpus}"))
        return options


def _size(block: PlanBlock) -> list[tuple[str, str]]:
    size = [("nodes", str(block.nodes)), ("ntasks-per-node", "1"), ("cpus-per-task", str(block.cpus))]
    if block.whole_nodes:
        size.append(("exclusive", ""))
    return [*size, ("time", clock(block.walltime))]


def _file_name(path: str) -> str:
    """Return a path in which Slurm replaces no ``%j``. A backslash anywhere disables replacements, and is an escape."""
    return path.replace("\\", "\\\\") if "\\" in path else path.replace("%", "%%")


def _quote(value: str) -> str:
    """Quote a value for a directive of sbatch, where a backslash is an escape and ``#`` starts a comment."""
    if re.fullmatch(r"[\w./:,=+@%&|()*\[\]-]+", value):
        return value
    return '"' + re.sub(r'([\\"])', r"\\\1", value) + '"'
