"""The contract of a batch system: the script of a block, and the scheduler's commands.

A strategy for a batch system is one file: a `BatchStrategy` and its `SchedulerCommands`. Both are pure. They return
texts and command lines, and read outputs; other modules run the commands. `strategies/slurm.py` is an example.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, Protocol

from fasthep_parsl.interfaces.workers import Strategy

if TYPE_CHECKING:
    from fasthep_parsl.interfaces.discovery import Discovery, NodeGroup
    from fasthep_parsl.plan import PlanContainer, PlanPool

JobState = Literal["pending", "running", "ended", "held"]

TIMED_OUT = 124
"""Exit code of a command that was stopped because it took too long."""
LONGEST_LINE = 500
"""Characters of a line of output that a message repeats."""

_TRANSIENT = (
    "unable to contact",
    "communication",
    "connect",
    "timed out",
    "timeout",
    "temporar",
    "try again",
    "unavailable",
    "not responding",
    "socket",
    "failed to fetch ads",
    "can't find address",
    "authenticat",
    "in standby",
    "starting up",
    "zero bytes were transmitted",
    "too many requests",
)
"""Lower-case phrases of batch systems that cannot be reached at the moment. All other failures are refusals."""


# --- what is submitted --------------------------------------------------------------------------------------


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


# --- the scheduler's commands ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The exit code and the output of a command.

    Attributes
    ----------
    code : int
        Exit code; 124 if the command took too long, 127 if there is no such command.
    out, err : str
        Standard output and standard error.
    """

    code: int
    out: str = ""
    err: str = ""

    @property
    def ok(self) -> bool:
        """Whether the command succeeded."""
        return self.code == 0

    @property
    def message(self) -> str:
        """Reason of a failure: the last five lines of standard error, else of standard output."""
        lines = [line[:LONGEST_LINE] for line in (self.err.strip() or self.out.strip()).splitlines()]
        return "\n".join(lines[-5:]) or f"exit code {self.code}"

    @property
    def transient(self) -> bool:
        """Whether a later try may succeed: the batch system could not be reached, it did not refuse."""
        message = re.sub(r"(?<!\w)/\S+", "", self.message.lower())  # a path can contain any of these words
        return self.code == TIMED_OUT or self.code < 0 or any(phrase in message for phrase in _TRANSIENT)

    def every_line_matches(self, pattern: str) -> bool:
        """Return whether there is output, and each line of it matches `pattern`, from its start to its end."""
        lines = [line.strip() for line in (self.out + "\n" + self.err).splitlines() if line.strip()]
        return bool(lines) and all(re.fullmatch(pattern, line) for line in lines)


@dataclass(frozen=True, slots=True)
class Job:
    """The batch system's view of a job.

    Attributes
    ----------
    id : str
        Its id.
    state : str
        ``pending``, ``running``, ``ended`` or ``held`` (it does not start until somebody acts).
    node : str
        Its first node, by the batch system's name; empty if it has none.
    reason : str
        Why it waits, is held, or has ended.
    """

    id: str
    state: JobState
    node: str = ""
    reason: str = ""


class SchedulerCommands(ABC):
    """The commands of a batch system, and how their output is read. Pure: others run the commands."""

    programs: ClassVar[tuple[str, ...]]
    """Programs that a run needs on PATH."""

    @abstractmethod
    def submit(self, script: Path) -> list[str]:
        """Return the command that submits a script."""

    @abstractmethod
    def job_id(self, output: str) -> str:
        """Return the job's id in the output of a successful submission; empty if there is none."""

    @abstractmethod
    def status(self, jobs: Sequence[str]) -> list[str]:
        """Return the command that queries jobs."""

    @abstractmethod
    def read_status(self, result: CommandResult, jobs: Sequence[str]) -> dict[str, Job] | None:
        """Return the state of `jobs`, None if the result does not contain it. Jobs that are missing from it have ended."""

    @abstractmethod
    def cancel(self, jobs: Sequence[str]) -> list[list[str]]:
        """Return the commands that cancel jobs. They are run in this order; the result of the first one counts."""

    def already_ended(self, result: CommandResult) -> bool:
        """Return whether a cancellation failed only because the jobs had ended. The result may be a success."""
        del result
        return False

    def transient(self, result: CommandResult) -> bool:
        """Return whether a later try of a failed command may succeed."""
        return result.transient

    def post_mortem(self, folder: Path, block: int) -> Job | None:
        """Return what the batch system wrote about a block to its folder; None if it writes nothing."""
        del folder, block
        return None

    def listing(self) -> list[str]:
        """Return the command that prints ``id|script`` for each job of the user; empty if there is none.

        It finds jobs whose submission was not answered. It is not needed if `post_mortem` finds them.
        """
        return []

    def trial(self, script: Path) -> list[str]:
        """Return the command that checks a script without submitting it; empty if there is none."""
        del script
        return []

    def queue_check(self, queue: str) -> list[str]:
        """Return the command that fails, or prints nothing, if a queue does not exist; empty if there is none."""
        del queue
        return []

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of the commands, without variables that would change the jobs."""
        return dict(inherited)

    def survey(self) -> list[str]:
        """Return the command that describes nodes and queues; empty if there is none."""
        return []

    def read_survey(self, output: str) -> list[NodeGroup]:
        """Return the nodes in the output of `survey`. The draft of a profile keeps their order."""
        del output
        return []
