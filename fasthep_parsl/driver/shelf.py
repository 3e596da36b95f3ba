"""Partial products of a segment that wait to be joined, in the order of their events: neighbours are joined first."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass

from fasthep_parsl.errors import RunError
from fasthep_parsl.worker.spans import Span, add, count, covers, union

FAN_IN = 8
"""Partial products that one merge task joins."""
Parts = tuple[tuple[Span, ...], ...]
"""Partitions of each part of a file."""


class BookkeepingError(RunError):
    """What was counted does not add up: events would be missing or in twice."""


@dataclass(frozen=True, slots=True)
class Volume:
    """A file with partial products.

    Attributes
    ----------
    path : str
        The file.
    parts : tuple of tuple of (first, last)
        The partitions of each of its parts.
    whole : bool
        Whether all parts are put together in it.
    level : int
        How many merges lie behind it.
    """

    path: str
    parts: Parts
    whole: bool = False
    level: int = 0

    @property
    def first(self) -> int:
        """Its first partition."""
        return self.parts[0][0][0]

    @property
    def last(self) -> int:
        """The partition after its last."""
        return self.parts[-1][-1][1]

    @property
    def ready(self) -> bool:
        """Whether its products can be read as those of all its parts."""
        return self.whole or len(self.parts) == 1

    def spans(self) -> list[Span]:
        """Return the partitions in it, as they are listed."""
        return [span for part in self.parts for span in part]


class Shelf:
    """Files with partial products.

    Attributes
    ----------
    volumes : list of Volume
        Sorted by their first partitions.
    away : dict
        Merge task → volumes that it joins now.
    settled : list of (first, last)
        Partitions that are done or have failed: nothing of them will come.
    """

    def __init__(self) -> None:
        self.volumes: list[Volume] = []
        self.away: dict[int, list[Volume]] = {}
        self.settled: list[Span] = []

    def settle(self, spans: Iterable[Span]) -> None:
        """Note that nothing more will come of these partitions."""
        for span in spans:
            add(self.settled, span)

    def put(self, volume: Volume) -> None:
        """Add a file."""
        self.volumes.insert(bisect_left(self.volumes, volume.first, key=lambda known: known.first), volume)

    def replace(self, paths: set[str], volume: Volume) -> None:
        """Put a file in the place of others, as an earlier run has done."""
        self.volumes = [known for known in self.volumes if known.path not in paths]
        self.put(volume)

    def take(self, task: int, *, last: bool) -> tuple[list[Volume], bool]:
        """Return what a merge task should join now, nothing if it is too early; and whether that is all there is.

        Parameters
        ----------
        task : int
            Number of the merge task.
        last : bool
            Whether no other files will come from tasks that are not merges.
        """
        chosen = self._neighbours()
        final = False
        if not chosen and last and not self.away and not self.complete:
            chosen = self.volumes[:FAN_IN]
            final = len(chosen) == len(self.volumes)
        if chosen:
            self.volumes = [volume for volume in self.volumes if volume not in chosen]
            self.away[task] = chosen
        return chosen, final

    def _neighbours(self) -> list[Volume]:
        """Return `FAN_IN` files of one level that touch: what lies between them will not come."""
        run: list[Volume] = []
        for volume in self.volumes:
            if run and (volume.level != run[-1].level or not covers(self.settled, (run[-1].last, volume.first))):
                run = []
            run.append(volume)
            if len(run) == FAN_IN:
                return run
        return []

    def joined(self, task: int, volume: Volume) -> list[Volume]:
        """Put the result of a merge task in the place of what it has joined, which is returned.

        Raises
        ------
        BookkeepingError
            It does not hold what they held.
        """
        old = self.away.pop(task)
        before, after = [s for v in old for s in v.spans()], volume.spans()
        if union(before) != union(after) or count(before) != count(after):
            raise BookkeepingError(f"merge task {task} has joined partitions {after}, not {before}")
        self.put(Volume(volume.path, volume.parts, volume.whole, max(v.level for v in old) + 1))
        return old

    def put_back(self, task: int) -> None:
        """Put back what a merge task that was lost should have joined."""
        for volume in self.away.pop(task):
            self.put(volume)

    def drop(self, task: int) -> list[Volume]:
        """Forget what a merge task has joined, of which nothing is left; return that."""
        return self.away.pop(task)

    @property
    def complete(self) -> bool:
        """Whether nothing is left to join."""
        return not self.away and (not self.volumes or (len(self.volumes) == 1 and self.volumes[0].ready))

    def spans(self) -> list[Span]:
        """Return the partitions of all files, as they are listed."""
        return [span for volume in self.volumes for span in volume.spans()]
