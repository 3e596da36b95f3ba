"""Events of the input files that are looked at: values of branches, for bins and cuts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import awkward as ak
import numpy as np

from fasthep_parsl.first_workflow.nice_bins import LARGEST
from fasthep_parsl.interfaces import OpenInput
from fasthep_parsl.plan import PlanSource
from fasthep_parsl.sources.files import open_file

MOST_FILES = 4
"""Most files that are looked at."""


class EventsLookedAt:
    """The first events of some files.

    Parameters
    ----------
    opened : sequence of OpenInput
        The files.
    """

    def __init__(self, opened: Sequence[OpenInput]) -> None:
        self._files = opened
        self._most = 0
        self._read: dict[str, Any] = {}
        self.look_at(0)

    def look_at(self, events: int) -> None:
        """Read so many events of each file at most from now on."""
        self._most = events
        self._read = {}

    @property
    def events(self) -> int:
        """Number of events that are looked at."""
        return sum(min(file.entries, self._most) for file in self._files)

    @property
    def every(self) -> int:
        """Number of events of the largest file."""
        return max((file.entries for file in self._files), default=0)

    def values(self, branch: str) -> Any:
        """Return the values of a branch, one item per event.

        Raises
        ------
        InputFileError
            It cannot be read.
        """
        if branch not in self._read:
            parts = [file.read([branch], 0, min(file.entries, self._most))[branch] for file in self._files]
            parts = [part for part in parts if len(part)]
            self._read[branch] = ak.concatenate(parts) if parts else ak.Array(np.zeros(0))
        return self._read[branch]


@contextmanager
def looked_at(paths: Sequence[str], source: PlanSource) -> Iterator[EventsLookedAt]:
    """Open files to look at their events.

    Raises
    ------
    InputFileError
        A file cannot be opened.
    """
    opened: list[OpenInput] = []
    try:
        opened.extend(open_file(path, source) for path in paths[:MOST_FILES])
        yield EventsLookedAt(opened)
    finally:
        for file in opened:
            file.close()


def flat(values: Any) -> Any:
    """Return all numbers of a branch as a flat array, without missing ones."""
    return np.asarray(ak.to_numpy(ak.drop_none(ak.flatten(ak.Array(values), axis=None))))


def finite(values: Any) -> Any:
    """Return the finite numbers of a branch as a flat array, without those that no axis should have."""
    numbers = flat(values)
    return numbers[np.abs(numbers.astype(np.float64)) <= LARGEST] if numbers.dtype.kind == "f" else numbers


def texts(values: Any) -> list[str]:
    """Return all texts of a branch."""
    found = ak.to_list(ak.Array(values))
    return [text for item in found for text in (item if isinstance(item, list) else [item]) if isinstance(text, str)]


def lengths(values: Any) -> Any:
    """Return the length of the list of each event; a missing list has none."""
    return np.asarray(ak.to_numpy(ak.fill_none(ak.num(ak.Array(values), axis=1), 0)))


def none_as_nan(values: Any) -> Any:
    """Return one number per event; missing ones are NaN, so that they pass no cut."""
    array = ak.Array(values)
    return np.asarray(ak.to_numpy(ak.fill_none(array, np.nan) if ak.any(ak.is_none(array)) else array))
