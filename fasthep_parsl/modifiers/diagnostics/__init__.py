"""Modifier ``diagnostics``: count what enters and leaves a stage, with its time and memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from fasthep_parsl.atomic import write_text
from fasthep_parsl.interfaces import Call, Modifier, Note, Reading
from fasthep_parsl.modifiers.diagnostics.call_counts import Counted
from fasthep_parsl.modifiers.diagnostics.counting import add_counts

SCHEMA_VERSION = 1
_PEAKS = ("memory", "added", "gpu_memory")
_COUNTS = ("fields_in", "fields_out")


class Diagnostics(Modifier):
    """Count what enters and leaves a stage.

    Counts events, and entries, None and NaN of each field. Also records times, peak memory of host and GPU, and the
    compressed bytes read per branch. Nothing is computed only for this: a field that the op does not use is not counted.
    Host memory is measured in the first pass and in larger passes of each worker.
    """

    identity: ClassVar[tuple[str, ...] | None] = ()

    fields: bool = Field(True, description="count None and NaN of each field; `false`: only events, time and memory")

    def wrap(self, call: Call) -> Call:
        """Return a call that counts."""
        return call.using(Counted(call, self.fields))

    def after_reading(self, read: Reading) -> Note:
        """Return the time and the bytes of a reading."""
        return {"wall": read.wall, "cpu": read.cpu, "events": read.events, "branches": dict(read.branches())}

    @staticmethod
    def merge(a: Note, b: Note) -> Note:
        """Add counts and times; keep the higher peaks."""
        found = {**b, **a}
        for key, more in b.items():
            known = a.get(key)
            if known is None:
                continue
            if key in _PEAKS:
                found[key] = max(known, more)
            elif key in _COUNTS:
                found[key] = add_counts(known, more)
            elif key == "branches":
                found[key] = {name: known.get(name, 0) + more.get(name, 0) for name in {**known, **more}}
            elif key != "op":
                found[key] = known + more
        return found

    @staticmethod
    def write(notes: Mapping[str, Note], folder: Path) -> None:
        """Write ``diagnostics.json`` and ``diagnostics.txt``."""
        from fasthep_parsl.modifiers.diagnostics.report import content, text

        found = {"schema_version": SCHEMA_VERSION, **content(notes)}
        write_text(folder / "diagnostics.json", json.dumps(found, indent=1) + "\n")
        write_text(folder / "diagnostics.txt", text(found))
