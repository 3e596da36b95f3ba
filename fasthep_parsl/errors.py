"""Every error that fasthep-parsl raises on purpose, and how a problem in a user's file is described.

::

    FastHepError                 exit code 1
    ├── ConfigError              2   one or more `Problem` in the user's files; nothing was started
    ├── SiteError                4   the site refused: scheduler, credential, live check
    ├── RunError                 1   a run that could not go on
    │   ├── PoolError            1   a pool cannot run tasks
    │   └── IncompleteRunError   1   `run` in Python: not every event was processed; has what there is
    ├── WorkerLostError          1   the worker of a task is gone; the task may be run again
    │   └── BlockLostError       1   its whole node or block is gone
    └── OpError                  1   an op failed on the events it was given (raised on workers)

All constructor arguments are passed up, so that every error survives pickling between workers and driver.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

CODES: dict[str, str] = {
    "E100": "a file that you named does not exist or cannot be read",
    "E101": "the file is not valid YAML",
    "E102": "unknown key",
    "E103": "a key stands twice in one mapping",
    "E104": "a key that is needed is missing",
    "E105": "a value of the wrong type, or a quantity without a valid unit",
    "E106": "a value that is not allowed here",
    "E107": "a section of fasthep-flow that is not run here",
    "E108": "`include` names no file, or files include each other",
    "E109": "`--set` or `--explain` is not understood",
    "E110": "unknown op, modifier, strategy, backend, environment, credential or source",
    "E111": "unknown or wrong parameter of an op or another kind",
    "E112": "analysis code (`use.modules`) cannot be loaded",
    "E120": "two stages have the same id",
    "E121": "`needs` or `from` names a stage that does not exist",
    "E122": "stages need each other in a circle",
    "E123": "it is not clear which stream a stage reads",
    "E124": "`from` names a product that the stage does not have",
    "E130": "two datasets have the same name",
    "E131": "a pattern matches no file",
    "E132": "an input file does not exist",
    "E133": "an input file is listed twice",
    "E134": "a dataset has no files",
    "E135": "an input file is damaged or is not what `sources` says",
    "E136": "a branch is missing in an input file, or cannot be used",
    "E137": "`nevents` does not agree with the files",
    "E140": "a label that names no pool and no resource class",
    "E141": "no pool fits what a stage requires",
    "E142": "a pool names a resource class that does not exist",
    "E143": "unknown site",
    "E144": "a pool is larger than any node, or lives longer than a queue allows",
    "E145": "more pools than ports that workers can reach",
    "E146": "something that the site asks you to fill in is missing",
    "E147": "an environment variable that a site profile needs is not set",
    "E148": "a pool names a queue that the site does not have",
    "E149": "workers cannot see files that they need",
    "E150": "unknown field",
    "E151": "an expression is not valid",
    "E152": "a fact of a dataset (`dataset.<key>`) that not every dataset has",
    "E160": "the run directory exists already",
    "E161": "the run directory cannot be written",
    "E162": "a run directory does not belong to this plan",
    "E163": "scripts cannot be written there, or there are none",
    "E164": "a run that is still going on, or no run at all",
    "E165": "a profile cannot be written there",
    "E166": "the run directory is in use by another process",
    "E167": "stages would write to one file, or files are in the way where a stage writes",
    "E170": "demo data: a number that makes no sense",
    "E171": "demo data: unknown dataset, or shares that are not positive",
    "E172": "demo data: the directory holds other files, or is a file",
    "E173": "demo data cannot be written there",
    "E180": "a modifier needs a GPU, and the pool of its stage has none",
    "E181": "a modifier cannot change this op",
    "W107": "something of fasthep-flow that has no effect here",
}
"""Every code of a `Problem` and what it means; ``E`` errors, ``W`` warnings."""


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a file.

    Attributes
    ----------
    file : str
        Path as the user gave it.
    line, column : int
        Counted from 1.
    length : int
        Number of characters to underline.
    """

    file: str
    line: int
    column: int
    length: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in what the user gave: where, what, and what would be right.

    Attributes
    ----------
    code : str
        Stable code, ``E101`` and so on; listed in docs/reference/errors.md.
    message : str
        What is wrong, one line, names in backticks.
    key : str
        Key path in the file (``analysis.stages[2].params.expr``), empty where there is none.
    where : Location or None
        Place in the file, if it has one.
    hint : str
        What would be right: a close name, the allowed values, or a command.
    """

    code: str
    message: str
    key: str = ""
    where: Location | None = None
    hint: str = ""

    def __str__(self) -> str:
        place = " ".join(part for part in (str(self.where) if self.where else "", self.key) if part)
        text = f"{place}: {self.message}" if place else self.message
        return f"{text} ({self.hint})" if self.hint else text


class FastHepError(Exception):
    """Base of all errors raised on purpose."""

    exit_code: ClassVar[int] = 1


class ConfigError(FastHepError):
    """The user's files are wrong; nothing was started.

    Parameters
    ----------
    *problems : Problem
        Every mistake found, in the order of the file.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class SiteError(FastHepError):
    """The site refused: scheduler, credential or live check."""

    exit_code: ClassVar[int] = 4


class RunError(FastHepError):
    """A run could not go on (not the fault of single partitions)."""


class IncompleteRunError(RunError):
    """A run has ended and not every event was processed: its results are not those of the workflow.

    Parameters
    ----------
    message : str
        What happened.
    outcome : RunOutcome
        What there is all the same: status, products, summary.
    """

    def __init__(self, message: str, outcome: Any = None) -> None:
        super().__init__(message, outcome)
        self.outcome = outcome

    def __str__(self) -> str:
        return str(self.args[0])


class OpError(FastHepError):
    """An op cannot do what its parameters ask on these events.

    Parameters
    ----------
    message : str
        What is wrong, with the field names and what would be right.
    """


def summary_of(error: BaseException) -> str:
    """Return the class and the first line of an exception of a library; for uproot also the object that it read."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    kind = type(error).__name__
    if not lines:
        return kind
    if lines[0] != "while reading" or len(lines) < 3:
        return f"{kind}: {lines[0]}"
    causes = [line for line in lines if not line.startswith(("in file ", "in object "))]
    return f"{kind}: {lines[1].partition(' as ')[0]}: {causes[-1]}"


def suggest(name: str, known: Iterable[str], *, what: str = "known", limit: int = 12) -> str:
    """Return ``did you mean `x`?`` for a close name, else the list of known names.

    Parameters
    ----------
    name : str
        What the user wrote.
    known : iterable of str
        What would have been understood.
    what : str
        Word put before the list of known names.
    limit : int
        At most so many known names are listed.
    """
    names = sorted(set(known))
    by_case = [item for item in names if item.lower() == name.lower()]
    close = by_case or _closest(name, names)
    if close:
        return "did you mean " + " or ".join(f"`{item}`" for item in close) + "?"
    if not names:
        return f"{what}: none"
    more = f", … ({len(names)} in all)" if len(names) > limit else ""
    return f"{what}: " + ", ".join(names[:limit]) + more


def _closest(name: str, names: list[str]) -> list[str]:
    """Return at most three close names, without those that are clearly further away than the closest."""
    found = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    ratios = [difflib.SequenceMatcher(None, item, name).ratio() for item in found]
    return [item for item, ratio in zip(found, ratios, strict=True) if ratio > ratios[0] - 0.1]


class WorkerLostError(FastHepError):
    """The worker that ran a task is gone (killed, out of memory, node lost); the task may be run again."""


class BlockLostError(WorkerLostError):
    """All workers of a node or a block are gone, hardly by the fault of one of their tasks."""


class PoolError(RunError):
    """A pool cannot run tasks: its workers do not come up, or its interchange died."""
