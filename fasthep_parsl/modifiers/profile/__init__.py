"""Modifier ``profile``: measure where a stage spends its time or its memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from fasthep_parsl.atomic import atomic, write_text
from fasthep_parsl.interfaces import Call, Modifier, Note, Reading

SCHEMA_VERSION = 1


class Profile(Modifier):
    """Measure where a stage spends its time or its memory. The measurements of all workers are merged.

    - `time`: calls, wall and CPU seconds of the op and of reading.
    - `flame`: time per function, as a flame graph. A second thread samples the stack `rate` times per second.
    - `cprofile`: every Python function, with exact numbers of calls. Code that calls many small functions runs up to
      five times slower.
    - `memory`: the resident memory that a call adds, and where. Also sampled `rate` times per second.
    """

    identity: ClassVar[tuple[str, ...] | None] = ("what",)

    what: Literal["time", "flame", "cprofile", "memory"] = Field("time", description="what is measured")
    rate: float = Field(100.0, ge=1, le=1000, description="samples per second, for `flame` and `memory`")

    def wrap(self, call: Call) -> Call:
        """Return a call that is measured."""
        from fasthep_parsl.modifiers.profile.cprofile import counted
        from fasthep_parsl.modifiers.profile.growth import measured
        from fasthep_parsl.modifiers.profile.stacks import sampled
        from fasthep_parsl.modifiers.profile.timing import timed

        if self.what == "time":
            return timed(call)
        if self.what == "cprofile":
            return counted(call)
        return (sampled if self.what == "flame" else measured)(call, 1 / self.rate)

    def after_reading(self, read: Reading) -> Note | None:
        """Return the time of a reading, if time is measured."""
        if self.what != "time":
            return None
        return {"time": {"calls": 1, "wall": read.wall, "cpu": read.cpu, "longest": read.wall, "events": read.events}}

    @staticmethod
    def merge(a: Note, b: Note) -> Note:
        """Add times and calls of the same stage and function; keep the highest peaks."""
        return {
            what: _MERGES[what](a[what], b[what]) if what in a and what in b else a.get(what, b.get(what))
            for what in {**a, **b}
        }

    @staticmethod
    def write(notes: Mapping[str, Note], folder: Path) -> None:
        """Write ``profile.txt`` and ``profile.json``, and a flame graph and files for ``pstats`` if they were measured."""
        from fasthep_parsl.modifiers.profile.cprofile import pstats_file
        from fasthep_parsl.modifiers.profile.flame import page, speedscope
        from fasthep_parsl.modifiers.profile.report import text

        stages = {stage.strip("<>"): note for stage, note in notes.items()}
        write_text(folder / "profile.txt", text(stages))
        write_text(folder / "profile.json", json.dumps({"schema_version": SCHEMA_VERSION, "stages": stages}) + "\n")
        seen = {stage: note["flame"] for stage, note in stages.items() if "flame" in note}
        if seen:
            write_text(folder / "profile.speedscope.json", json.dumps(speedscope(seen)) + "\n")
            write_text(folder / "flame.html", page(seen))
        for stage, note in stages.items():
            if "cprofile" in note:
                with atomic(folder / f"{stage}.pstats") as draft:
                    draft.write_bytes(pstats_file(note["cprofile"]))


def _times(a: Mapping[str, float], b: Mapping[str, float]) -> Note:
    return {key: max(a[key], b[key]) if key == "longest" else a[key] + b[key] for key in a}


def _flames(a: Mapping[str, Any], b: Mapping[str, Any]) -> Note:
    return {"looks": a["looks"] + b["looks"], "stacks": _sums(a["stacks"], b["stacks"])}


def _sums(a: Mapping[str, float], b: Mapping[str, float]) -> dict[str, float]:
    return {name: a.get(name, 0) + b.get(name, 0) for name in {**a, **b}}


def _functions(a: Mapping[str, list[float]], b: Mapping[str, list[float]]) -> Note:
    nothing = (0, 0, 0, 0)
    return {
        name: [x + y for x, y in zip(a.get(name, nothing), b.get(name, nothing), strict=True)] for name in {**a, **b}
    }


def _memory(a: Mapping[str, Any], b: Mapping[str, Any]) -> Note:
    where = {name: max(a["where"].get(name, 0), b["where"].get(name, 0)) for name in {**a["where"], **b["where"]}}
    peaks = {key: max(a[key], b[key]) for key in ("peak", "added", "kept")}
    return {"calls": a["calls"] + b["calls"], **peaks, "where": where}


_MERGES = {"time": _times, "flame": _flames, "cprofile": _functions, "memory": _memory}
