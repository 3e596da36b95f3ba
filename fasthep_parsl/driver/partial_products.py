"""Files with partial products of a segment, in the order of their events, and which of them to merge next."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass

from fasthep_parsl.errors import RunError
from fasthep_parsl.tasks import Span
from fasthep_parsl.worker.spans import add, count, covers, union

FAN_IN = 8
"""Partial products that one merge task joins."""
Parts = tuple[tuple[Span, ...], ...]
"""Partitions of each part of a file."""


class ConsistencyError(RunError):
    """The counts of a run do not agree: events would be missing or counted twice."""


@dataclass(frozen=True, slots=True)
class PartialFile:
    """A file with partial products.

    Attributes
    ----------
    path : str
        The file.
    parts : tuple of tuple of (first, last)
        The partitions of each of its parts.
    whole : bool
        Whether all parts are merged.
    level : int
        Number of merges that led to it.
    """

    path: str
    parts: Parts
    whole: bool = False
    level: int = 0

    @property
    def first(self) -> int:
        """First partition."""
        return self.parts[0][0][0]

    @property
    def last(self) -> int:
        """The partition after the last one."""
        return self.parts[-1][-1][1]

    @property
    def ready(self) -> bool:
        """Whether it has one product for all its partitions."""
        return self.whole or len(self.parts) == 1

    def spans(self) -> list[Span]:
        """Return its partitions in the order of its parts."""
        return [span for part in self.parts for span in part]


class PartialProducts:
    """Files with partial products of one segment.

    Attributes
    ----------
    files : list of PartialFile
        Files that no task merges now, sorted by their first partitions.
    merging : dict
        Number of a merge task → the files that it merges.
    settled : list of (first, last)
        Partitions that are done or have failed: no further file contains them.
    """

    def __init__(self) -> None:
        self.files: list[PartialFile] = []
        self.merging: dict[int, list[PartialFile]] = {}
        self.settled: list[Span] = []

    def settle(self, spans: Iterable[Span]) -> None:
        """Note that no further file contains these partitions."""
        for span in spans:
            add(self.settled, span)

    def add(self, file: PartialFile) -> None:
        """Add a file."""
        self.files.insert(bisect_left(self.files, file.first, key=lambda other: other.first), file)

    def replace(self, paths: set[str], file: PartialFile) -> None:
        """Replace files by their merge, as an earlier execution of the run has done."""
        self.files = [other for other in self.files if other.path not in paths]
        self.add(file)

    def start_merge(self, task: int, *, last: bool) -> tuple[list[PartialFile], bool]:
        """Return the files that a task should merge, none if it is too early, and whether these are all.

        Parameters
        ----------
        task : int
            Number of the merge task.
        last : bool
            Whether only merges will add further files.
        """
        chosen = self._neighbours()
        final = False
        if not chosen and last and not self.merging and not self.complete:
            chosen = self.files[:FAN_IN]
            final = len(chosen) == len(self.files)
        if chosen:
            self.files = [file for file in self.files if file not in chosen]
            self.merging[task] = chosen
        return chosen, final

    def _neighbours(self) -> list[PartialFile]:
        """Return `FAN_IN` adjacent files of one level; partitions between them must be settled."""
        run: list[PartialFile] = []
        for file in self.files:
            if run and (file.level != run[-1].level or not covers(self.settled, (run[-1].last, file.first))):
                run = []
            run.append(file)
            if len(run) == FAN_IN:
                return run
        return []

    def end_merge(self, task: int, file: PartialFile) -> list[PartialFile]:
        """Add the result of a merge task, and return the files that it replaces.

        Raises
        ------
        ConsistencyError
            The result has other partitions than these files.
        """
        old = self.merging.pop(task)
        before, after = [s for f in old for s in f.spans()], file.spans()
        if union(before) != union(after) or count(before) != count(after):
            raise ConsistencyError(f"merge task {task} has merged partitions {after}, not {before}")
        self.add(PartialFile(file.path, file.parts, file.whole, max(f.level for f in old) + 1))
        return old

    def cancel_merge(self, task: int) -> None:
        """Put back the files of a merge task that was lost."""
        for file in self.merging.pop(task):
            self.add(file)

    def drop(self, task: int) -> list[PartialFile]:
        """Forget the files of a merge task that has no result, and return them."""
        return self.merging.pop(task)

    @property
    def complete(self) -> bool:
        """Whether nothing is left to merge."""
        return not self.merging and (not self.files or (len(self.files) == 1 and self.files[0].ready))

    def spans(self) -> list[Span]:
        """Return the partitions of all files."""
        return [span for file in self.files for span in file.spans()]
