"""TTrees in ROOT files: structure and types of the branches, and columns of an entry range."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from itertools import accumulate
from typing import Any

from fasthep_parsl.errors import suggest, summary_of
from fasthep_parsl.interfaces import Branch, Branches, InputFileError
from fasthep_parsl.ops.stream import Column
from fasthep_parsl.sources.columns import tidy
from fasthep_parsl.sources.disk_sizes import StoredBranch, StoredTree
from fasthep_parsl.sources.forms import Members, take
from fasthep_parsl.sources.jagged_branches import JaggedNumbers, KnownOffsets, reads_faster
from fasthep_parsl.sources.root_names import Names
from fasthep_parsl.sources.root_types import describe
from fasthep_parsl.sources.time_limit import EndlessError, at_most

TREES = ("TTree", "TNtuple", "TNtupleD", "TChain")
"""Classes of ROOT that are read here."""


TIME_LIMIT = 10.0
"""CPU seconds that reading objects may take, whatever their size."""
SLOWEST = 50_000
"""Bytes of objects per CPU second that are added to the limit. uproot reads at least ten times as fast."""


class TreeFile:
    """A TTree in an open ROOT file.

    Parameters
    ----------
    path : str
        The file.
    file : uproot.ReadOnlyDirectory
        The open file; closed by `close`.
    tree : uproot.TTree
        The tree.
    section : str
        Its name with its cycle.
    """

    def __init__(self, path: str, file: Any, tree: Any, section: str) -> None:
        self.path = path
        self.section = section
        self._local = "://" not in path
        self._file = file
        self._tree = tree
        self.entries = int(tree.num_entries)
        self.uuid = file.file.uuid.hex
        self._fields: dict[str, tuple[Any, Members]] = {}
        self._sums: dict[str, tuple[list[int], list[int]]] = {}

    @property
    def directory(self) -> Any:
        """The open ROOT file."""
        return self._file

    def clusters(self) -> list[int]:
        """Return the event numbers at which all branches begin a new basket, with 0 and the end."""
        if not self.entries:
            return []
        try:
            edges = [int(edge) for edge in self._tree.common_entry_offsets()]
        except Exception:  # noqa: BLE001  (uproot cannot read one of the branches)
            return [0, self.entries]
        return edges if edges[:1] == [0] and edges[-1] == self.entries else [0, self.entries]

    @cached_property
    def _names(self) -> Names:
        return Names(self._tree)

    @cached_property
    def _plain(self) -> dict[str, Any]:
        """Name → branch of the tree itself, None if several have this name. Faster than all names."""
        found: dict[str, Any] = {}
        for branch in self._tree.branches:
            name = branch.name
            found[name] = None if name in found else branch
        return found

    def branches(self) -> Branches:
        """Return all branches and members with structure and type. Lists have the name of their counter."""
        found: dict[str, Branch] = {}
        members: dict[str, Branch] = {}
        for name, place in self._names.fields.items():
            for key, (_, branch) in self._described(name, place.branch).items():
                (found if key == name else members).setdefault(key, branch)
        others = {**self._names.of_split(), **self._names.refused, **members}
        return Branches({**found, **{name: others[name] for name in others if name not in found}}, self._names.synonyms)

    def _described(self, name: str, branch: Any) -> dict[str, tuple[Members, Branch]]:
        """Return the fields of a branch. A branch with another number of entries than the tree cannot be used."""
        number = int(branch.num_entries)
        if number == self.entries:
            return describe(name, branch)
        problem = f"has {number:,} entries, the tree {self.entries:,}"
        return {name: ((), Branch(problem=problem, hint="their events are unknown: use other branches"))}

    def has(self, column: str) -> bool:
        """Return whether the tree has a branch."""
        if column not in self._plain and self._names.find(column) is None:  # without a search for similar names
            return column in self._names.refused
        try:
            self._field(column)
        except InputFileError:
            return column in self._names.refused
        return True

    def read(self, columns: Iterable[str], start: int, stop: int) -> dict[str, Column]:
        """Return events [start, stop). Flat columns are NumPy arrays. Jagged columns with equal offsets share them."""
        wanted = {name: self._field(name) for name in columns}
        branches = {id(branch): branch for branch, _ in wanted.values()}
        read = dict(self._read(list(branches.values()), start, stop))
        for key, array in read.items():
            if len(array) != stop - start:
                message = f"branch `{branches[key].name}` has {len(array)} of events {start}–{stop}"
                raise InputFileError(self.path, message, "is the file damaged?", cause="corrupt")
        return tidy({name: take(read[id(branch)], members) for name, (branch, members) in wanted.items()})

    def _read(self, branches: list[Any], start: int, stop: int) -> Iterator[tuple[int, Any]]:
        """Yield identity and array of each branch. A server is asked for all of them in one request."""
        single = list(branches)
        if not self._local:  # uproot returns them by their own names
            many = {branch.name: branch for branch in branches if self._names.often[branch.name] == 1}
            single = [branch for branch in branches if branch.name not in many]
            chosen = {id(branch) for branch in many.values()}
            with self._located("", start, stop):
                arrays = self._tree.arrays(
                    filter_branch=lambda branch: id(branch) in chosen, entry_start=start, entry_stop=stop, how=dict
                )
                found = [(id(branch), arrays[name]) for name, branch in many.items()]
            yield from found
        known = KnownOffsets()
        for branch in single:
            with self._located(branch.name, start, stop), self._in_time(branch, start, stop):
                form = branch.interpretation
                form = JaggedNumbers(form.content, known) if reads_faster(form) else form
                array = branch.array(form, entry_start=start, entry_stop=stop)
            yield id(branch), array

    @contextmanager
    def _located(self, name: str, start: int, stop: int) -> Iterator[None]:
        """Turn errors into `InputFileError` with the branch and the events that were read."""
        what = f"branch `{name}` of events" if name else "events"
        try:
            yield
        except EndlessError:
            message = f"{what} {start}–{stop} cannot be read: it takes much longer than its size explains"
            raise InputFileError(
                self.path, message, "uproot may not understand its class: use other branches"
            ) from None
        except InputFileError:  # of the server
            raise
        except Exception as error:
            message = f"{what} {start}–{stop} cannot be read: {summary_of(error)}"
            hint = "is the file damaged, or written by a very old or unusual program?"
            raise InputFileError(self.path, message, hint, cause="corrupt") from error

    def _in_time(self, branch: Any, start: int, stop: int) -> AbstractContextManager[None]:
        """Limit the time for reading objects. Numbers and text need no limit."""
        if type(branch.interpretation).__name__ != "AsObjects":
            return nullcontext()
        size = branch.uncompressed_bytes * (stop - start) / max(self.entries, 1)
        return at_most(TIME_LIMIT + size / SLOWEST)

    def _field(self, name: str) -> tuple[Any, Members]:
        """Return the branch of a column, and the members to take from it."""
        plain = self._plain.get(name)
        if plain is not None and not plain.branches:
            return plain, ()
        if name not in self._fields:
            place, rest = self._names.find(name) or (None, "")
            if place is None or (rest and name in self._names.refused):
                known = [*self._names.fields]
                raise InputFileError(self.path, f"no branch `{name}`", suggest(name, known, what="branches"))
            members: Members = ()
            if rest:
                head = name[: -len(rest) - 1]
                inside = {key: found for key, (found, _) in self._described(head, place.branch).items()}
                if name not in inside:
                    raise InputFileError(self.path, f"no branch `{name}`", suggest(name, inside, what="branches"))
                members = inside[name]
            self._fields[name] = place.branch, members
        return self._fields[name]

    def prefetch(self, columns: Iterable[str], start: int, stop: int) -> None:
        """Begin to fetch the baskets that `read` will need for events [start, stop) from a server."""
        fetch = getattr(self._file.file.source, "prefetch", None)
        if fetch is None:
            return
        ranges: list[tuple[int, int]] = []
        for name in columns:
            branch, _ = self._field(name)
            first, last = bisect_right(branch.entry_offsets, start) - 1, bisect_left(branch.entry_offsets, stop)
            seeks, sizes = branch.member("fBasketSeek"), branch.member("fBasketBytes")
            places = range(max(first, 0), min(last, len(branch.entry_offsets) - 1))
            ranges += [(int(seeks[at]), int(seeks[at]) + int(sizes[at])) for at in places if seeks[at]]
        fetch(ranges)

    def branch_bytes(self, columns: Iterable[str], start: int, stop: int) -> dict[str, int]:
        """Return the compressed bytes of the baskets that contain events [start, stop), by column."""
        found = {}
        for name in columns:
            if name not in self._sums:
                branch, _ = self._field(name)
                sizes = branch.member("fBasketBytes")[: len(branch.entry_offsets) - 1]
                self._sums[name] = branch.entry_offsets, [0, *accumulate(map(int, sizes))]
            edges, sums = self._sums[name]
            first, last = bisect_right(edges, start) - 1, bisect_left(edges, stop)
            found[name] = sums[min(last, len(sums) - 1)] - sums[first] if stop > start else 0
        return found

    def stored(self) -> StoredTree:
        """Return what the tree takes on disk, as its header says. Split branches and unreadable ones are included."""
        every = list(self._tree.itervalues(recursive=True))
        known = {**self._names.split, **{name: place.branch for name, place in self._names.fields.items()}}
        branches = {name: StoredBranch(str(branch.title), _size(branch)) for name, branch in known.items()}
        pieces = sum(branch.num_baskets for branch in every)
        return StoredTree(sum(_size(branch) or 0 for branch in every), "baskets", pieces, branches)

    @property
    def bytes_read(self) -> int:
        """Compressed bytes read so far."""
        return int(self._file.file.source.num_requested_bytes)

    def close(self) -> None:
        """Release the file."""
        self._file.close()


def _size(branch: Any) -> int | None:
    """Return the compressed bytes of a branch, None if its values are in the header of the tree."""
    size = int(branch.compressed_bytes)
    return None if not size and branch.num_baskets else size
