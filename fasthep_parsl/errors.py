"""Errors of fasthep-parsl, and problems: mistakes in the user's input with their place and a hint.

::

    FastHepError                 exit code 1
    ├── ConfigError              2   the user's input has mistakes (`Problem`); nothing was started
    ├── SiteError                4   the site refused: scheduler, credential, live check
    │   └── CredentialError      4   a credential that the run needs does not suffice (`Problem`); nothing was started
    ├── RunError                 1   the run failed
    │   ├── PoolError            1   a pool cannot run tasks
    │   └── IncompleteRunError   1   `run` in Python: some events were not processed; has the partial results
    ├── UnknownResultError       1   an opened run has no result of this name
    ├── WorkerLostError          1   the worker of a task was lost; the task may run again
    │   └── BlockLostError       1   its node or block was lost
    └── OpError                  1   an op failed on some events (raised on workers)

Errors pass all constructor arguments to `Exception`, so that they can be pickled between workers and driver.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

T = TypeVar("T")


SETTING = "--set "
"""Beginning of `Location.file` for places in settings."""


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a file.

    Attributes
    ----------
    file : str
        Path as written by the user, or `SETTING` and a setting.
    line, column : int
        Counted from 1.
    length : int
        Number of characters to underline.
    """

    file: str
    line: int
    column: int
    length: int = 1

    @property
    def setting(self) -> str:
        """The setting ``key=value`` that the place is in, empty if it is in a file."""
        return self.file.removeprefix(SETTING) if self.file.startswith(SETTING) else ""

    def __str__(self) -> str:
        return f"overrides, `{self.setting}`" if self.setting else f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Names to use instead of a name that does not exist. `str()` renders them as a hint.

    Attributes
    ----------
    close : tuple of str
        Names similar to the wrong one, at most three.
    known : tuple of str
        The valid names, sorted; empty if the similar ones are enough.
    what : str
        Label of the list of valid names.
    limit : int
        Most valid names to list.
    """

    close: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    what: str = "known"
    limit: int = 12

    @property
    def question(self) -> str:
        """``did you mean `x`?``, empty if no name is similar."""
        return "did you mean " + " or ".join(f"`{name}`" for name in self.close) + "?" if self.close else ""

    @property
    def listing(self) -> str:
        """``known: x, y``, empty if the similar names are enough."""
        if not self.known:
            return "" if self.close else f"{self.what}: none"
        more = f", … ({len(self.known)} in all)" if len(self.known) > self.limit else ""
        return f"{self.what}: " + ", ".join(self.known[: self.limit]) + more

    def __str__(self) -> str:
        return " ".join(part for part in (self.question, self.listing) if part)


OPTIONS = {
    "chunk_size": ("chunk_size", "--chunk-size"),
    "force": ("mode='force'", "--force"),
    "limit": ("limit", "--limit"),
    "outdir": ("outdir", "--outdir"),
    "resume": ("mode='resume'", "--resume"),
}
"""Options of a run: as arguments in Python, and on the command line."""


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do, in a sentence that names options of a run. Python and the command line spell them differently.

    Attributes
    ----------
    text : str
        The sentence, a format: ``{outdir}`` is an option of `OPTIONS`, ``{settings}`` are `settings`, ``{0}`` is the
        first of `values`.
    settings : tuple of str
        Settings ``key=value``: in Python items of ``overrides``, on the command line ``--set key=value``.
    values : tuple of str
        Any texts.
    """

    text: str
    settings: tuple[str, ...] = ()
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self._spelled(0, f"overrides={list(self.settings)!r}")

    @property
    def on_command_line(self) -> str:
        """The sentence with the options of the command line."""
        written = [f"'{text}'" if set(text) & set(" [{") else text for text in self.settings]
        return self._spelled(1, " ".join(SETTING + text for text in written))

    def _spelled(self, edge: int, settings: str) -> str:
        options = {name: spellings[edge] for name, spellings in OPTIONS.items()}
        return self.text.format(*self.values, **options, settings=settings)


Hint = str | Suggestion | Advice
"""What to do about a mistake: a sentence, or names to use instead."""


def on_command_line(hint: Hint) -> str:
    """Return a hint with the options of the command line; `str()` has the arguments of Python."""
    return hint.on_command_line if isinstance(hint, Advice) else str(hint)


@dataclass(frozen=True, slots=True)
class Problem:
    """A mistake in the user's input: what is wrong, where, and what to do.

    Programs read `code`, `key`, `where`, `name` and `suggestions`; `message` and `hint` are for people only.

    Attributes
    ----------
    code : str
        Stable code, ``E101`` and so on; listed in docs/reference/errors.md.
    message : str
        What is wrong, one line, names in backticks.
    key : str
        Key path in the file (``analysis.stages[2].params.expr``), also of a key that is missing; empty if unknown.
    where : Location or None
        Place in the file, if known.
    hint : str, Suggestion or Advice
        What to do: names to use instead, the allowed values, or a command.
    name : str
        The name that does not exist (a key, a field, an op), empty if the mistake is another.
    """

    code: str
    message: str
    key: str = ""
    where: Location | None = None
    hint: Hint = ""
    name: str = ""

    @property
    def suggestions(self) -> tuple[str, ...]:
        """Names that the user may have meant, the best first."""
        return self.hint.close if isinstance(self.hint, Suggestion) else ()

    @property
    def is_warning(self) -> bool:
        """Whether the run can start in spite of it."""
        return self.code.startswith("W")

    @property
    def headline(self) -> str:
        """Place and message, without the hint."""
        place = " ".join(part for part in (str(self.where) if self.where else "", self.key) if part)
        return f"{place}: {self.message}" if place else self.message

    def __str__(self) -> str:
        return f"{self.headline} ({self.hint})" if self.hint else self.headline


@dataclass(frozen=True, slots=True)
class Checked(Generic[T]):
    """A value and the mistakes found in its making. With mistakes, the value is what could still be made.

    Attributes
    ----------
    value : object
        The value.
    problems : tuple of Problem
        The mistakes; empty if the value is good.
    """

    value: T
    problems: tuple[Problem, ...] = ()


class FastHepError(Exception):
    """Base of all errors raised on purpose."""

    exit_code: ClassVar[int] = 1


class ConfigError(FastHepError):
    """The user's input has mistakes; nothing was started.

    Parameters
    ----------
    *problems : Problem
        All mistakes, in the order of the file.
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


class CredentialError(SiteError):
    """A credential that the run needs is missing, or does not suffice; nothing was started.

    Parameters
    ----------
    *problems : Problem
        Why, each with its place.
    """

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class RunError(FastHepError):
    """The run failed as a whole, not in single partitions."""


class IncompleteRunError(RunError):
    """A run has ended without processing all events, so its results are incomplete.

    Parameters
    ----------
    message : str
        What happened.
    outcome : RunOutcome
        Status, products and summary of the run.
    """

    def __init__(self, message: str, outcome: Any = None) -> None:
        super().__init__(message, outcome)
        self.outcome = outcome

    def __str__(self) -> str:
        return str(self.args[0])


class IncompleteRunWarning(UserWarning):
    """A run that is opened is not complete: its results, if there are any, lack events."""


class UnknownResultError(FastHepError, KeyError):
    """A run has no result of this name."""

    def __str__(self) -> str:
        return str(self.args[0])


class OpError(FastHepError):
    """An op cannot process these events with its parameters.

    Parameters
    ----------
    message : str
        What is wrong, with the names of fields, and what to do.
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


def suggest(
    name: str, known: Iterable[str], *, what: str = "known", limit: int = 12, complete: bool = False
) -> Suggestion:
    """Return the valid names to use instead of `name`, with the similar ones first.

    Parameters
    ----------
    name : str
        What the user wrote.
    known : iterable of str
        The valid names.
    what, limit
        See `Suggestion`.
    complete : bool
        Whether to list the valid names even if there are similar ones.
    """
    names = sorted(set(known))
    by_case = [item for item in names if item.lower() == name.lower()]
    close = by_case or _closest(name, names)
    return Suggestion(tuple(close), () if close and not complete else tuple(names), what, limit)


def _closest(name: str, names: list[str]) -> list[str]:
    """Return at most three similar names, without those that are clearly less similar than the best."""
    found = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if not found:  # two letters in the wrong order are half of a short name
        return [item for item in names if sorted(item.lower()) == sorted(name.lower())][:3]
    ratios = [difflib.SequenceMatcher(None, item, name).ratio() for item in found]
    return [item for item, ratio in zip(found, ratios, strict=True) if ratio > ratios[0] - 0.1]


class WorkerLostError(FastHepError):
    """The worker of a task was lost (killed, out of memory, node lost); the task may run again."""


class BlockLostError(WorkerLostError):
    """A node or a block was lost with all its workers; the tasks are not to blame."""


class PoolError(RunError):
    """A pool cannot run tasks: its workers do not start, or its interchange died."""
