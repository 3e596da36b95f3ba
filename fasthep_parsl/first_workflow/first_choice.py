"""The first cut and the first histogram of a workflow, chosen by names and by the values of some events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fasthep_parsl.first_workflow.looked_at import EventsLookedAt, finite, lengths, none_as_nan, texts
from fasthep_parsl.first_workflow.nice_bins import NiceBins, nice_bins, number_text, rounded_down
from fasthep_parsl.first_workflow.ranking import UNITS, Candidate
from fasthep_parsl.interfaces import Branch, InputFileError

SAMPLES = (5_000, 200_000)
"""Events of each file to look at: more if the first ones have no values."""
MOST_TRIED = 40
"""Most branches whose values are looked at."""
MAX_INT64 = np.iinfo(np.int64).max
MOST_CATEGORIES = 20
"""Most texts that get a category of their own."""
EXPECTED: Mapping[str, NiceBins] = {"eta": NiceBins(50, -5.0, 5.0), "phi": NiceBins(64, -3.2, 3.2)}
"""Quantity → bins, if no event can be looked at."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A cut on events.

    Attributes
    ----------
    expression : str
        The cut.
    branch : Candidate or None
        The branch that it is on, if that has another name in expressions.
    passed : int
        Number of events that pass it, of those that were looked at.
    """

    expression: str
    branch: Candidate | None = None
    passed: int = 0


@dataclass(frozen=True, slots=True)
class FirstChoice:
    """A cut and a histogram.

    Attributes
    ----------
    branch : Candidate
        What is filled.
    cut : Cut
        The cut before.
    bins : NiceBins or None
        Bins of a number; None for text and booleans.
    categories : tuple of str
        Categories of text; empty to add them when they occur.
    unit : str
        Unit of the values; empty if it is not known.
    looked_at : int
        Number of events that were looked at.
    filled : int
        Number of values in them that are filled.
    skipped : tuple of str
        Better branches that could not be taken, and why.
    """

    branch: Candidate
    cut: Cut
    bins: NiceBins | None = None
    categories: tuple[str, ...] = ()
    unit: str = ""
    looked_at: int = 0
    filled: int = 0
    skipped: tuple[str, ...] = field(default=())


def first_choices(
    ranked: Sequence[Candidate], branches: Mapping[str, Branch], events: EventsLookedAt, *, nano: bool
) -> Iterator[FirstChoice]:
    """Yield cuts and histograms, the best first. Those without any value in the events come last.

    Parameters
    ----------
    ranked : sequence of Candidate
        The branches, the best first.
    branches : mapping
        Name → branch, for the counters of lists.
    events : EventsLookedAt
        The events to look at.
    nano : bool
        Whether the names are those of NanoAOD, so that units are known.
    """
    tried = ranked[:MOST_TRIED]
    skipped: list[str] = []
    empty: list[FirstChoice] = []
    for number in (*SAMPLES, events.every):
        events.look_at(number)
        empty = []
        for item in tried:
            try:
                found = _choice(item, tried, branches, events, nano=nano)
            except InputFileError as error:
                skipped.append(f"`{item.branch}` {error.message}")
                continue
            if found.filled:
                yield _with(found, skipped)
            else:
                empty.append(found)
        if number >= events.every:
            break
    yield from (_with(found, skipped) for found in empty)


def _with(found: FirstChoice, skipped: Sequence[str]) -> FirstChoice:
    return replace(found, skipped=tuple(dict.fromkeys(skipped)))


def _choice(
    item: Candidate, ranked: Sequence[Candidate], branches: Mapping[str, Branch], events: EventsLookedAt, *, nano: bool
) -> FirstChoice:
    values = events.values(item.branch)
    cut, mask = _cut(item, values, ranked, branches, events)
    passed = values[mask] if len(values) else values
    unit = UNITS.get(item.quantity, "") if nano else ""
    if item.is_text:
        found = texts(passed)
        often = Counter(found)
        most = tuple(text for text, _ in often.most_common(MOST_CATEGORIES)) if len(often) > MOST_CATEGORIES else ()
        return FirstChoice(item, cut, None, most, "", events.events, len(found))
    numbers = finite(passed)
    if numbers.dtype.kind == "u" and len(numbers) and numbers.max() > MAX_INT64:
        raise InputFileError("", "has values above 2⁶³ − 1, which expressions cannot contain")
    if item.is_bool:
        return FirstChoice(item, cut, None, (), "", events.events, len(numbers))
    bins = nice_bins(numbers) if len(numbers) else EXPECTED.get(item.quantity, NiceBins(50, 0.0, 100.0))
    return FirstChoice(item, cut, bins, (), unit, events.events, len(numbers))


def _cut(
    item: Candidate,
    values: Any,
    ranked: Sequence[Candidate],
    branches: Mapping[str, Branch],
    events: EventsLookedAt,
) -> tuple[Cut, Any]:
    """Return a cut that some events with values pass, and which ones."""
    if item.info.shape:
        counter = item.info.shape[0]
        mask = lengths(values) >= 1 if len(values) else np.zeros(0, bool)
        usable = counter in branches and not branches[counter].problem and not branches[counter].shape
        left = counter if usable and counter.isidentifier() else f"num({item.field})"
        return Cut(f"{left} >= 1", None, int(np.sum(mask))), mask
    if item.is_text:
        mask = np.array([text != "" for text in texts(values)] or np.zeros(0), bool)
        if len(mask) != len(values) or not mask.any():  # missing or empty text
            return Cut(f'{item.field} == ""' if len(values) else f'{item.field} != ""', item), ~mask
        return Cut(f'{item.field} != ""', item, int(mask.sum())), mask
    return _number_cut(item, values, ranked, events)


def _number_cut(item: Candidate, values: Any, ranked: Sequence[Candidate], events: EventsLookedAt) -> tuple[Cut, Any]:
    """Return a cut on one number per event: another branch than the histogram's if there is one."""
    others = [other for other in ranked if not other.info.shape and not other.is_text and other != item][:8]
    own = none_as_nan(values)
    good = np.isfinite(own) if own.dtype.kind == "f" else np.ones(len(own), bool)
    for other in (*(each for each in others if not each.is_bool), *others, item):
        try:
            numbers = none_as_nan(events.values(other.branch))
        except InputFileError:
            continue
        if other.is_bool:
            left, mask = other.field, numbers == 1
        else:
            known = numbers[np.isfinite(numbers)] if numbers.dtype.kind == "f" else numbers
            if not len(known) or (known.dtype.kind in "iu" and float(np.max(np.abs(known.astype(float)))) >= 2.0**53):
                continue
            least = rounded_down(float(np.percentile(known, 10, method="lower")))
            left, mask = f"{other.field} >= {number_text(least)}", numbers >= least
        if np.any(mask & good):
            return Cut(left, other, int(mask.sum())), mask
    if item.is_bool:
        return Cut(f"not {item.field}", item, int(np.sum(own == 0))), own == 0
    return Cut(f"{item.field} == {item.field}", item, int(good.sum())), own == own  # noqa: PLR0124 - without NaN
