"""Base of the block providers: what Parsl's interface demands, and what the monitor of a pool calls."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from parsl.jobs.states import JobState, JobStatus
from parsl.providers.base import ExecutionProvider

from fasthep_parsl.blocks.node_checks import refused_nodes
from fasthep_parsl.blocks.worker_command import Link
from fasthep_parsl.interfaces import CommandResult, Job
from fasthep_parsl.plan import PlanPool


@dataclass(frozen=True, slots=True)
class Submission:
    """The outcome of a submission.

    Attributes
    ----------
    job : str
        Id of the job; empty if the block was not accepted.
    message : str
        Why it was not accepted.
    transient : bool
        Whether the batch system could not be reached, rather than refused.
    """

    job: str
    message: str = ""
    transient: bool = False


class BlockProvider(ExecutionProvider):  # type: ignore[misc]  # Parsl is not typed
    """Submit, query and remove the blocks of a pool.

    The monitor of the pool decides when. Parsl never starts, polls or cancels a block.

    Parameters
    ----------
    pool : PlanPool
        The pool.
    log_dir : Path
        Scripts and output of the blocks go here.

    Attributes
    ----------
    jobs_by_block : dict of int to str
        Block number → job id of every block that was submitted.
    avoid : tuple of str
        Nodes on which new blocks must not run.
    software : str
        The software that workers must have, as one line.
    """

    ends_are_certain = False
    """Whether no process of a block is left once a query reports that it has ended."""

    def __init__(self, pool: PlanPool, log_dir: Path) -> None:
        self.pool = pool
        self.log_dir = log_dir
        self.jobs_by_block: dict[int, str] = {}
        self.avoid: tuple[str, ...] = ()
        self.software = ""
        self.nodes_per_block = pool.block.nodes if pool.block else 1
        self.init_blocks = self.min_blocks = 0
        self.max_blocks = pool.blocks
        self.parallelism = 1.0
        self.script_dir: str | None = None
        self.resources: dict[object, object] = {}
        self._cores_per_node = pool.block.cpus if pool.block else pool.workers * pool.cpus

    # --- for the monitor ----------------------------------------------------------------------------------

    @abstractmethod
    def prepare(self, link: Link) -> None:
        """Prepare for blocks whose workers connect to `link`."""

    @abstractmethod
    def submit_block(self, block: int) -> Submission:
        """Submit a block; return the outcome. If it was accepted, `jobs_by_block` has its job id."""

    @abstractmethod
    def query(self, jobs: Sequence[str]) -> dict[str, Job] | None:
        """Return the states of `jobs`, None if there is no answer. A job that is missing has ended."""

    @abstractmethod
    def remove(self, jobs: Sequence[str], timeout: float | None = None) -> CommandResult:
        """Remove jobs, also while the run is closing."""

    @abstractmethod
    def errors_of(self, block: int, lines: int = 10) -> str:
        """Return the last lines that a block wrote to standard error."""

    def errors(self) -> str:
        """Return the last lines that the latest block wrote to standard error."""
        return self.errors_of(max(self.jobs_by_block, default=-1))

    def jobs(self) -> list[str | int]:
        """Return the ids of all blocks that were submitted: of processes of this machine, or jobs."""
        return [job if self.pool.block else int(job) for job in self.jobs_by_block.values()]

    def processes(self) -> list[int]:
        """Return the first processes of blocks on this machine that have not ended."""
        return []

    @property
    def dying(self) -> bool:
        """Whether the first process of a block on this machine has ended, and others have not."""
        return False

    def find_again(self) -> dict[int, str]:
        """Return block → job of submissions that were accepted though no answer came back."""
        return {}

    def post_mortem(self, block: int) -> Job | None:
        """Return what the batch system has written about the end of a block, None if nothing."""
        del block
        return None

    def node_of(self, block: int) -> str:
        """Return the node on which a block has started, empty if it is not known."""
        del block
        return ""

    def refused_nodes(self, block: int) -> dict[str, str]:
        """Return node → reason of the nodes of a block with several nodes on which no workers start."""
        return refused_nodes(self.log_dir, block) if self.nodes_per_block > 1 else {}

    def close(self) -> None:
        """Let no block start any more."""

    # --- for Parsl ----------------------------------------------------------------------------------------

    def submit(self, command: str, tasks_per_node: int, job_name: str = "block") -> None:
        """Submit nothing: the monitor calls `submit_block`."""
        del command, tasks_per_node, job_name

    def status(self, job_ids: Sequence[object]) -> list[JobStatus]:
        """Return a status on which Parsl does not act."""
        return [JobStatus(JobState.UNKNOWN) for _ in job_ids]

    def cancel(self, job_ids: Sequence[object]) -> list[bool]:
        """Remove jobs."""
        done = self.remove([str(job) for job in job_ids]).ok
        return [done for _ in job_ids]

    @property
    def label(self) -> str:
        """Name of the provider in Parsl's logs."""
        return self.pool.provider

    @property
    def cores_per_node(self) -> int:
        """Cores that workers may use."""
        return self._cores_per_node

    @cores_per_node.setter
    def cores_per_node(self, value: int) -> None:
        self._cores_per_node = value

    @property
    def mem_per_node(self) -> float | None:
        """Return None: the plan has already fitted the workers into the memory of a node."""
        return None

    @property
    def status_polling_interval(self) -> int:
        """Return 0: Parsl does not poll the blocks.

        It polls all executors from one thread, which hangs when an interchange has died.
        """
        return 0
