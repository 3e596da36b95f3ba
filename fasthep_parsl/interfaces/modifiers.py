"""The contract of modifiers: how they change what a stage calls, and what they note."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

from fasthep_parsl.interfaces.ops import Op

Note = Mapping[str, Any]
"""What a modifier has seen: plain data (numbers, text, lists, mappings) that JSON can hold."""


@dataclass(frozen=True, slots=True)
class Call:
    """An op as a stage calls it, and what a modifier may know of that.

    Attributes
    ----------
    function : callable
        ``f(events, **params)``; what it returns is the op's.
    op : Op
        The op.
    stage, pool : str
        Id of the stage, name of its pool.
    reads : tuple of str
        Fields of the stream that the stage reads; ``"*"`` is all.
    note : callable
        ``note(kind, note)``: keep a `Note` for the driver, joined with those before by the modifier's `merge`. A function
        that returns the note is called once the whole pass has succeeded, while its columns are still there: work that
        takes a while is cheaper then than between two ops, and no stage waits for it.
    gpus : int, optional
        GPUs that each worker of the pool has; None if that is not known. A process may see others, which are not its own.
    """

    function: Callable[..., Any]
    op: Op
    stage: str
    pool: str = "default"
    reads: tuple[str, ...] = ()
    note: Callable[[str, Note | Callable[[], Note]], None] = lambda _kind, _note: None
    gpus: int | None = None

    def __call__(self, events: Any, **params: Any) -> Any:
        """Call the op."""
        return self.function(events, **params)

    @property
    def why_no_gpu(self) -> str:
        """Why there is no GPU for this call, whatever the process sees; empty if there may be one."""
        return "its pool has no GPUs" if self.gpus == 0 else ""

    def using(self, function: Callable[..., Any]) -> Call:
        """Return the same call through another function."""
        return replace(self, function=function)


class Modifier(Protocol):
    """Changes how an op is called: before, after, or instead. A frozen model; its fields are its parameters.

    Modifiers form an onion in the order given: the first is the outermost, those of the pool outside of the stage's.
    """

    needs_gpu: ClassVar[bool]
    """Whether it works only on workers with a GPU; a model with a field `on_missing` says what happens elsewhere."""

    once: ClassVar[tuple[str, ...] | None] = None
    """Fields that make two of this kind different ones; of two that are not, a stage has one, its own rather than its
    pool's. ``()``: one of this kind; None: any number."""

    def wrap(self, call: Call) -> Call:
        """Return what is called instead of `call`. Made once per worker and stage."""


class NotingModifier(Modifier, Protocol):
    """A modifier whose notes are written into the run directory."""

    @staticmethod
    def merge(a: Note, b: Note) -> Note:
        """Join the notes of two calls or workers; associative."""

    @staticmethod
    def write(notes: Mapping[str, Note], folder: Path) -> None:
        """Write what all workers noted, by stage, into ``<run directory>/<kind>``."""


READ = "<read>"
"""Under this name, which no stage can have, lies what modifiers note of reading."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of adjacent events from an input file.

    Attributes
    ----------
    events : int
        Events read.
    wall, cpu : float
        Seconds.
    branches : callable
        Returns compressed bytes by branch; worked out when asked.
    """

    events: int
    wall: float
    cpu: float
    branches: Callable[[], Mapping[str, int]]


class ReadingModifier(NotingModifier, Protocol):
    """A modifier that is also told what was read for the stages of its segment."""

    def reading(self, read: Reading) -> Note | None:
        """Return what is noted of a reading, under `READ`."""
