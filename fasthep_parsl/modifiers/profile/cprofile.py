"""Measurement ``cprofile``: calls and seconds of every Python function, from the standard library's profiler."""

from __future__ import annotations

import cProfile
import marshal
import pstats
import re
import sys
from collections.abc import Mapping
from typing import Any

from fasthep_parsl.interfaces import Call
from fasthep_parsl.modifiers.profile.function_names import OTHER, short_file

MAX_FUNCTIONS = 200
"""Functions kept per call: the ones with most own time. The others are summed. Each takes about 80 bytes."""


def counted(call: Call) -> Call:
    """Return a call under `cProfile`."""

    def measured(events: Any, **params: Any) -> Any:
        if sys.getprofile() is not None:  # only one profiler can be active
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
    """Return the content of a file for `pstats` and compatible tools, without callers."""
    return marshal.dumps({_key(name): (int(row[0]), int(row[1]), *row[2:], {}) for name, row in rows.items()})


def _key(name: str) -> tuple[str, int, str]:
    found = re.fullmatch(r"(.*) \((.*):(\d+)\)", name)
    return (found[2], int(found[3]), found[1]) if found else ("~", 0, name)
