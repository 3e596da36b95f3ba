"""A limit to the first events of each dataset: which files have them, and what the limit leaves out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from fasthep_parsl.errors import ConfigError, Problem
from fasthep_parsl.sources.headers import Header
from fasthep_parsl.workflow.datasets import DatasetFile, ResolvedDataset

Headers = Mapping[DatasetFile, Header]
GROWTH = 4
"""Files that are opened next, at most, for each one that was opened: the first file may be a very small one."""


@dataclass(frozen=True)
class Reach:
    """How far into each dataset a run reads.

    Attributes
    ----------
    limit : int or None
        Events of each dataset; None: all.
    unread : mapping
        Dataset → number of its files that nobody opens, because the events are in those before.
    """

    limit: int | None = None
    unread: Mapping[str, int] = field(default_factory=dict)

    def events(self, dataset: ResolvedDataset, headers: Headers) -> list[int]:
        """Return how many events of each file of a dataset are read."""
        left, found = self.limit, []
        for file in dataset.files:
            entries = headers[file].entries
            found.append(entries if left is None else min(entries, left))
            left = None if left is None else left - found[-1]
        return found

    def tears(self, dataset: ResolvedDataset, headers: Headers) -> bool:
        """Return whether the last event that is read has others behind it in its file."""
        return self.limit is not None and sum(headers[file].entries for file in dataset.files) > self.limit

    def leaves_out(self, dataset: ResolvedDataset, headers: Headers) -> bool:
        """Return whether events of a dataset are left out, or may be: nobody knows what files have that nobody opens."""
        return self.unread.get(dataset.name, 0) > 0 or self.tears(dataset, headers)


def check_limit(limit: object) -> None:
    """Refuse a limit that is neither a positive whole number nor None.

    Raises
    ------
    ConfigError
        It is something else.
    """
    if limit is None or (isinstance(limit, int) and not isinstance(limit, bool) and limit > 0):
        return
    message = f"the limit is a number of events, 1 or more, not {limit!r}"
    raise ConfigError(Problem("E106", message, hint="write a whole number, or leave it out for all events"))


def open_first(
    datasets: Sequence[ResolvedDataset], limit: int | None, read: Callable[[Sequence[DatasetFile]], Headers]
) -> tuple[tuple[ResolvedDataset, ...], dict[DatasetFile, Header], Reach]:
    """Open the files that have the first events of each dataset, and return the datasets with these files.

    Parameters
    ----------
    datasets : sequence of ResolvedDataset
        The datasets with all their files.
    limit : int or None
        Events of each dataset; None: all.
    read : callable
        Returns the headers of files.
    """
    if limit is None:
        return tuple(datasets), dict(read([file for dataset in datasets for file in dataset.files])), Reach()
    headers: dict[DatasetFile, Header] = {}
    while more := [file for dataset in datasets for file in _next_files(dataset, headers, limit)]:
        headers |= read(more)
    found = tuple(_shortened(dataset, headers, limit) for dataset in datasets)
    kept = {file: headers[file] for dataset in found for file in dataset.files}
    pairs = zip(datasets, found, strict=True)
    unread = {short.name: len(whole.files) - len(short.files) for whole, short in pairs}
    return found, kept, Reach(limit, {name: number for name, number in unread.items() if number})


def _next_files(dataset: ResolvedDataset, headers: Headers, limit: int) -> Sequence[DatasetFile]:
    """Return the files to open next: as many as the events in those before let expect."""
    known = [headers[file] for file in dataset.files if file in headers]
    events = sum(header.entries for header in known)
    if events >= limit or any(header.problem for header in known):
        return ()
    most = GROWTH * len(known) or 1
    expected = -(-(limit - events) * len(known) // events) if events else most
    return dataset.files[len(known) : len(known) + min(expected, most)]


def _shortened(dataset: ResolvedDataset, headers: Headers, limit: int) -> ResolvedDataset:
    """Return a dataset with the fewest files that have its first events, or with those up to one that cannot be used."""
    events = 0
    for number, file in enumerate(dataset.files):
        events += headers[file].entries
        if events >= limit or headers[file].problem:
            return replace(dataset, files=dataset.files[: number + 1])
    return dataset
