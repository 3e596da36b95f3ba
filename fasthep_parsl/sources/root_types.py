"""Structure and type of a TTree's branches, from uproot's interpretations. Reads no value."""

from __future__ import annotations

from typing import Any

from fasthep_parsl.errors import summary_of
from fasthep_parsl.interfaces import TEXT, Branch
from fasthep_parsl.sources.forms import Members, fields_of, members_of, of_dtype


def describe(name: str, branch: Any) -> dict[str, tuple[Members, Branch]]:
    """Return the fields of a branch: itself under `name`, or the members of its records.

    If uproot cannot read the branch, only this branch has a problem.
    """
    try:
        interpretation = branch.interpretation
        kind = type(interpretation).__name__
        if kind == "AsStrings":
            return {name: ((), Branch((), TEXT, sure=False))}
        if kind == "UnknownInterpretation":
            return {name: ((), _unreadable(branch, str(interpretation.reason)))}
        plain = _plain(interpretation)
        of_plain = plain is not None
        if plain is None:
            found = fields_of(name, interpretation.awkward_form(branch.file))
        elif plain.base.names:
            found = members_of(name, plain)
        else:
            found = {name: ((), of_dtype(plain))}
        if kind == "AsJagged":
            counter = _counter(branch)
            found = {key: (members, _in_lists(item, counter, of_plain)) for key, (members, item) in found.items()}
        if not of_plain or plain.base.names:
            found = {key: (members, item._replace(sure=False)) for key, (members, item) in found.items()}
    except Exception as error:  # noqa: BLE001  (uproot raises any error on unknown classes)
        return {name: ((), _unreadable(branch, summary_of(error)))}
    return found


def _plain(interpretation: Any) -> Any:
    """Return the NumPy type of numbers and leaf lists, None for anything else."""
    content = getattr(interpretation, "content", interpretation)
    if type(content).__name__ not in ("AsDtype", "AsDouble32", "AsFloat16"):
        return None
    return content.to_dtype


def _in_lists(found: Branch, counter: str, outside: bool) -> Branch:
    if found.problem:
        return found
    return found._replace(shape=(counter, *(found.shape if outside else found.shape[1:])))


def _counter(branch: Any) -> str:
    """Return the name of the branch with the lengths of the lists, ``*`` if there is none."""
    try:
        counter = branch.count_branch
    except Exception:  # noqa: BLE001  (the lists can be read without it)
        return "*"
    if (
        counter is None or counter.name == f"n{branch.name}"
    ):  # uproot writes a counter for each field: it promises nothing
        return "*"
    return str(counter.name)


def _unreadable(branch: Any, reason: str) -> Branch:
    try:
        name = str(branch.typename)
    except Exception:  # noqa: BLE001  (unknown types have no name)
        name = ""
    kind = f" (class {name})" if name and name != "unknown" else ""
    return Branch(problem=f"cannot be read{kind}: {reason}", hint="use other branches")
