"""Format the notes of all workers as ``diagnostics.json`` and as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fasthep_parsl.interfaces import READ, Note
from fasthep_parsl.modifiers.text import duration, durations, share, size, sizes, table


def content(notes: Mapping[str, Note]) -> dict[str, Any]:
    """Return the content of ``diagnostics.json`` without its version; in seconds and bytes."""
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
        "added_memory": note.get("added"),
        "peak_memory": note.get("memory"),
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
    """Return the tables of ``diagnostics.txt``."""
    parts = [
        "Stages: events that enter and leave, sums over all workers\n\n",
        table(_HEAD, _stage_rows(found["stages"]), left=2),
    ]
    fields = list(_field_rows(found["stages"]))
    if fields:
        parts += [
            "\nFields: used by a stage (in) and created by it (out); fields that it did not use are not listed\n\n",
            table(("field", "way", "entries", "None", "NaN"), fields, left=2),
        ]
    if "read" in found:
        parts += _read(found["read"])
    return "".join(parts)


_HEAD = ("stage", "op", "calls", "events in", "out", "kept", "wall", "CPU", "added", "peak memory", "GPU memory")


def _stage_rows(stages: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    rows = list(stages.values())
    wall, cpu = (durations(row[key] for row in rows) for key in ("wall_seconds", "cpu_seconds"))
    memory = [sizes(row.get(key) for row in rows) for key in ("added_memory", "peak_memory", "peak_gpu_memory")]
    for number, (name, row) in enumerate(stages.items()):
        given, left = row.get("events_in"), row.get("events_out")
        yield (
            name,
            row["op"],
            f"{row['calls']:,}",
            "" if given is None else f"{given:,}",
            "" if left is None else f"{left:,}",
            "" if given is None or left is None else share(left, given),
            wall[number],
            cpu[number],
            *(column[number] for column in memory),
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
        f"\nReading: {read['events']:,} events, {size(total)} compressed, {duration(read['wall_seconds'])} "
        f"({duration(read['cpu_seconds'])} CPU)\n\n"
    )
    branches = read["branches"]
    rows = [(n, text, share(branches[n], total)) for n, text in zip(branches, sizes(branches.values()), strict=True)]
    yield table(("branch", "bytes", "share"), rows)
