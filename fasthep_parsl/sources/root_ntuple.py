"""RNTuples in ROOT files: structure and types of the fields, and columns of an entry range."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any

import awkward as ak

from fasthep_parsl.errors import suggest, summary_of
from fasthep_parsl.interfaces import Branch, Branches, InputFileError
from fasthep_parsl.ops.stream import Column
from fasthep_parsl.sources.columns import tidy
from fasthep_parsl.sources.disk_sizes import StoredBranch, StoredTree
from fasthep_parsl.sources.forms import Members, fields_of, take
from fasthep_parsl.sources.ntuple_arrays import Arrays, columns_of
from fasthep_parsl.sources.ntuple_lists import list_names
from fasthep_parsl.sources.root_pages import ElementRange, Pages

NTUPLES = ("ROOT::RNTuple",)
"""Classes of ROOT that are read here."""


class NTupleFile:
    """An RNTuple in an open ROOT file.

    Parameters
    ----------
    path : str
        The file.
    file : uproot.ReadOnlyDirectory
        The open file; closed by `close`.
    ntuple : uproot RNTuple
        The RNTuple.
    section : str
        Its name with its cycle.
    """

    def __init__(self, path: str, file: Any, ntuple: Any, section: str) -> None:
        self.path = path
        self.section = section
        self._file = file
        self._ntuple = ntuple
        self._local = "://" not in path
        try:
            _fetch_page_lists(ntuple)
            self.entries = int(ntuple.num_entries)
            self._edges = _edges(ntuple)
        except InputFileError:  # of the server
            raise
        except Exception as error:
            message = f"its header cannot be read: {summary_of(error)}"
            raise InputFileError(path, message, "is it damaged?", cause="corrupt") from error
        self.uuid = file.file.uuid.hex
        self._pages = Pages(ntuple)
        self._forms: dict[str, tuple[Any, Members]] = {}

    @property
    def directory(self) -> Any:
        """The open ROOT file."""
        return self._file

    def clusters(self) -> list[int]:
        """Return the event numbers at which clusters begin, with 0 and the end."""
        return self._edges if self.entries else []

    @cached_property
    def _top(self) -> dict[str, Any]:
        """Name → field of the RNTuple itself."""
        return {field.name: field for field in self._ntuple.fields}

    @cached_property
    def _lists(self) -> dict[str, str]:
        return list_names(self._ntuple)

    @cached_property
    def _paths(self) -> dict[str, list[str]]:
        """Name of a top-level field → paths of itself and of all fields below."""
        found: dict[str, list[str]] = {name: [] for name in self._top}
        for field in self._ntuple.all_fields:
            if field.path:
                found.setdefault(field.path.partition(".")[0], []).append(field.path)
        return found

    def _described(self, name: str) -> dict[str, tuple[Members, Branch]]:
        """Return the fields and members that a top-level field provides."""
        try:
            form = self._ntuple.field_form(self._top[name].field_id, self._paths[name])
            found = fields_of(name, form, lambda level: self._lists.get(level.form_key, "*"))
        except Exception as error:  # noqa: BLE001  (a type that uproot cannot read)
            problem = f"cannot be read (type {self._top[name].typename}): {summary_of(error)}"
            return {name: ((), Branch(problem=problem, hint="use other fields"))}
        half = {key for key, (_, branch) in found.items() if branch.dtype == "float16"}
        return {
            key: (members, branch._replace(dtype="float32") if key in half else branch)
            for key, (members, branch) in found.items()
        }

    def branches(self) -> Branches:
        """Return all fields and members of records with structure and type."""
        found: dict[str, Branch] = {}
        for name in self._top:
            for key, (_, branch) in self._described(name).items():
                found.setdefault(key, branch)
        return Branches(found)

    def has(self, column: str) -> bool:
        """Return whether the RNTuple has a field or member."""
        if column.partition(".")[0] not in self._top:  # without a search for similar names
            return False
        try:
            self._form(column)
        except InputFileError:
            return False
        return True

    def _form(self, name: str) -> tuple[Any, Members]:
        """Return the form of a column, without members that are not needed, and the members to take from it."""
        if name not in self._forms:
            head = name.partition(".")[0]
            if head not in self._top:
                raise InputFileError(self.path, f"no branch `{name}`", suggest(name, self._top, what="branches"))
            described = self._described(head)
            if name not in described:
                raise InputFileError(self.path, f"no branch `{name}`", suggest(name, described, what="branches"))
            members, branch = described[name]
            if branch.problem:
                raise InputFileError(self.path, f"branch `{name}` {branch.problem}", branch.hint)
            numbered = any(member.isdigit() for member in members)  # tuples: their members are counted
            keys = self._paths[head] if numbered else [".".join((head, *members))]
            self._forms[name] = self._ntuple.field_form(self._top[head].field_id, keys), members
        return self._forms[name]

    def read(self, columns: Iterable[str], start: int, stop: int) -> dict[str, Column]:
        """Return events [start, stop) of `columns`; lists with equal lengths share their offsets."""
        wanted = {name: self._form(name) for name in columns}
        ranges = list(self._ranges(start, stop))
        found: dict[str, Any] = {}
        name = ""
        try:
            if not self._local:
                every = {column for form, _ in wanted.values() for column in columns_of(form)}
                self._pages.fetch(every, [part.cluster for part in ranges])
            arrays = Arrays(self._ntuple, self._pages)
            for name, (form, members) in wanted.items():
                found[name] = take(ak.Array(arrays.of(form, ranges)), members)
            return tidy(found)
        except InputFileError:  # of the server
            raise
        except Exception as error:
            what = f"field `{name}` of events" if name else "events"
            message = f"{what} {start}–{stop} cannot be read: {summary_of(error)}"
            raise InputFileError(self.path, message, "is the file damaged?", cause="corrupt") from error
        finally:
            self._pages.forget()

    def prefetch(self, columns: Iterable[str], start: int, stop: int) -> None:
        """Begin to fetch the pages that `read` will need for events [start, stop) from a server."""
        every = {column for name in columns for column in columns_of(self._form(name)[0])}
        self._pages.prefetch(every, [part.cluster for part in self._ranges(start, stop)])

    def _ranges(self, start: int, stop: int) -> Iterator[ElementRange]:
        """Yield the events of each cluster that overlaps [start, stop)."""
        cluster = bisect_right(self._edges, start) - 1
        while start < stop:
            first, last = self._edges[cluster], min(self._edges[cluster + 1], stop)
            if last > start:
                yield ElementRange(cluster, start - first, last - first)
            start, cluster = max(last, start), cluster + 1

    def branch_bytes(self, columns: Iterable[str], start: int, stop: int) -> dict[str, int]:
        """Return the compressed bytes of the clusters that overlap [start, stop), by column.

        Data that several columns need count for the first of them.
        """
        clusters = [part.cluster for part in self._ranges(start, stop)]
        counted: set[int] = set()
        found = {}
        for name in columns:
            own = set(columns_of(self._form(name)[0])) - counted
            counted |= own
            found[name] = sum(self._pages.size(column, clusters) for column in own)
        return found

    def stored(self) -> StoredTree:
        """Return what the RNTuple takes on disk. Offsets that several fields share count for the first of them."""
        clusters = range(len(self._edges) - 1)
        counted: set[int] = set()
        branches, pages = {}, 0
        for name, top in self._top.items():
            try:
                form = self._ntuple.field_form(top.field_id, self._paths[name])
                own = set(columns_of(form)) - counted
                size = sum(self._pages.size(column, clusters) for column in own)
                pages += sum(self._pages.count(column, clusters) for column in own)
            except Exception:  # noqa: BLE001  (a type that uproot cannot read)
                branches[name] = StoredBranch(str(top.description), None)
                continue
            counted |= own
            branches[name] = StoredBranch(str(top.description), size)
        return StoredTree(sum(branch.bytes or 0 for branch in branches.values()), "pages", pages, branches)

    @property
    def bytes_read(self) -> int:
        """Compressed bytes of all pages read so far."""
        return self._pages.bytes_read

    def close(self) -> None:
        """Release the file."""
        self._file.close()


def _fetch_page_lists(ntuple: Any) -> None:
    """Read the lists of pages of a remote file at once: uproot reads one for each group of clusters."""
    read = getattr(ntuple.file.source, "read_now", None)
    if read is not None:
        locators = [record.page_list_link.locator for record in ntuple.footer.cluster_group_records]
        read([(at.offset, at.offset + at.num_bytes) for at in locators])


def _edges(ntuple: Any) -> list[int]:
    """Return the first event of each cluster, and the number of all events."""
    clusters = ntuple.cluster_summaries
    edges = [int(cluster.num_first_entry) for cluster in clusters]
    return [*edges, int(ntuple.num_entries)]
