"""Events of a run, its pools and its blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from fasthep_parsl.events.event import Event
from fasthep_parsl.events.states import BLOCK_STATES, BlockStateName, CredentialStateName, PoolStateName, RunStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """A driver starts or resumes the run.

    Attributes
    ----------
    state : "started" or "resumed"
        Whether it continues a run.
    plan : str
        Hash of the plan.
    session : str
        Identifies this execution of the plan.
    host : str
        Machine of the driver.
    pid : int
        Process number of the driver.
    since : float
        When the driver process started, seconds since 1970.
    ticks : int
        The same in ticks of the kernel since its boot, 0 if unknown.
    boot : str, optional
        Identifies the boot of the kernel.
    container : str, optional
        Identifies the process namespace.
    """

    kind: ClassVar[str] = "run"
    state: Literal["started", "resumed"]
    plan: str
    session: str
    host: str
    pid: int
    since: float
    ticks: int
    boot: str | None = None
    container: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded(Event):
    """The run has ended. A killed driver leaves no such line.

    Attributes
    ----------
    status : str
        How it ended.
    exit_code : int
        Exit code of ``fasthep-parsl run``.
    """

    kind: ClassVar[str] = "ended"
    status: RunStatus
    exit_code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolChanged(Event):
    """A pool has changed its state.

    Attributes
    ----------
    pool : str
        The pool.
    state : str
        Its new state.
    workers : int, optional
        Workers of the pool.
    jobs : list, optional
        Job ids; on this machine the process numbers of the blocks.
    interchange : int, optional
        Process number of the interchange, -1 if there is none.
    seconds : float, optional
        For ``up``: seconds since the pool started.
    message : str, optional
        Why.
    """

    kind: ClassVar[str] = "pool"
    pool: str
    state: PoolStateName
    workers: int | None = None
    jobs: tuple[int | str, ...] = ()
    interchange: int | None = None
    seconds: float | None = None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockChanged(Event):
    """A block of a pool has changed its state.

    Attributes
    ----------
    pool : str
        The pool.
    state : str
        Its new state.
    block : int
        Number of the block in its pool, -1 if it was refused.
    job : str, optional
        Job id.
    pid : int, optional
        On this machine: process number of the block's first process.
    node : str, optional
        Node that the block runs on.
    message : str, optional
        Why.
    """

    kind: ClassVar[str] = "block"
    pool: str
    state: BlockStateName
    block: int
    job: str = ""
    pid: int | None = None
    node: str = ""
    message: str = ""

    @property
    def final(self) -> bool:
        """Return whether the block does no more work."""
        return BLOCK_STATES[self.state].final

    @property
    def gone(self) -> bool:
        """Return whether its job no longer exists in the batch system."""
        return BLOCK_STATES[self.state].gone


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSeen(Event):
    """A worker of a node has returned its first result.

    Attributes
    ----------
    pool : str
        The pool.
    block : int
        Number of the block in its pool.
    node : str
        The node.
    python : str
        Version of Python.
    platform : str
        Kernel and architecture.
    system : str
        Name of the operating system.
    cpu : str
        Name of the processor.
    software : mapping
        Package to version, and hash if the driver compares one; empty if it is not installed.
    environment : str, optional
        Hash of the packed environment.
    gpus : list of mappings, optional
        The GPUs of its workers; memory in bytes.
    """

    kind: ClassVar[str] = "node"
    pool: str
    block: int
    node: str
    python: str
    platform: str
    system: str
    cpu: str
    software: Mapping[str, str]
    environment: str = ""
    gpus: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRefused(Event):
    """A node of a block with several nodes is refused by its checks. The other nodes of the block can work.

    Attributes
    ----------
    pool : str
        The pool.
    block : int
        Number of the block in its pool.
    node : str
        The node.
    message : str
        Why.
    """

    kind: ClassVar[str] = "node_refused"
    pool: str
    block: int
    node: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialChanged(Event):
    """A credential of the run has a new state. No key contains a secret.

    Attributes
    ----------
    credential : str
        Its kind, as ``execution.credentials`` names it.
    state : str
        Its new state.
    expires : float
        When it expires, seconds since 1970; 0 if there is none.
    owner : str, optional
        For people: what it is, and whose.
    message : str, optional
        For people: what it is with the life that it has left, or why it was not renewed.
    advice : str, optional
        For ``expiring``, ``not_renewed`` and ``expired``: what the user does to get a fresh one.
    """

    kind: ClassVar[str] = "credential"
    credential: str
    state: CredentialStateName
    expires: float
    owner: str = ""
    message: str = ""
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerChanged(Event):
    """A server of input files is avoided from now on, or used again. It matters for files in several places.

    Attributes
    ----------
    server : str
        The server.
    state : "avoided" or "used"
        Whether its places are tried last.
    cause : str
        Why it is or was avoided: a cause of errors of input files, or ``slow``.
    message : str, optional
        The last failure, in one line.
    """

    kind: ClassVar[str] = "server"
    server: str
    state: Literal["avoided", "used"]
    cause: str
    message: str = ""
