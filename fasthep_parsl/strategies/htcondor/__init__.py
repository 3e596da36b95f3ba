"""Strategy ``htcondor``: a block is a job of HTCondor. Its submit file; the commands are in `commands`."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field

from fasthep_parsl.interfaces import BlockLocation, Discovery, Script
from fasthep_parsl.interfaces.batch import SHARED_FILES
from fasthep_parsl.plan import PlanBlock, PlanPool
from fasthep_parsl.resources.units import Duration, UnitError
from fasthep_parsl.strategies.base import NODE_SCRIPT, BatchModel, block_of, node_words, output
from fasthep_parsl.strategies.formats import Lines, kibibytes, mebibytes
from fasthep_parsl.strategies.htcondor.commands import HTCondorCommands
from fasthep_parsl.workflow import values

MOST_STARTS = 10
"""A job that was evicted so often is removed: after the driver's end nobody else would."""
LONGEST_HOLD = 3600
"""Seconds after which a held job is removed, long after a living driver has read why it is held and replaced it."""


def _no_continuation(value: str) -> str:
    if value.endswith("\\"):
        raise UnitError(f"`{value}` would go on in the next line of the submit file", "no backslash at its end")
    return value


def _key(value: str) -> str:
    if not re.fullmatch(r"\+?[\w.]+", value):
        raise UnitError(f"`{value}` is no key of a submit file", "such as `+MaxRuntime`")
    return value


Line = Annotated[values.Line, AfterValidator(_no_continuation)]
Key = Annotated[Line, AfterValidator(_key)]


def _key_value(value: str) -> str:
    if not re.match(r"\+?[\w.]+\s*=", value):
        raise UnitError(f"`{value}` is not a line of a submit file", "`key = value`, such as `+MyAttribute = True`")
    return value


class HTCondor(BatchModel):
    """Workers in an HTCondor pool: one vanilla job per block, on one node."""

    several_nodes: ClassVar[bool] = False
    brings_files: ClassVar[bool] = True

    discovery: ClassVar[Discovery | None] = Discovery(
        programs=(*HTCondorCommands.programs, "condor_status"),
        commands=HTCondorCommands(),
        base="_htcondor",
        strategy_lines=(
            "  # accounting_group: …   # if your pool asks for one",
            "  # HTCondor has no walltime of its own. If your pool limits jobs, name the attribute of the limit:",
            "  # walltime_attribute: +MaxRuntime",
        ),
        profile_lines=SHARED_FILES,  # HTCondor makes a scratch folder for each job
    )

    walltime_attribute: Key | None = Field(
        None, description="key that the walltime goes to, in seconds: `+MaxRuntime`, `+RequestRuntime`, `+JobFlavour`"
    )
    walltime_values: Annotated[dict[Line, Duration], BeforeValidator(values.empty_mapping)] = Field(
        default_factory=dict,
        description="names that stand for walltimes, `{espresso: 20m}`, seconds: the shortest that is enough is taken",
    )
    queue_attribute: Key | None = Field(None, description="key that the queue's name goes to, `+queue`")
    requirements: Line | None = Field(None, description="expression that nodes must fulfil")
    avoid_nodes: bool = Field(True, description="whether nodes on which blocks failed are excluded by name")
    accounting_group: Line | None = Field(None, description="accounting group")
    project: Line | None = Field(None, description="project, `+ProjectName`")
    container_image: Line | None = Field(None, description="image of the job's container, `osdf:///….sif`")
    singularity_image: Line | None = Field(None, description="image where the site uses `+SingularityImage`")
    transfer: bool = Field(
        False, description="whether HTCondor brings files and output; always so without shared files or with an image"
    )
    job_lease: Duration = Field(
        120.0, description="a job whose node does not answer for so long is started anew, seconds; HTCondor's is 2400"
    )
    directives: Annotated[tuple[Annotated[Line, AfterValidator(_key_value)], ...], Lines.__metadata__[0]] = Field(
        (), description="further lines of the submit file, `key = value`; they win over ours"
    )

    def script(self, pool: PlanPool, place: BlockLocation) -> Script:
        """Return the submit file of one block; see `BatchStrategy`."""
        block = block_of(pool, type(self))
        lines = [
            *self._program(pool, place),
            *_resources(block),
            *self._limits(block),
            *self._choice(block, place),
            *self.directives,
            "queue",
        ]
        return Script(f"block.{place.block}.sub", "\n".join(lines) + "\n")

    def commands(self) -> HTCondorCommands:
        """Return the commands of HTCondor."""
        return HTCondorCommands()

    def _program(self, pool: PlanPool, place: BlockLocation) -> list[str]:
        transfer = self.transfer or not pool.shared or self.container_image is not None  # images are brought, too
        program, *arguments = node_words(place)
        files = [*place.files, *place.secrets]
        if not pool.shared:
            files.insert(0, arguments[0])
            arguments[0] = NODE_SCRIPT
        lines = [
            "universe = vanilla",
            f"batch_name = {_plain(place.job)}",
            f"executable = {program}",
            "transfer_executable = False",
            f"arguments = {_arguments(arguments)}",
            f"initialdir = {_plain(place.folder)}",
            *(f"{key} = {_plain(output(place, kind))}" for key, kind in _OUTPUTS),
            f"should_transfer_files = {'YES' if transfer else 'NO'}",
        ]
        if transfer:
            # what a block leaves in its scratch folder is of no use: only its output comes back
            lines += ["when_to_transfer_output = ON_EXIT", 'transfer_output_files = ""']
            lines += [f"transfer_input_files = {','.join(map(_plain, files))}"] if files else []
            lines += [f"encrypt_input_files = {','.join(map(_plain, place.secrets))}"] if place.secrets else []
        return lines

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

    def _choice(self, block: PlanBlock, place: BlockLocation) -> list[str]:
        nodes = dict.fromkeys(name.rpartition("@")[2] for name in place.avoid if self.avoid_nodes)
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


_OUTPUTS = (("output", "out"), ("error", "err"), ("log", "log"))


def _resources(block: PlanBlock) -> list[str]:
    lines = [f"request_cpus = {block.cpus}", f"request_memory = {mebibytes(block.memory)}"]  # MB
    lines += [f"request_disk = {kibibytes(block.disk)}"] if block.disk else []  # kB
    lines += [f"request_gpus = {block.gpus}"] if block.gpus else []
    return lines


def _plain(text: str) -> str:
    """Return text for the right side of a submit line, where ``$`` begins a macro (``$$(`` cannot be written at all)."""
    return text.replace("$", "$(DOLLAR)")


def _string(text: str) -> str:
    """Return a ClassAd string as submit files have it: only quotes are escaped.

    Without its quotes it would be the name of an attribute that nobody has.
    """
    return '"' + _plain(text.replace('"', '\\"')) + '"'


def _arguments(words: list[str]) -> str:
    """Return arguments in HTCondor's new syntax: quotes are doubled, words with blanks stand between single ones."""
    quoted = []
    for word in words:
        doubled = word.replace('"', '""')
        plain = re.fullmatch(r"[^\s']+", word)
        quoted.append(doubled if plain else "'" + doubled.replace("'", "''") + "'")
    return _plain(f'"{" ".join(quoted)}"')
