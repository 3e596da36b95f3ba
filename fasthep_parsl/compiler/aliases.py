"""Section ``fields`` of a workflow: other names for branches, and defaults for files that lack a branch."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce

from fasthep_parsl.compiler.defaults import MisfitError, typed_default
from fasthep_parsl.compiler.schema import Common, Located, join, refusal
from fasthep_parsl.errors import Hint, Problem, suggest
from fasthep_parsl.interfaces import Branch
from fasthep_parsl.plan import PlanDefault
from fasthep_parsl.sources.headers import Header
from fasthep_parsl.workflow.model import FieldSpec
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, problem


@dataclass
class Aliases:
    """Section ``fields``, resolved on the input files.

    Attributes
    ----------
    defaults : dict
        Field → value per event, for fields with a branch that some file lacks.
    constant : list
        Fields with a branch that every file lacks.
    broken : set
        Fields that cannot be used; `problems` has the reasons.
    problems : list
        Mistakes in the section.
    """

    defaults: dict[str, PlanDefault] = field(default_factory=dict)
    constant: list[str] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def refuse(self, name: str, found: Problem) -> None:
        """Record a mistake in a field."""
        self.broken.add(name)
        self.problems.append(found)


def resolve_aliases(specs: dict[str, FieldSpec], headers: list[Header], known: Common, document: Document) -> Aliases:
    """Add the fields of section ``fields`` to those of the files.

    Parameters
    ----------
    specs : dict
        The section.
    headers : list of Header
        One header per set of branches.
    known : Common
        Fields of the files; those of the section are added to it.
    document : Document
        The workflow, for the places of problems.
    """
    result = Aliases()
    if not headers:
        return result
    branches = dict(known.fields)
    for name, spec in specs.items():
        known.refused.pop(name, None)
        known.fields.pop(name, None)
        have, lack = _look(spec.branch, headers)
        at: KeyPath = ("fields", name, "branch") if document.has(("fields", name, "branch")) else ("fields", name)
        if not have and spec.default is None:
            if branches:
                hint: Hint = suggest(spec.branch, branches, what="branches")
                message = f"no branch `{spec.branch}` in the input files"
                result.refuse(name, problem(document, at, "E136", message, hint, name=spec.branch))
            continue
        path, branch = reduce(join, have) if have else ("", Branch())
        if branch.problem:
            message, hint = refusal(spec.branch, path, branch)
            result.refuse(name, problem(document, at, "E136", message, hint))
        elif not lack:
            known.fields[name] = branch.shape
        elif spec.default is None:
            known.partial[name] = (have[0][0], lack)
        else:
            _add_default(name, spec, branch, [b for _, b in have], known, result, document)
    return result


def _look(branch: str, headers: list[Header]) -> tuple[list[Located], str]:
    """Return the branch in each file that has it, and a file that lacks it."""
    have: list[Located] = []
    lack = ""
    for header in headers:
        if header.branches is None:
            continue
        found = header.branches.found.get(header.branches.name_of(branch))
        if found is None:
            lack = lack or header.path
        else:
            have.append((header.path, found))
    return have, lack


def _add_default(
    name: str,
    spec: FieldSpec,
    branch: Branch,
    have: list[Branch],
    known: Common,
    result: Aliases,
    document: Document,
) -> None:
    place = ("fields", name, "default")
    if branch.shape:
        message = f"field `{name}` has a default, but branch `{spec.branch}` is a list per event"
        result.refuse(name, problem(document, place, "E136", message, "remove `default`; it is one value per event"))
        return
    assert spec.default is not None
    try:
        result.defaults[name] = typed_default(spec.default, [item.dtype for item in have])
    except MisfitError as error:
        message = f"default `{spec.default}` does not fit branch `{spec.branch}`, which has {error}"
        result.refuse(name, problem(document, place, "E136", message, "write a value of the type of the branch"))
        return
    known.fields[name] = ()
    if not have:
        result.constant.append(name)
