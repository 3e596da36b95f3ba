"""What a policy knows of a block, is told about it, and says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fasthep_parsl.events import BlockStateName

Phase = Literal["waiting", "starting", "up", "retiring", "over"]


@dataclass(slots=True)
class BlockState:
    """One job and what is known of it; times in seconds of the caller's clock."""

    number: int
    job: str
    submitted: float
    phase: Phase = "waiting"
    node: str = ""
    reason: str = ""
    held: bool = False
    started: float = 0.0
    overdue: bool = False
    lost: float = 0.0
    was_up: bool = False
    up: float = 0.0
    tasks: int = 0
    idle: float = 0.0


@dataclass(frozen=True, slots=True)
class BlockManagers:
    """What the interchange says of a block: its managers taken together.

    Attributes
    ----------
    names : tuple of str
        The managers.
    tasks : int
        Tasks that they have.
    idle : float
        Seconds since the last one of them had any.
    draining : bool
        Whether they take no more.
    """

    names: tuple[str, ...]
    tasks: int = 0
    idle: float = 0.0
    draining: bool = False


@dataclass(frozen=True, slots=True)
class BlockEvent:
    """Something that event to a block."""

    block: int
    state: BlockStateName
    message: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done now.

    Attributes
    ----------
    submit : int
        New blocks.
    hold : tuple of int
        Blocks that get no more work from now on.
    remove : tuple of int
        Blocks whose jobs are to be removed.
    give_up : str
        Why the pool cannot work, empty if it can.
    """

    submit: int = 0
    hold: tuple[int, ...] = ()
    remove: tuple[int, ...] = ()
    give_up: str = ""
