"""A modifier as a user writes one: it says when it is entered and left, and counts calls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field


class Trace(BaseModel):
    """Notes the order of calls, and what it was told."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    needs_gpu: ClassVar[bool] = False

    name: str = Field("", description="what it calls itself")
    log: str = Field("", description="file that takes a line per call")
    late: bool = Field(False, description="notes when the pass is over, and says so")
    add: int = Field(0, ge=0, description="added to what the op returns")

    def wrap(self, call: Any) -> Any:
        def traced(events: Any, **params: Any) -> Any:
            self._say(f"{self.name} in {call.stage} {call.pool}")
            result = call(events, **params)
            self._say(f"{self.name} out")
            call.note("probe.trace", self._later if self.late else {"calls": 1})
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
