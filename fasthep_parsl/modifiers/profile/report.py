"""Format the measurements of a profile as ``profile.txt``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fasthep_parsl.interfaces import Note
from fasthep_parsl.modifiers.text import duration, durations, share, sizes, table

MOST, FEW = 15, 8
"""Lines of the table of all stages, and of the table of one stage."""
WORTH = 1_000_000
"""Bytes that a stage must add to be listed in detail."""
OP = "(the op itself)"


def text(stages: Mapping[str, Note]) -> str:
    """Return one table for each measurement."""
    sections = (("time", _time), ("flame", _flame), ("cprofile", _cprofile), ("memory", _memory))
    parts = []
    for what, section in sections:
        notes = {stage: note[what] for stage, note in stages.items() if what in note}
        if notes:
            parts.append("".join(section(notes)))
    return "\n".join(parts)


def _time(notes: Mapping[str, Any]) -> Iterator[str]:
    total = {key: sum(note[key] for note in notes.values()) for key in ("wall", "cpu")}
    wall, cpu = (durations([*(note[key] for note in notes.values()), total[key]]) for key in ("wall", "cpu"))
    longest = durations(note["longest"] for note in notes.values())
    each = durations(note["cpu"] / note["events"] if note["events"] else None for note in notes.values())
    yield "Time of reading and of each op, sums over all workers\n\n"
    rows = [
        (stage, f"{n['calls']:,}", f"{n['events']:,}" if n["events"] else "", *columns, share(n["wall"], total["wall"]))
        for (stage, n), *columns in zip(notes.items(), wall, cpu, longest, each, strict=False)
    ]
    rows.append(("all", "", "", wall[-1], cpu[-1], "", "", ""))
    yield table(("stage", "calls", "events in", "wall", "CPU", "longest call", "CPU per event", "share of wall"), rows)


def _flame(notes: Mapping[str, Any]) -> Iterator[str]:
    yield "Time per function, sampled: own time, and including callees\n"
    sums: dict[str, float] = {}
    for note in notes.values():
        for stack, value in note["stacks"].items():
            sums[stack] = sums.get(stack, 0.0) + value
    looks = sum(note["looks"] for note in notes.values())
    yield from _sampled("all stages", sums, looks, MOST)
    for stage, note in notes.items():
        yield from _sampled(stage, note["stacks"], note["looks"], FEW)


def _sampled(title: str, stacks: Mapping[str, float], looks: int, most: int) -> Iterator[str]:
    own: dict[str, float] = {}
    with_callees: dict[str, float] = {}
    for stack, value in stacks.items():
        names = stack.split(";")
        own[names[-1]] = own.get(names[-1], 0) + value
        for name in set(names):
            with_callees[name] = with_callees.get(name, 0) + value
    total = sum(own.values())
    yield f"\n{title}: {duration(total)}, {looks:,} samples\n\n"
    order = sorted(own, key=lambda name: -own[name])[:most]
    mine, theirs = durations(own[name] for name in order), durations(with_callees[name] for name in order)
    shares = [share(own[name], total) for name in order]
    names = [name or OP for name in order]
    yield table(("function", "own", "share", "with callees"), zip(names, mine, shares, theirs, strict=True))


def _cprofile(notes: Mapping[str, Any]) -> Iterator[str]:
    yield "Python functions with exact numbers of calls; times are longer than without the profiler\n"
    for stage, rows in notes.items():
        total = sum(row[2] for row in rows.values())
        yield f"\n{stage}: {sum(row[1] for row in rows.values()):,} calls, {duration(total)}\n\n"
        order = sorted(rows.items(), key=lambda item: -item[1][2])[:FEW]
        own, with_callees = durations(row[2] for _, row in order), durations(row[3] for _, row in order)
        yield table(
            ("function", "calls", "own", "share", "with callees"),
            [
                (name, f"{row[1]:,}", mine, share(row[2], total), theirs)
                for (name, row), mine, theirs in zip(order, own, with_callees, strict=True)
            ],
        )


def _memory(notes: Mapping[str, Any]) -> Iterator[str]:
    yield "Resident memory: most that one call added, most that it kept, and the peak of the worker\n\n"
    columns = [sizes(note[key] for note in notes.values()) for key in ("added", "kept", "peak")]
    rows = [
        (stage, f"{note['calls']:,}", *texts) for (stage, note), *texts in zip(notes.items(), *columns, strict=True)
    ]
    yield table(("stage", "calls", "added", "kept", "peak of the worker"), rows)
    for stage, note in notes.items():
        places: dict[str, float] = {}
        for stack, value in note["where"].items():
            name = stack.rpartition(";")[2]
            places[name] = max(places.get(name, 0), value)
        order = sorted((name for name in places if places[name] > note["added"] / 10), key=lambda name: -places[name])
        if order and note["added"] > WORTH:
            yield f"\n{stage}: functions with the most memory\n\n"
            texts = sizes(places[name] for name in order[:FEW])
            yield table(("function", "added by then"), [(n or OP, t) for n, t in zip(order, texts, strict=False)])
