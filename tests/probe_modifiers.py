"""Modifiers as users write them: one records the order of calls, one uses everything that the contract offers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from fasthep_parsl.interfaces import Modifier


class Trace(Modifier):
    """Notes the order of calls, and what it was told."""

    name: str = Field("", description="what it calls itself")
    log: str = Field("", description="file that takes a line per call")
    late: bool = Field(False, description="notes when the pass is over, and says so")
    add: int = Field(0, ge=0, description="added to what the op returns")

    def wrap(self, call: Any) -> Any:
        def traced(events: Any, **params: Any) -> Any:
            self._say(f"{self.name} in {call.stage} {call.pool}")
            result = call(events, **params)
            self._say(f"{self.name} out")
            call.note(self._later if self.late else {"calls": 1})
            return result + self.add if self.add else result

        return call.using(traced)

    def _later(self) -> Any:
        self._say(f"{self.name} told")
        return {"calls": 1}

    def _say(self, text: str) -> None:
        if self.log:
            with Path(self.log).open("a") as file:
                file.write(text + "\n")

    @staticmethod
    def merge(a: Any, b: Any) -> Any:
        return {"calls": a["calls"] + b["calls"]}

    @staticmethod
    def write(notes: Any, folder: Path) -> None:
        if any(note["calls"] > 50 for note in notes.values()):
            raise ValueError("too many calls")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "calls.json").write_text(json.dumps(notes))


class Accelerated(Modifier):
    """Has all traits of the built-in modifiers for GPUs."""

    identity: ClassVar[tuple[str, ...] | None] = ("device",)
    needs_gpu: ClassVar[bool] = True
    without_gpu: ClassVar[str] = "emulate: true"
    field_parameters: ClassVar[tuple[str, ...]] = ("columns",)

    device: str = Field("any", description="which device")
    columns: list[str] | None = Field(None, description="columns to move")
    emulate: bool = Field(False, description="do without a GPU")
    level: int = Field(0, description="anything else")

    @property
    def works_without_gpu(self) -> bool:
        return self.emulate

    def wrap(self, call: Any) -> Any:
        def wrapped(events: Any, **params: Any) -> Any:
            call.note({"calls": 1})
            return call(events, **params)

        return call.using(wrapped)

    def after_reading(self, read: Any) -> Any:
        return {"read": read.events}

    def after_stage(self) -> Any:
        return {"stages": 1}

    @staticmethod
    def merge(a: Any, b: Any) -> Any:
        return {key: a.get(key, 0) + b.get(key, 0) for key in {**a, **b}}


class NoModifier:
    """Wraps, and is not a modifier."""

    def wrap(self, call: Any) -> Any:
        return call
