"""Names of the branches of a TTree. A name identifies one branch, or is refused."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

from fasthep_parsl.interfaces import Branch
from fasthep_parsl.sources.branches import listed, record


class BranchPlace(NamedTuple):
    """A branch with its names.

    Attributes
    ----------
    branch : uproot.TBranch
        The branch.
    path : str
        Names of all parents and its own name, separated by slashes.
    short : str
        ``parent.name``, or its own name if that contains a dot.
    long : str
        ``a.b.c``: the path with dots, without repeated parts.
    split : bool
        Whether its members are separate branches. The branch itself is then not read.
    """

    branch: Any
    path: str
    short: str
    long: str
    split: bool

    @property
    def names(self) -> dict[str, None]:
        """Possible names, preferred ones first."""
        return dict.fromkeys((self.short, self.long, self.path, self.branch.name))


class Names:
    """All names of the branches of a tree.

    Attributes
    ----------
    fields : dict
        Name → place, one name for each branch with values.
    synonyms : dict
        Other name → name in `fields`.
    refused : dict
        Name → why it cannot be used.
    often : Counter
        Own name → number of branches with this name, including split ones.
    """

    def __init__(self, tree: Any) -> None:
        leaves: list[BranchPlace] = []
        self._split: list[BranchPlace] = []
        for branch in tree.branches:
            for place in _walk(branch, None):
                (self._split if place.split else leaves).append(place)
        self.often = Counter(place.branch.name for place in (*leaves, *self._split))
        self.fields: dict[str, BranchPlace] = {}
        self.synonyms: dict[str, str] = {}
        self.refused: dict[str, Branch] = {}
        if not self._split and len({place.path for place in leaves}) == len(leaves):  # true for most trees
            self.fields = {place.path: place for place in leaves}
        else:
            self._share_out(leaves)

    def _share_out(self, leaves: list[BranchPlace]) -> None:
        """Give each branch the names that no other branch has."""
        claims: dict[str, list[BranchPlace]] = defaultdict(list)
        for place in leaves:
            for name in place.names:
                claims[name].append(place)
        owners = {name: _owner(name, same) for name, same in claims.items()}
        self.refused = {name: _refused(claims[name]) for name, owner in owners.items() if owner is None}
        for place in leaves:
            names = [name for name in place.names if owners[name] is place]
            if names:
                self.fields[names[0]] = place
                self.synonyms |= dict.fromkeys(names[1:], names[0])

    @property
    def split(self) -> dict[str, Any]:
        """Path → branch whose members are separate branches."""
        return {place.path: place.branch for place in self._split}

    def of_split(self) -> dict[str, Branch]:
        """Return the descriptions of split branches."""
        members: dict[str, list[str]] = {place.path: [] for place in self._split}
        for name, place in self.fields.items():
            above = place.path.rpartition("/")[0]
            while above:
                if above in members:  # a name may contain a slash
                    members[above].append(name)
                above = above.rpartition("/")[0]
        return {path: record(names, "is split into branches") for path, names in members.items()}

    def find(self, name: str) -> tuple[BranchPlace, str] | None:
        """Return the branch that `name` begins with, and the rest of the name: a member."""
        head, rest = name, ""
        while head:
            place = self.fields.get(self.synonyms.get(head, head))
            if place is not None:
                return place, rest
            head, dot, last = head.rpartition(".")
            rest = f"{last}.{rest}" if rest else last
            if not dot:
                return None
        return None


def _walk(branch: Any, above: BranchPlace | None) -> Iterator[BranchPlace]:
    name = branch.name
    if above is None:
        path = short = long = name
    else:
        parent = above.branch.name
        path = f"{above.path}/{name}"
        short = name if "." in name else f"{above.short.rstrip('.')}.{name}"
        if name.startswith(f"{above.long.rstrip('.')}."):
            long = name
        elif name.startswith(f"{parent.rstrip('.')}.") and above.long.endswith(parent):
            long = above.long[: -len(parent)] + name
        else:
            long = f"{above.long.rstrip('.')}.{name}"
    below = list(branch.branches)
    place = BranchPlace(branch, path, short, long, bool(below))
    yield place
    for member in below:
        yield from _walk(member, place)


def _owner(name: str, same: list[BranchPlace]) -> BranchPlace | None:
    """Return the branch that `name` identifies: the one with this path, else the only candidate."""
    exact = [place for place in same if place.path == name] or same
    return exact[0] if len(exact) == 1 else None


def _refused(same: list[BranchPlace]) -> Branch:
    paths = list(dict.fromkeys(place.path for place in same))
    problem = f"is the name of {len(same)} branches"
    if len(paths) == 1:
        return Branch(problem=problem, hint="they have the same path: write the file with a different name for each")
    return Branch(
        problem=problem, hint=f"choose one: `fields: {{my_name: {{branch: {paths[0]}}}}}`; candidates: {listed(paths)}"
    )
