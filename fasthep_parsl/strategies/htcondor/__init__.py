"""Strategy ``htcondor``: a block is a job of HTCondor. Its submit file; the commands are in `commands`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from fasthep_parsl.interfaces import BlockLocation, ContainerRefusal, Discovery, Script
from fasthep_parsl.interfaces.discovery import SHARED_FILES
from fasthep_parsl.plan import PlanBatchCredential, PlanBlock, PlanContainer, PlanPool
from fasthep_parsl.resources.validation import Duration, wrong_value
from fasthep_parsl.strategies.base import NODE_SCRIPT, BatchModel, block_of, node_command, output_path
from fasthep_parsl.strategies.formats import Lines, kibibytes, mebibytes
from fasthep_parsl.strategies.htcondor.commands import HTCondorCommands
from fasthep_parsl.workflow import values

MOST_STARTS = 10
"""Starts after which a job that was evicted each time is removed, also if its driver has ended."""
LONGEST_HOLD = 3600
"""Seconds after which a held job is removed. A driver that is alive has replaced it long before."""


def _no_continuation(value: str) -> str:
    if value.endswith("\\"):
        raise wrong_value(
            f"`{value}` would continue in the next line of the submit file", "remove the backslash at its end"
        )
    return value


def _key(value: str) -> str:
    if not re.fullmatch(r"\+?[\w.]+", value):
        raise wrong_value(f"`{value}` is not a key of a submit file", "write a key such as `+MaxRuntime`")
    return value


Line = Annotated[values.Line, AfterValidator(_no_continuation)]
Key = Annotated[Line, AfterValidator(_key)]


def _key_value(value: str) -> str:
    if not re.match(r"\+?[\w.]+\s*=", value):
        raise wrong_value(
            f"`{value}` is not a line of a submit file", "write `key = value`, such as `+MyAttribute = True`"
        )
    return value


class HTCondor(BatchModel):
    """Workers in an HTCondor pool: one vanilla job per block, on one node."""

    several_nodes: ClassVar[bool] = False
    brings_files: ClassVar[bool] = True
    delivers: ClassVar[tuple[str, ...]] = ("x509", "oauth")

    discovery: ClassVar[Discovery | None] = Discovery(
        programs=(*HTCondorCommands.programs, "condor_status"),
        commands=HTCondorCommands(),
        base="_htcondor",
        strategy_lines=(
            "  # accounting_group: …   # if your pool requires one",
            "  # HTCondor has no walltime of its own. If your pool limits jobs, name the attribute of the limit:",
            "  # walltime_attribute: +MaxRuntime",
        ),
        profile_lines=SHARED_FILES,  # HTCondor makes a scratch folder for each job
    )

    walltime_attribute: Key | None = Field(
        None, description="key of the walltime in seconds: `+MaxRuntime`, `+RequestRuntime`, `+JobFlavour`"
    )
    walltime_values: Annotated[dict[Line, Duration], BeforeValidator(values.empty_mapping)] = Field(
        default_factory=dict,
        description="names of walltimes, `{espresso: 20m}`, seconds; the shortest one that is long enough is used",
    )
    queue_attribute: Key | None = Field(None, description="key of the queue's name, `+queue`")
    requirements: Line | None = Field(None, description="expression that nodes must fulfil")
    avoid_nodes: bool = Field(True, description="whether nodes on which blocks failed are excluded by name")
    accounting_group: Line | None = Field(None, description="accounting group")
    project: Line | None = Field(None, description="project, `+ProjectName`")
    container_image: Line | None = Field(None, description="image of the job's container, `osdf:///….sif`")
    singularity_image: Line | None = Field(None, description="image, if the site uses `+SingularityImage`")
    image_attribute: Literal["container_image", "+SingularityImage"] = Field(
        "container_image", description="attribute of the image of environment `container`"
    )
    transfer: bool = Field(
        False, description="whether HTCondor transfers files and output; always without shared files or with an image"
    )
    job_lease: Duration = Field(
        120.0,
        description="a job is restarted if its node does not respond for so long, seconds; HTCondor's default is 2400",
    )
    directives: Annotated[tuple[Annotated[Line, AfterValidator(_key_value)], ...], Lines.__metadata__[0]] = Field(
        (), description="further lines of the submit file, `key = value`; they override the strategy's lines"
    )

    def script(self, pool: PlanPool, location: BlockLocation) -> Script:
        """Return the submit file of one block; see `BatchStrategy`."""
        block = block_of(pool, type(self))
        lines = [
            *self._program(pool, location),
            *_resources(block),
            *self._limits(block),
            *self._choice(block, location),
            *self._image(pool.container, pool.shared),
            *_credentials(pool.batch_credentials),
            *self.directives,
            "queue",
        ]
        return Script(f"block.{location.block}.sub", "\n".join(lines) + "\n")

    def commands(self) -> HTCondorCommands:
        """Return the commands of HTCondor."""
        return HTCondorCommands()

    def _program(self, pool: PlanPool, location: BlockLocation) -> list[str]:
        # images are transferred too
        image = self.container_image is not None or (
            _is_own(pool.container) and self.image_attribute == "container_image"
        )
        transfer = self.transfer or not pool.shared or image
        program, *arguments = node_command(location)
        files = [*location.files, *location.secrets]
        if not pool.shared:
            files.insert(0, arguments[0])
            arguments[0] = NODE_SCRIPT
        lines = [
            "universe = vanilla",
            f"batch_name = {_plain(location.job)}",
            f"executable = {program}",
            "transfer_executable = False",
            f"arguments = {_arguments(arguments)}",
            f"initialdir = {_plain(location.folder)}",
            *(f"{key} = {_plain(output_path(location, kind))}" for key, kind in _OUTPUTS),
            f"should_transfer_files = {'YES' if transfer else 'NO'}",
        ]
        if transfer:
            # the content of the scratch folder is not needed: only output is transferred back
            lines += ["when_to_transfer_output = ON_EXIT", 'transfer_output_files = ""']
            lines += [f"transfer_input_files = {','.join(map(_plain, files))}"] if files else []
            lines += [f"encrypt_input_files = {','.join(map(_plain, location.secrets))}"] if location.secrets else []
        return lines

    @property
    def starts_containers(self) -> bool:
        """HTCondor starts containers: with the container universe, or as the site has configured it."""
        return True

    def refuse_container(self, container: PlanContainer | None) -> ContainerRefusal | None:
        """Return why jobs cannot have a container: the strategy names another image, or it cannot mount folders."""
        own = "container_image" if self.container_image else "singularity_image" if self.singularity_image else ""
        if container is None:
            return None
        if own:
            message = f"`strategy.{own}` is an image, too: `{self.container_image or self.singularity_image}`"
            return ContainerRefusal(("environment", "image"), message, "remove one of the two")
        if container.runtime == "site" and container.bind:
            hint = "remove `bind`: HTCondor mounts what the site has configured; or use `runtime: apptainer`"
            return ContainerRefusal(("environment", "bind"), "HTCondor cannot mount folders of your choice", hint)
        return None

    def _image(self, container: PlanContainer | None, shared: bool) -> list[str]:
        """Return the lines that name the image of the container universe.

        Nodes see images on CVMFS, and those on a shared file system. All other files and folders are transferred.
        """
        if container is None or not _is_own(container):
            return []
        if self.image_attribute == "+SingularityImage":
            return [f"+SingularityImage = {_string(container.image)}"]
        there = container.image.startswith("/" if shared else "/cvmfs/")
        return [f"container_image = {_plain(container.image)}", *(["transfer_container = False"] if there else [])]

    def _limits(self, block: PlanBlock) -> list[str]:
        held = f"(JobStatus == 5 && time() - EnteredCurrentStatus > {LONGEST_HOLD})"
        lines = [
            f"job_lease_duration = {max(int(self.job_lease), 1)}",
            f"periodic_remove = (NumJobStarts > {MOST_STARTS}) || {held}",
        ]
        if self.walltime_attribute:
            lines.append(f"{self.walltime_attribute} = {self._walltime(block.walltime)}")
        return lines

    def _walltime(self, seconds: float) -> str:
        if not self.walltime_values:
            return str(max(int(seconds), 1))
        ordered = sorted(self.walltime_values.items(), key=lambda item: item[1])
        return _string(next((name for name, longest in ordered if longest >= seconds), ordered[-1][0]))

    def _choice(self, block: PlanBlock, location: BlockLocation) -> list[str]:
        nodes = dict.fromkeys(name.rpartition("@")[2] for name in location.avoid if self.avoid_nodes)
        needs = [f"TARGET.Machine =!= {_string(node)}" for node in nodes]
        if self.requirements:
            needs.insert(0, self.requirements)
        wanted = {
            "requirements": f"({') && ('.join(needs)})" if needs else "",
            "accounting_group": self.accounting_group,
            "+ProjectName": self.project and _string(self.project),
            "container_image": self.container_image and _plain(self.container_image),
            "+SingularityImage": self.singularity_image and _string(self.singularity_image),
            self.queue_attribute: block.queue and _string(block.queue),
        }
        return [f"{key} = {value}" for key, value in wanted.items() if key and value]


def _credentials(credentials: Sequence[PlanBatchCredential]) -> list[str]:
    """Return the lines that ask HTCondor for credentials. It renews them in running jobs."""
    proxies = [item.name for item in credentials if item.kind == "x509"]
    services = [item.name for item in credentials if item.kind == "oauth"]
    lines = ["use_x509userproxy = True"] if proxies else []
    lines += [f"x509userproxy = {_plain(path)}" for path in proxies if path]
    lines += [f"use_oauth_services = {', '.join(map(_plain, services))}"] if services else []
    return lines


def _is_own(container: PlanContainer | None) -> bool:
    return container is not None and container.runtime == "site"


_OUTPUTS = (("output", "out"), ("error", "err"), ("log", "log"))


def _resources(block: PlanBlock) -> list[str]:
    lines = [f"request_cpus = {block.cpus}", f"request_memory = {mebibytes(block.memory)}"]  # MB
    lines += [f"request_disk = {kibibytes(block.disk)}"] if block.disk else []  # kB
    lines += [f"request_gpus = {block.gpus}"] if block.gpus else []
    return lines


def _plain(text: str) -> str:
    """Return text for the value of a submit line, where ``$`` begins a macro. ``$$(`` cannot be written."""
    return text.replace("$", "$(DOLLAR)")


def _string(text: str) -> str:
    """Return a ClassAd string. Submit files escape only quotes; without quotes it would be the name of an attribute."""
    return '"' + _plain(text.replace('"', '\\"')) + '"'


def _arguments(arguments: list[str]) -> str:
    """Return arguments in HTCondor's new syntax: quotes are doubled, arguments with blanks are in single quotes."""
    quoted = []
    for argument in arguments:
        doubled = argument.replace('"', '""')
        plain = re.fullmatch(r"[^\s']+", argument)
        quoted.append(doubled if plain else "'" + doubled.replace("'", "''") + "'")
    return _plain(f'"{" ".join(quoted)}"')
