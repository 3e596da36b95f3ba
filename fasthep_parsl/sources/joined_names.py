"""Names of the columns of joined sources. A name identifies one branch of one source, or is refused."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field

from fasthep_parsl.errors import suggest
from fasthep_parsl.interfaces import Branch, Branches, InputFileError, OpenInput

_BranchAt = tuple[int, str]
"""Number of a source, and the name of a branch there."""


@dataclass(frozen=True)
class JoinedPart:
    """One of the sources that are joined.

    Attributes
    ----------
    name : str
        Its name in the workflow.
    prefix : str
        Its columns are ``prefix.name``.
    file : OpenInput
        Its open file.
    by : mapping
        Key branch of the primary source → its own; empty for the primary source, and if entries belong together.
    """

    name: str
    prefix: str
    file: OpenInput
    by: Mapping[str, str] = field(default_factory=dict)

    def shares(self, branch: str) -> bool:
        """Return whether a branch is a key that the primary source has under the same name, with equal values."""
        return self.by.get(branch) == branch


class JoinedNames:
    """The names of all columns: ``prefix.name``, and ``name`` if only one source has it."""

    def __init__(self, path: str, parts: Sequence[JoinedPart]) -> None:
        self._path = path
        self._parts = parts
        self._found: dict[str, list[_BranchAt]] = {}

    def owners(self, name: str) -> list[_BranchAt]:
        """Return the branches that have a name: one, none if it is unknown, several if it is not clear."""
        known = self._found.get(name)
        if known is None:
            known = self._found[name] = list(self._search(name))
        return known

    def _search(self, name: str) -> dict[_BranchAt, None]:
        found: dict[_BranchAt, None] = {}
        for number, part in enumerate(self._parts):
            rest = name.removeprefix(f"{part.prefix}.")
            if rest != name and part.file.has(rest):
                found[number, rest] = None
            if not part.shares(name) and part.file.has(name):
                found[number, name] = None
        return found

    def place(self, name: str) -> _BranchAt:
        """Return the source and the branch that a name identifies.

        Raises
        ------
        InputFileError
            There is no such branch, or several have this name.
        """
        owners = self.owners(name)
        if len(owners) == 1:
            return owners[0]
        if owners:
            refused = self._several(owners)
            raise InputFileError(self._path, f"branch `{name}` {refused.problem}", refused.hint)
        known = self.branches([part.file.branches() for part in self._parts]).found
        raise InputFileError(self._path, f"no branch `{name}`", suggest(name, known, what="branches"))

    def _several(self, owners: Sequence[_BranchAt]) -> Branch:
        names = " and ".join(dict.fromkeys(f"`{self._parts[number].name}`" for number, _ in owners))
        choice = " or ".join(f"`{self._parts[number].prefix}.{branch}`" for number, branch in owners)
        return Branch(problem=f"is in several sources: {names}", hint=f"write {choice}")

    def branches(self, every: Sequence[Branches]) -> Branches:
        """Return all columns under the shortest name that is clear. Names that are not clear are refused.

        Parameters
        ----------
        every : sequence of Branches
            The branches of each source.
        """
        claims: dict[str, dict[_BranchAt, None]] = {}
        for number, (part, known) in enumerate(zip(self._parts, every, strict=True)):
            own = {**dict.fromkeys(known.synonyms), **dict.fromkeys(known.found)}
            for name in own:
                place = number, known.synonyms.get(name, name) if name not in known.found else name
                claims.setdefault(f"{part.prefix}.{name}", {})[place] = None
                if not part.shares(name):
                    claims.setdefault(name, {})[place] = None
        taken: dict[_BranchAt, list[str]] = {}
        found: dict[str, Branch] = {}
        for name, places in claims.items():
            if len(places) > 1:
                found[name] = self._several(list(places))
            else:
                taken.setdefault(next(iter(places)), []).append(name)
        levels = {level for branch in every[0].found.values() for level in branch.shape}
        synonyms: dict[str, str] = {}
        for (number, branch), names in taken.items():
            first = branch if branch in names else names[0]
            described = every[number].found[branch]
            found[first] = described if not number else self._renamed(number, described, levels)
            synonyms |= {name: first for name in names if name != first}
        return Branches(found, synonyms)

    def _renamed(self, number: int, branch: Branch, levels: Container[str]) -> Branch:
        """Return a branch without the promise that its lists are as long as others with the same counter.

        If the primary source has this counter, too, whether they are is checked when both are used.
        """
        prefix = self._parts[number].prefix
        shape = tuple("*" if level == "*" or level in levels else f"{prefix}.{level}" for level in branch.shape)
        return branch._replace(shape=shape)
