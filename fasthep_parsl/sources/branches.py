"""Descriptions of branches that several input formats share: records, and lists of names in hints."""

from __future__ import annotations

from collections.abc import Iterable

from fasthep_parsl.interfaces import Branch

MOST_NAMED = 6
"""Number of names in a hint."""


def record(names: Iterable[str], what: str = "is a record") -> Branch:
    """Return the description of a record. Only its members `names` are fields."""
    members = list(names)
    if not members:
        return Branch(problem=f"{what} without members that can be read")
    return Branch(problem=what, hint=f"its members are fields: {listed(members)}")


def listed(names: Iterable[str], most: int = MOST_NAMED) -> str:
    """Return names in backticks, only the first ones if there are many."""
    every = list(names)
    more = f" … ({len(every)} in all)" if len(every) > most else ""
    return ", ".join(f"`{name}`" for name in every[:most]) + more
