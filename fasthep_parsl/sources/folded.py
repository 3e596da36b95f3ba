"""Fold branches into collections, so that the 1500 branches of a NanoAOD file fit on a screen."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from fasthep_parsl.sources.inspected import InspectedBranch

FEW = 3
"""Fewest values per event with one prefix that are folded."""
_HEAD = re.compile(r"^([^_./]+)[_./].")


@dataclass(frozen=True, slots=True)
class BranchGroup:
    """Branches that belong together.

    Attributes
    ----------
    name : str
        ``Muon[nMuon]`` for lists with a counter, ``Jet[]`` for other lists, ``HLT_…`` for values per event, or the name
        of a branch that is alone.
    branches : tuple of InspectedBranch
        The branches, without the counter and the object that their members are of.
    bytes : int or None
        Compressed bytes, with those of counter and object; None if the header does not say them.
    """

    name: str
    branches: tuple[InspectedBranch, ...]
    bytes: int | None

    @property
    def types(self) -> str:
        """Types of the values, the most frequent first. Lists are not mentioned if the name says it."""
        words = [branch.type or "no field" for branch in self.branches]
        if self.name.endswith("]"):
            words = [word.removeprefix("list of ") for word in words]
        return ", ".join(word for word, _ in Counter(words).most_common())


def fold(branches: Iterable[InspectedBranch]) -> list[BranchGroup]:
    """Return groups of branches, in the order of their first branch."""
    every = {branch.name: branch for branch in branches}
    keys = {name: _key(branch, every) for name, branch in every.items()}
    sizes = Counter(keys.values())
    folded: dict[_Key, list[str]] = {}
    for name, key in keys.items():
        together = bool(key.head) and sizes[key] >= (2 if key.lists else FEW)
        folded.setdefault(key if together else key._replace(alone=name), []).append(name)
    owners: dict[str, _Key] = {}
    for key, names in folded.items():
        for name in (key.counter, key.head):
            if name in every and (name == key.counter or every[name].problem) and name not in names:
                owners.setdefault(name, key)
    found = []
    for key, names in folded.items():
        own = [every[name] for name in names if name not in owners]
        extra = [every[name] for name, owner in owners.items() if owner == key]
        if own:
            sizes_known = [branch.bytes for branch in (*own, *extra) if branch.bytes is not None]
            found.append(BranchGroup(_label(key), tuple(own), sum(sizes_known) if sizes_known else None))
    return found


class _Key(NamedTuple):
    """What the branches of a group have in common; `alone` is the only branch of a group."""

    head: str
    counter: str
    lists: bool
    alone: str = ""


def _key(branch: InspectedBranch, every: Container[str]) -> _Key:
    match = _HEAD.match(branch.name)
    head = match[1] if match else ""
    lists = branch.type.startswith("list")
    counter = branch.counter or (f"n{head}" if f"n{head}" in every and head else "")
    counter = counter or (f"n{branch.name}" if f"n{branch.name}" in every else "")
    return _Key(head, counter if lists else "", lists)


def _label(key: _Key) -> str:
    name = key.alone or key.head
    if key.lists:
        return f"{name}[{key.counter}]"
    return name if key.alone else f"{name}_…"
