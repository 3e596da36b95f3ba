"""``cprofile``: calls and seconds of every Python function, as the standard library's profiler has them."""

from __future__ import annotations

import cProfile
import marshal
import pstats
import re
import sys
from collections.abc import Mapping
from typing import Any

from fasthep_parsl.interfaces import Call
from fasthep_parsl.modifiers.profile.names import OTHER, short_file

MAX_FUNCTIONS = 200
"""Functions that one call keeps, those with most seconds of their own; the others are summed up. One takes about 80 bytes."""


def counted(call: Call) -> Call:
    """Return a call under `cProfile`."""

    def measured(events: Any, **params: Any) -> Any:
        if sys.getprofile() is not None:  # somebody does it already, and there can be only one
            return call.function(events, **params)
        profiler = cProfile.Profile()
        profiler.enable()
        try:
            result = call.function(events, **params)
        finally:
            profiler.disable()
        call.note({"cprofile": largest(pstats.Stats(profiler).stats)})  # type: ignore[attr-defined]
        return result

    return call.using(measured)


def largest(stats: Mapping[tuple[str, int, str], tuple[Any, ...]]) -> dict[str, list[float]]:
    """Return function → calls that are not recursive, calls, own seconds, seconds with callees.

    Parameters
    ----------
    stats : mapping
        As in `pstats.Stats`: (file, line, function) → (calls, all calls, own time, time with callees, callers).
    """
    rows = sorted(stats.items(), key=lambda item: -item[1][2])
    found: dict[str, list[float]] = {}
    for number, (key, row) in enumerate(rows):
        name = OTHER if number >= MAX_FUNCTIONS else _name(*key)
        values = row[:4] if name != OTHER else (*row[:3], row[2])
        found[name] = [a + b for a, b in zip(found.get(name, (0, 0, 0, 0)), values, strict=True)]
    return {name: [row[0], row[1], round(row[2], 6), round(row[3], 6)] for name, row in found.items()}


def _name(file: str, line: int, function: str) -> str:
    return function if file == "~" else f"{function} ({short_file(file)}:{line})"


def pstats_file(rows: Mapping[str, list[float]]) -> bytes:
    """Return a file for `pstats` and the tools that read its files; who called whom is not in it."""
    return marshal.dumps({_key(name): (int(row[0]), int(row[1]), *row[2:], {}) for name, row in rows.items()})


def _key(name: str) -> tuple[str, int, str]:
    found = re.fullmatch(r"(.*) \((.*):(\d+)\)", name)
    return (found[2], int(found[3]), found[1]) if found else ("~", 0, name)
