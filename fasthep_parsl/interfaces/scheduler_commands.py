"""The contract of a scheduler: its commands, and how their output is read. Pure: other modules run the commands."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

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


@dataclass(frozen=True, slots=True)
class NodeGroup:
    """Equal nodes of a batch system.

    Attributes
    ----------
    queue : str
        Their queue; empty where the batch system has no queues.
    nodes : int
        Number of nodes.
    cpus, memory, gpus : int
        Resources of one node; memory in MiB.
    walltime : float or None
        Longest time of a job, seconds.
    whole_nodes : bool
        Whether a job always gets whole nodes.
    default : bool
        Whether this is the queue of jobs that name none.
    options : mapping
        Options of the strategy for this queue.
    """

    queue: str
    nodes: int
    cpus: int
    memory: int
    gpus: int = 0
    walltime: float | None = None
    whole_nodes: bool = False
    default: bool = False
    options: Mapping[str, str] = field(default_factory=dict)


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
