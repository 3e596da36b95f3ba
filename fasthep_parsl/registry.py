"""Find kinds (ops, strategies, backends …) by name. Built-in kinds and plug-ins are entry points alike.

A kind is imported when it is first used, so that listing the names is fast.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from fasthep_parsl.errors import ConfigError, Problem, suggest, summary_of

SINGULAR = {
    "ops": "op",
    "modifiers": "modifier",
    "strategies": "strategy",
    "backends": "backend",
    "environments": "environment",
    "credentials": "credential",
    "sources": "source",
}
"""Group of kinds → the word for one of them."""
GROUPS = tuple(SINGULAR)


@cache
def _table(group: str) -> dict[str, EntryPoint]:
    if group not in GROUPS:
        raise ValueError(f"unknown group of kinds {group!r}: {suggest(group, GROUPS)}")
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
        The name is unknown (the hint has similar names), or its package cannot be imported.
    """
    point = _table(group).get(name)
    if point is None:
        message = f"unknown {SINGULAR[group]} `{name}`"
        raise ConfigError(Problem("E110", message, hint=suggest(name, names(group), what=group), name=name))
    try:
        return point.load()
    except Exception as error:  # a package of somebody else may fail in any way
        package = point.dist.name if point.dist else point.module
        message = f"{SINGULAR[group]} `{name}` of package `{package}` cannot be imported: {summary_of(error)}"
        raise ConfigError(Problem("E110", message, hint="reinstall the package, or remove it", name=name)) from error
