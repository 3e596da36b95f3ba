"""Section ``fields``: other names for branches, and what stands for those that some files lack."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce

from fasthep_parsl.compiler.defaults import MisfitError, typed_default
from fasthep_parsl.compiler.schema import Common, Located, join, refusal
from fasthep_parsl.errors import Problem, suggest
from fasthep_parsl.interfaces import Branch
from fasthep_parsl.plan import PlanDefault
from fasthep_parsl.sources.headers import Header
from fasthep_parsl.workflow.model import FieldSpec
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, problem


@dataclass
class Aliases:
    """What section ``fields`` comes to on the input files.

    Attributes
    ----------
    defaults : dict
        Field → value per event, for fields whose branch some file lacks.
    constant : list
        Fields whose branch no file has.
    broken : set
        Fields that cannot be, as `problems` say.
    problems : list
        What cannot be.
    """

    defaults: dict[str, PlanDefault] = field(default_factory=dict)
    constant: list[str] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def refuse(self, name: str, found: Problem) -> None:
        """Note what is wrong with a field."""
        self.broken.add(name)
        self.problems.append(found)


def resolve_aliases(specs: dict[str, FieldSpec], headers: list[Header], known: Common, document: Document) -> Aliases:
    """Add the fields of section ``fields`` to those of the files.

    Parameters
    ----------
    specs : dict
        The section.
    headers : list of Header
        Of all files, distinct ones.
    known : Common
        What the files have; is added to.
    document : Document
        Places the problems.
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
                hint = suggest(spec.branch, branches, what="branches")
                message = f"no branch `{spec.branch}` in the input files"
                result.refuse(name, problem(document, at, "E136", message, hint))
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
    """Return what a branch is in the files that have it, and one that lacks it."""
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
        result.refuse(name, problem(document, place, "E136", message, "a default is one value per event"))
        return
    assert spec.default is not None
    try:
        result.defaults[name] = typed_default(spec.default, [item.dtype for item in have])
    except MisfitError as error:
        message = f"default `{spec.default}` does not fit branch `{spec.branch}`, which has {error}"
        result.refuse(name, problem(document, place, "E136", message, "a default is of the type of its branch"))
        return
    known.fields[name] = ()
    if not have:
        result.constant.append(name)
