"""Find kinds (ops, strategies, backends …) by name, through entry points; built-ins use the same door.

A kind is held as the path of its object and imported at first use, so that listing costs no import.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from fasthep_parsl.errors import ConfigError, Problem, suggest

GROUPS = ("ops", "modifiers", "strategies", "backends", "environments", "credentials", "sources")


@cache
def _table(group: str) -> dict[str, EntryPoint]:
    if group not in GROUPS:
        raise ValueError(f"no such group of kinds: {group!r}; {suggest(group, GROUPS)}")
    return {point.name: point for point in entry_points(group=f"fasthep_parsl.{group}")}


def names(group: str) -> list[str]:
    """Return the sorted names of all kinds of `group` (one of `GROUPS`)."""
    return sorted(_table(group))


@cache
def load(group: str, name: str) -> Any:
    """Import and return the object registered as `name` in `group`.

    Raises
    ------
    ConfigError
        No such name; the hint lists close ones.
    """
    point = _table(group).get(name)
    if point is None:
        kind = group.removesuffix("s").replace("strategie", "strategy")
        raise ConfigError(Problem("E110", f"unknown {kind} `{name}`", hint=suggest(name, names(group))))
    return point.load()
