"""The notes of all workers as ``diagnostics.json`` and as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fasthep_parsl.interfaces import READ, Note
from fasthep_parsl.modifiers.text import seconds, share, size, table


def content(notes: Mapping[str, Note]) -> dict[str, Any]:
    """Return ``diagnostics.json`` without its version; units are seconds and bytes."""
    read = notes.get(READ)
    found: dict[str, Any] = {}
    if read is not None:
        branches = dict(sorted(read["branches"].items(), key=lambda item: -item[1]))
        found["read"] = {
            "events": read["events"],
            "wall_seconds": round(read["wall"], 6),
            "cpu_seconds": round(read["cpu"], 6),
            "bytes": sum(branches.values()),
            "branches": branches,
        }
    return {**found, "stages": {name: _stage(note) for name, note in notes.items() if name != READ}}


def _stage(note: Note) -> dict[str, Any]:
    found: dict[str, Any] = {
        "op": note["op"],
        "calls": note["calls"],
        "wall_seconds": round(note["wall"], 6),
        "cpu_seconds": round(note["cpu"], 6),
        "peak_memory": note["memory"],
        **({"peak_gpu_memory": note["gpu_memory"]} if "gpu_memory" in note else {}),
    }
    for way in ("in", "out"):
        if f"events_{way}" in note:
            found[f"events_{way}"] = note[f"events_{way}"]
        if f"fields_{way}" in note:
            found[f"fields_{way}"] = {
                name: {"entries": counts[0], "none": counts[1], "nan": counts[2]}
                for name, counts in note[f"fields_{way}"].items()
            }
    return found


def text(found: Mapping[str, Any]) -> str:
    """Return the tables that a person reads."""
    parts = ["Stages: what went in and came out, all workers together\n\n", table(_HEAD, _stage_rows(found["stages"]))]
    fields = list(_field_rows(found["stages"]))
    if fields:
        parts += [
            "\nFields: what a stage used (in) and made (out); one that it left alone is not listed\n\n",
            table(("field", "", "entries", "None", "NaN"), fields),
        ]
    if "read" in found:
        parts += _read(found["read"])
    return "".join(parts)


_HEAD = ("stage", "op", "calls", "events in", "out", "kept", "wall", "CPU", "peak memory", "GPU memory")


def _stage_rows(stages: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, row in stages.items():
        given, left = row.get("events_in"), row.get("events_out")
        yield (
            name,
            row["op"],
            f"{row['calls']:,}",
            "" if given is None else f"{given:,}",
            "" if left is None else f"{left:,}",
            "" if given is None or left is None else share(left, given),
            seconds(row["wall_seconds"]),
            seconds(row["cpu_seconds"]),
            size(row["peak_memory"]),
            size(row["peak_gpu_memory"]) if "peak_gpu_memory" in row else "",
        )


def _field_rows(stages: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for stage, row in stages.items():
        listed = [(way, *item) for way in ("in", "out") for item in row.get(f"fields_{way}", {}).items()]
        if listed:
            yield stage, "", "", "", ""
        for way, name, counts in listed:
            numbers = (f"{counts[key]:,}" if counts[key] else "." for key in ("none", "nan"))
            yield f"  {name}", way, f"{counts['entries']:,}", *numbers


def _read(read: Mapping[str, Any]) -> Iterator[str]:
    total = read["bytes"]
    yield (
        f"\nReading: {read['events']:,} events, {size(total)} compressed, {seconds(read['wall_seconds'])} "
        f"({seconds(read['cpu_seconds'])} CPU)\n\n"
    )
    rows = [(name, size(count), share(count, total)) for name, count in read["branches"].items()]
    yield table(("branch", "bytes", "share"), rows)
