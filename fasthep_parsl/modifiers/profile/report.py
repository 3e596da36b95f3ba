"""``profile.txt``: what a person reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fasthep_parsl.interfaces import Note
from fasthep_parsl.modifiers.text import seconds, share, size, table

MOST = 15
"""Lines per table."""


def text(stages: Mapping[str, Note]) -> str:
    """Return the tables for what was measured."""
    sections = (("time", _time), ("flame", _flame), ("cprofile", _cprofile), ("memory", _memory))
    parts = []
    for what, section in sections:
        notes = {stage: note[what] for stage, note in stages.items() if what in note}
        if notes:
            parts.append("".join(section(notes)))
    return "\n".join(parts)


def _time(notes: Mapping[str, Any]) -> Iterator[str]:
    total = {key: sum(note[key] for note in notes.values()) for key in ("wall", "cpu")}
    yield "Time of reading and of each op, all workers together\n\n"
    rows = [
        (
            stage,
            f"{note['calls']:,}",
            f"{note['events']:,}",
            seconds(note["wall"]),
            share(note["wall"], total["wall"]),
            seconds(note["cpu"]),
            seconds(note["longest"]),
            seconds(note["cpu"] / note["events"]) if note["events"] else "",
        )
        for stage, note in notes.items()
    ]
    rows.append(("all", "", "", seconds(total["wall"]), "", seconds(total["cpu"]), "", ""))
    yield table(("stage", "calls", "events in", "wall", "share", "CPU", "longest call", "CPU per event"), rows)


def _flame(notes: Mapping[str, Any]) -> Iterator[str]:
    yield "Functions in which time is spent, seen from outside: own time, and with what they call\n"
    for stage, note in notes.items():
        own: dict[str, float] = {}
        all_: dict[str, float] = {}
        for stack, value in note["stacks"].items():
            names = stack.split(";")
            own[names[-1]] = own.get(names[-1], 0) + value
            for name in set(names):
                all_[name] = all_.get(name, 0) + value
        total = sum(own.values())
        yield f"\n{stage}: {seconds(total)}, seen {note['looks']:,} times\n\n"
        order = sorted(all_, key=lambda name: (-own.get(name, 0), -all_[name]))[:MOST]
        rows = [
            (name or "(the op itself)", seconds(own.get(name, 0)), share(own.get(name, 0), total), seconds(all_[name]))
            for name in order
        ]
        yield table(("function", "own", "share", "with callees"), rows)


def _cprofile(notes: Mapping[str, Any]) -> Iterator[str]:
    yield "Python functions, calls counted exactly; times are longer than without the profiler\n"
    for stage, rows in notes.items():
        total = sum(row[2] for row in rows.values())
        yield f"\n{stage}: {sum(row[1] for row in rows.values()):,} calls, {seconds(total)}\n\n"
        order = sorted(rows.items(), key=lambda item: -item[1][2])[:MOST]
        yield table(
            ("function", "calls", "own", "share", "with callees"),
            [(name, f"{r[1]:,}", seconds(r[2]), share(r[2], total), seconds(r[3])) for name, r in order],
        )


def _memory(notes: Mapping[str, Any]) -> Iterator[str]:
    yield "Resident memory: most that one call has added, what it left behind, and the worker's peak\n\n"
    yield table(
        ("stage", "calls", "added", "kept", "peak of the worker"),
        [(s, f"{n['calls']:,}", size(n["added"]), size(n["kept"]), size(n["peak"])) for s, n in notes.items()],
    )
    for stage, note in notes.items():
        places = sorted(note["where"].items(), key=lambda item: -item[1])[:5]
        if places:
            yield f"\n{stage}: where memory was seen highest\n\n"
            yield table(("seen in", "added so far"), [(" < ".join(_inner(stack)), size(n)) for stack, n in places])


def _inner(stack: str) -> list[str]:
    """Return the innermost functions of a stack."""
    return [name or "(the op itself)" for name in reversed(stack.split(";")[-3:])]
