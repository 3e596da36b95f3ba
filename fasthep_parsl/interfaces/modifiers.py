"""The contract of modifiers: change how a stage calls its op, and note what happens there."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from fasthep_parsl.atomic import write_text
from fasthep_parsl.interfaces.ops import Op

Note = Mapping[str, Any]
"""What a modifier records: plain data (numbers, text, lists, mappings) that JSON can hold."""


@dataclass(frozen=True, slots=True)
class Call:
    """An op as a stage calls it, with what a modifier may use.

    Attributes
    ----------
    function : callable
        ``f(events, **params)``; returns the op's result.
    op : Op
        The op.
    stage, pool : str
        Id of the stage, name of its pool.
    reads : tuple of str
        Fields of the stream that the stage reads; ``"*"`` is all.
    note : callable
        ``note(note)`` records a `Note` for the driver, joined to earlier ones by the modifier's `merge`. A function that
        returns the note is called after the whole pass has succeeded, while its columns still exist: slow work is
        cheaper then than between two ops, and no stage waits for it.
    gpus : int, optional
        GPUs of each worker of the pool; None if unknown. The process may see further GPUs that belong to others.
    """

    function: Callable[..., Any]
    op: Op
    stage: str
    pool: str = "default"
    reads: tuple[str, ...] = ()
    note: Callable[[Note | Callable[[], Note]], None] = lambda _note: None
    gpus: int | None = None

    def __call__(self, events: Any, **params: Any) -> Any:
        """Call the op."""
        return self.function(events, **params)

    @property
    def why_no_gpu(self) -> str:
        """Why this call has no GPU, even if the process sees one; empty if it may have one."""
        return "its pool has no GPUs" if self.gpus == 0 else ""

    def using(self, function: Callable[..., Any]) -> Call:
        """Return the same call with another function."""
        return replace(self, function=function)


READ = "<read>"
"""Stage under which notes about reading are kept. No stage can have this id."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of adjacent events from an input file.

    Attributes
    ----------
    events : int
        Number of events.
    wall, cpu : float
        Seconds.
    branches : callable
        Returns compressed bytes by branch; computed when called.
    """

    events: int
    wall: float
    cpu: float
    branches: Callable[[], Mapping[str, int]]


class Modifier(BaseModel):
    """Changes how an op is called: before, after, or instead. Subclass it; fields are the modifier's parameters.

    Modifiers wrap each other in the given order. The first is the outermost; those of the pool are outside of those of
    the stage. A subclass overrides `wrap`. Everything else has a default.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity: ClassVar[tuple[str, ...] | None] = None
    """Fields that identify an instance. If stage and pool configure the same one, the stage's wins; twice in one list is
    an error. ``()``: one instance of this kind per stage. None: any number, equal ones applied once."""

    needs_gpu: ClassVar[bool] = False
    """Whether the kind is made for workers with a GPU. On a pool without GPUs it is an error, unless `works_without_gpu`."""

    without_gpu: ClassVar[str] = ""
    """Setting with which it works on workers without a GPU, for messages: ``on_missing: cpu``."""

    field_parameters: ClassVar[tuple[str, ...]] = ()
    """Parameters that list fields of the stream. Names that no stage of its pool can have are an error."""

    @property
    def works_without_gpu(self) -> bool:
        """Whether this instance works on workers without a GPU."""
        return not self.needs_gpu

    @abstractmethod
    def wrap(self, call: Call) -> Call:
        """Return the call that replaces `call`. Called once per worker and stage."""

    def after_reading(self, read: Reading) -> Note | None:
        """Return what to note about a reading for stages of its segment, under `READ`. Per kind the first note counts."""
        del read
        return None

    def after_stage(self) -> Note | None:
        """Return what to note after a stage has run or its stream was stored, also for stages without this modifier.

        Called for every stage of the plan after its call, and per kind once. A pass that is done again calls it again.
        """
        return None

    @staticmethod
    def merge(a: Note, b: Note) -> Note:
        """Join the notes of two calls or workers. Associative; changes neither. Required of modifiers that note."""
        raise NotImplementedError("a modifier that notes needs `merge`")

    @staticmethod
    def write(notes: Mapping[str, Note], folder: Path) -> None:
        """Write the notes of all workers, by stage, to ``<run directory>/<kind>``. Default: ``notes.json``."""
        write_text(folder / "notes.json", json.dumps(notes, indent=1, ensure_ascii=False) + "\n")
