"""What other trees of an input file say about its events: sums of generator weights, and luminosity sections."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fasthep_parsl.errors import suggest, summary_of
from fasthep_parsl.interfaces import InputFileError, OpenInput
from fasthep_parsl.ops.lumi_sections import joined, written

SECTIONS = ("LuminosityBlocks", "run", "luminosityBlock")
"""Tree and branches of NanoAOD with one entry per luminosity section, also of those without events."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to read besides the header.

    Attributes
    ----------
    tree, branch : str
        Tree with one entry per block of events, and its branch with the sum of their weights; empty: not needed.
    sections : bool
        Whether the luminosity sections are needed.
    """

    tree: str = ""
    branch: str = ""
    sections: bool = False

    def __bool__(self) -> bool:
        return bool(self.tree) or self.sections


@dataclass(frozen=True, slots=True)
class Summaries:
    """What a file says about its events.

    Attributes
    ----------
    weight, square : float or None
        Sum of weights and of their squares, if the file has them.
    events : int
        Number of events that the sum is of; -1 if unknown.
    problem, hint : str
        Why there is no sum, and what there is instead.
    sections : dict or None
        Run → ranges of luminosity sections; None if the file does not list them.
    """

    weight: float | None = None
    square: float | None = None
    events: int = -1
    problem: str = ""
    hint: str = ""
    sections: dict[str, list[list[int]]] | None = None


NOTHING = Wanted()
NO_SUMMARIES = Summaries()


def read_summaries(file: OpenInput, wanted: Wanted) -> Summaries:
    """Return what other trees of an open file say. A tree that is missing is described, not an error."""
    found = Summaries()
    if wanted.tree:
        try:
            found = _sums(file, wanted)
        except InputFileError as error:
            found = Summaries(problem=error.message, hint=str(error.hint))
        except Exception as error:  # noqa: BLE001  (libraries raise any error on damaged files)
            found = Summaries(problem=f"tree `{wanted.tree}` cannot be read: {summary_of(error)}")
    sections = _sections(file) if wanted.sections else None
    return Summaries(found.weight, found.square, found.events, found.problem, found.hint, sections)


def _beside(file: OpenInput, tree: str) -> OpenInput:
    """Return another tree of an open file.

    Raises
    ------
    InputFileError
        There is none, or the format has no trees.
    """
    if not hasattr(file, "directory"):
        raise InputFileError(file.path, f"the format has no tree `{tree}`", "sum an expression, or name a manifest")
    from fasthep_parsl.sources.root_file import open_beside

    return open_beside(file, tree)


def _sums(file: OpenInput, wanted: Wanted) -> Summaries:
    opened = _beside(file, wanted.tree)
    name = wanted.branch
    if not opened.has(name):
        hint = suggest(name, opened.branches().found, what="branches")
        raise InputFileError(file.path, f"tree `{wanted.tree}` has no branch `{name}`", hint)
    others = [other for other in _siblings(name) if other != name and opened.has(other)]
    columns = opened.read([name, *others], 0, opened.entries)
    sums = {}
    for column, values in columns.items():
        numbers = values.tolist()
        if not all(isinstance(number, int | float) for number in numbers):
            raise InputFileError(file.path, f"branch `{column}` of `{wanted.tree}` is not one number per entry")
        sums[column] = math.fsum(numbers)
    square, count = _siblings(name)
    events = int(sums[count]) if count in others else -1
    return Summaries(sums[name], sums[square] if square in others else None, events)


def _siblings(branch: str) -> tuple[str, str]:
    """Return the names of the sum of squares and of the number of events, as NanoAOD names them beside a sum."""
    if "Sumw" not in branch:
        return "", ""
    return branch.replace("Sumw", "Sumw2"), branch.replace("Sumw", "Count")


def _sections(file: OpenInput) -> dict[str, list[list[int]]] | None:
    tree, run, section = SECTIONS
    try:
        opened = _beside(file, tree)
        if not (opened.has(run) and opened.has(section)):
            return None
        columns = opened.read([run, section], 0, opened.entries)
    except Exception:  # noqa: BLE001  (libraries raise any error; events tell the sections, too)
        return None
    found: dict[int, list[tuple[int, int]]] = {}
    for one, number in zip(columns[run].tolist(), columns[section].tolist(), strict=True):
        found.setdefault(int(one), []).append((int(number), int(number)))
    return written({key: joined(ranges) for key, ranges in found.items()})
