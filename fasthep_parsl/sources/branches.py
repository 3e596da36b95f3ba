"""What is known of the branches of an input file: structure and type of each, and why one cannot be used."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from fasthep_parsl.interfaces import Shape

TEXT = "text"
"""Type of texts, where numbers have numpy's name of theirs."""
MOST_NAMED = 6
"""Members that a hint names."""


class Branch(NamedTuple):
    """A branch, or a member of one.

    Attributes
    ----------
    shape : tuple of str
        A name for each level of lists.
    dtype : str
        Type of its values: numpy's name, or ``text``.
    problem, hint : str
        Why it cannot be a field and what can be done; empty if it can.
    sure : bool
        Whether that does not depend on what the file says of a class, which only reading a value confirms.
    """

    shape: Shape = ()
    dtype: str = ""
    problem: str = ""
    hint: str = ""
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Branches:
    """The branches of a file.

    Attributes
    ----------
    found : mapping
        Name → branch.
    synonyms : mapping
        Other name → name in `found`.
    """

    found: dict[str, Branch] = field(default_factory=dict)
    synonyms: dict[str, str] = field(default_factory=dict)

    def name_of(self, name: str) -> str:
        """Return the name in `found` of what is asked for as `name`; that itself if it is not known."""
        head, rest = name, ""
        while name not in self.found and head:
            known = self.synonyms.get(head)
            if known is not None:
                return f"{known}.{rest}" if rest else known
            head, _, last = head.rpartition(".")
            rest = f"{last}.{rest}" if rest else last
        return name


def record(names: Iterable[str], what: str = "is a record") -> Branch:
    """Return what stands for a record, of which only the members `names` are fields."""
    members = list(names)
    if not members:
        return Branch(problem=f"{what} without members that can be read")
    return Branch(problem=what, hint=f"its members are fields: {listed(members)}")


def listed(names: Iterable[str], most: int = MOST_NAMED) -> str:
    """Return names in backticks, the first ones if there are many."""
    every = list(names)
    more = f" … ({len(every)} in all)" if len(every) > most else ""
    return ", ".join(f"`{name}`" for name in every[:most]) + more
