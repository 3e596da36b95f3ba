"""State of a block in the scaling policy, the interchange's view of it, and the policy's events and decisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fasthep_parsl.events import BlockStateName

Phase = Literal["waiting", "starting", "up", "retiring", "over"]


@dataclass(slots=True)
class BlockState:
    """State of one block. Times are in seconds of the caller's clock."""

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
    """The interchange's view of a block, summed over its managers.

    Attributes
    ----------
    names : tuple of str
        The managers.
    tasks : int
        Tasks that they run.
    idle : float
        Seconds since the last of them ran a task.
    draining : bool
        Whether they accept no more tasks.
    """

    names: tuple[str, ...]
    tasks: int = 0
    idle: float = 0.0
    draining: bool = False


@dataclass(frozen=True, slots=True)
class BlockEvent:
    """A change of a block's state."""

    block: int
    state: BlockStateName
    message: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """The actions that the policy decides on.

    Attributes
    ----------
    submit : int
        Number of blocks to submit.
    hold : tuple of int
        Blocks that get no more tasks from now on.
    remove : tuple of int
        Blocks to remove.
    give_up : str
        Why the pool cannot work, empty if it can.
    """

    submit: int = 0
    hold: tuple[int, ...] = ()
    remove: tuple[int, ...] = ()
    give_up: str = ""
