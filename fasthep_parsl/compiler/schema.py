"""Fields that all input files have in common, and why other names are not fields."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from fasthep_parsl.errors import Hint
from fasthep_parsl.interfaces import TEXT, Branch, Shape
from fasthep_parsl.sources.headers import Header

NAMED = 3
"""Most datasets to name in one message."""

Located = tuple[str, Branch]
"""A file and a branch in it."""


@dataclass
class Common:
    """The branches of all files.

    Attributes
    ----------
    fields : dict
        Name → structure, for branches that every file has and that can be used.
    partial : dict
        Name → a file that has the branch, and a file that lacks it.
    refused : dict
        Name → message and hint, for branches that cannot be used.
    absent : dict
        Name → message and hint, for fields that conditions of the workflow take away.
    synonyms : set
        Fields that are second names of others.
    """

    fields: dict[str, Shape] = field(default_factory=dict)
    partial: dict[str, tuple[str, str]] = field(default_factory=dict)
    refused: dict[str, tuple[str, str]] = field(default_factory=dict)
    absent: dict[str, tuple[str, Hint]] = field(default_factory=dict)
    synonyms: set[str] = field(default_factory=set)


class HasName(Protocol):
    """Something with a name."""

    @property
    def name(self) -> str:
        """Its name."""


def named(datasets: Iterable[HasName]) -> str:
    """Return datasets as text for a message: dataset `a`, or datasets `a`, `b` and `c`."""
    names = [f"`{dataset.name}`" for dataset in datasets]
    if len(names) > NAMED:
        return f"datasets {', '.join(names[:NAMED])} and {len(names) - NAMED} more"
    *first, last = names
    return f"datasets {', '.join(first)} and {last}" if first else f"dataset {last}"


def hide(known: Common, name: str) -> None:
    """Remove a branch: section ``fields`` gives its name to another one."""
    for names in (known.fields, known.refused):
        names.pop(name, None)


def distinct(headers: Iterable[Header]) -> list[Header]:
    """Return one header of each set of branches. Files of a dataset usually have the same set."""
    found = {id(header.branches): header for header in reversed(list(headers)) if header.branches is not None}
    return list(reversed(found.values()))


def common(headers: list[Header]) -> Common:
    """Return what files have in common; `headers` has one header per set of branches."""
    result = Common()
    if not headers:
        return result
    first = headers[0]
    found: dict[str, Located] = {name: (first.path, branch) for name, branch in _found(first).items()}
    for header in headers[1:]:
        branches = _found(header)
        for name in [name for name in found if name not in branches]:
            result.partial[name] = (found.pop(name)[0], header.path)
        for name, branch in branches.items():
            if name in found:
                found[name] = join(found[name], (header.path, branch))
            elif name not in result.partial:
                result.partial[name] = (header.path, first.path)
    for name, (path, branch) in found.items():
        if branch.problem:
            result.refused[name] = refusal(name, path, branch)
        else:
            result.fields[name] = branch.shape
    result.synonyms = set(result.fields)
    for header in headers:
        result.synonyms &= header.branches.synonyms.keys() if header.branches is not None else set()
    return result


def united(parts: list[Common]) -> Common:
    """Return the fields of all `parts`, and why other names are not fields."""
    if len(parts) == 1:
        return parts[0]
    result = Common()
    for part in parts:
        result.fields = {**part.fields, **result.fields}
        result.partial = {**part.partial, **result.partial}
        result.refused = {**part.refused, **result.refused}
        result.absent = {**part.absent, **result.absent}
    result.synonyms = set.intersection(*(part.synonyms for part in parts)) if parts else set()
    return result


def _found(header: Header) -> dict[str, Branch]:
    """Return branches by all names that an expression can use."""
    if header.branches is None:
        return {}
    found = header.branches.found
    names = {name: found[of] for name, of in header.branches.synonyms.items() if "/" not in name and of in found}
    return {**names, **found} if names else found


def join(one: Located, other: Located) -> Located:
    """Return a branch of two files. The types may differ, the structure may not."""
    (path, a), (there, b) = one, other
    if a == b or a.problem:
        return one
    if b.problem:
        return other
    if len(a.shape) != len(b.shape) or (a.dtype == TEXT) != (b.dtype == TEXT):
        problem = f"is {_description(a)}, but {_description(b)} in {short(there)}"
        return path, Branch(problem=problem, hint="put these files into another workflow")
    shape = tuple(x if x == y else "*" for x, y in zip(a.shape, b.shape, strict=True))
    return path, Branch(shape, a.dtype if a.dtype == b.dtype else "")


def refusal(name: str, path: str, branch: Branch) -> tuple[str, str]:
    """Return message and hint for a branch that cannot be used."""
    return f"{short(path)}: branch `{name}` {branch.problem}", branch.hint


def _description(branch: Branch) -> str:
    values = "text" if branch.dtype == TEXT else "number"
    if not branch.shape:
        return f"one {values} per event"
    return f"a list of {values}s per event" if len(branch.shape) == 1 else f"lists of lists of {values}s"


def short(path: str) -> str:
    """Return a file's name without its folder, or a URL."""
    return path if "://" in path else Path(path).name
