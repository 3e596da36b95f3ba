"""Section ``fields`` of a workflow: other names for branches, and defaults for files that lack a branch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

from fasthep_parsl.compiler.defaults import MisfitError, typed_default
from fasthep_parsl.compiler.schema import Common, Located, hide, join, named, refusal, short
from fasthep_parsl.errors import Hint, Problem, suggest
from fasthep_parsl.interfaces import Branch
from fasthep_parsl.plan import PlanDefault
from fasthep_parsl.sources.headers import Header
from fasthep_parsl.workflow.datasets import ResolvedDataset
from fasthep_parsl.workflow.input_model import FieldSpec
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, problem

DEFAULT = ""
"""Instead of a branch: the field has its default for the dataset."""


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


@dataclass(frozen=True)
class Files:
    """The files of datasets for which each field has one branch.

    Attributes
    ----------
    datasets : tuple of ResolvedDataset
        The datasets.
    branches : mapping
        Field → branch, `DEFAULT`, or None if the datasets do not have the field.
    headers : list of Header
        One header per set of branches.
    known : Common
        Fields of the files; those of the section are added to it.
    """

    datasets: tuple[ResolvedDataset, ...]
    branches: Mapping[str, str | None]
    headers: list[Header]
    known: Common


def branches_of(specs: Mapping[str, FieldSpec], dataset: ResolvedDataset) -> dict[str, str | None]:
    """Return field → its branch in the files of a dataset, `DEFAULT`, or None if the dataset does not have the field."""
    return {name: _branch_of(spec, dataset) for name, spec in specs.items()}


def _branch_of(spec: FieldSpec, dataset: ResolvedDataset) -> str | None:
    if spec.applies_to is not None and not spec.applies_to.selects(dataset):
        return None if spec.default is None else DEFAULT
    if isinstance(spec.branch, str):
        return spec.branch
    return spec.branch.get(dataset.name, spec.branch.get(dataset.era) if dataset.era else None)


def resolve_aliases(specs: Mapping[str, FieldSpec], files: Sequence[Files], document: Document) -> Aliases:
    """Add the fields of section ``fields`` to those of the files.

    Parameters
    ----------
    specs : mapping
        The section.
    files : sequence of Files
        The files by what the section says of their datasets.
    document : Document
        The workflow, for the places of problems.
    """
    result = Aliases()
    files = [item for item in files if item.headers]
    branches = {name for item in files for name in item.known.fields}
    for name, spec in specs.items():
        for item in files:
            hide(item.known, name)
        if files:
            _Field(name, spec, files, branches, result, document).resolve()
    return result


class _Field:
    """A field of the section."""

    def __init__(
        self,
        name: str,
        spec: FieldSpec,
        files: Sequence[Files],
        known: Iterable[str],
        result: Aliases,
        document: Document,
    ) -> None:
        self.name, self.spec, self.files = name, spec, files
        self.known, self.result, self.document = known, result, document
        self.strict = spec.applies_to is not None or not isinstance(spec.branch, str)
        self.have: list[Located] = []

    def resolve(self) -> None:
        """Add the field to the files that have it, and record what is wrong."""
        lacking = self._look_everywhere()
        if not self._exists():
            return
        path, branch = reduce(join, self.have) if self.have else ("", Branch())
        if branch.problem:
            message, hint = refusal(self._shown(path), path, branch)
            self.result.refuse(self.name, problem(self.document, self._place(), "E136", message, hint))
            return
        by_default = [id(item) for item in self.files if item.branches[self.name] == DEFAULT]
        by_default += [] if self.strict else list(lacking)
        if self.spec.default is not None and by_default and not self._add_default(branch):
            return
        for item in self.files:
            if item.branches[self.name] is None:
                continue
            if self.spec.default is not None and id(item) in by_default:
                item.known.fields[self.name] = ()
            elif id(item) in lacking:
                self._lacks(item, lacking[id(item)])
            else:
                item.known.fields[self.name] = branch.shape

    def _look_everywhere(self) -> dict[int, str]:
        """Collect the branches of all files. Return identity of `Files` → a file that lacks its branch."""
        lacking: dict[int, str] = {}
        for item in self.files:
            branch = item.branches[self.name]
            if branch is None:
                item.known.absent[self.name] = self._why_absent(item)
            elif branch != DEFAULT:
                found, lack = _look(branch, item.headers)
                self.have += found
                if lack:
                    lacking[id(item)] = lack
        return lacking

    def _lacks(self, item: Files, lack: str) -> None:
        """Record that a file lacks the branch."""
        item.known.partial[self.name] = (self.have[0][0], lack)
        if self.spec.default is not None:
            message = f"branch `{item.branches[self.name]}` is missing in {short(lack)}"
            hint = f"`fields.{self.name}.default` is only for datasets to which the field does not apply"
            item.known.absent[self.name] = message, hint

    def _exists(self) -> bool:
        """Return whether files have its branches; refuse those that no file has, unless there is a default for it."""
        if self.spec.default is not None and not self.strict:
            return True
        wanted = dict.fromkeys(branch for item in self.files if (branch := item.branches[self.name]))
        for branch in wanted:
            users = [item for item in self.files if item.branches[self.name] == branch]
            if not any(_look(branch, item.headers)[0] for item in users):
                if self.known:
                    of = "" if len(users) == len(self.files) else f" of {named(d for u in users for d in u.datasets)}"
                    hint: Hint = suggest(branch, self.known, what="branches")
                    message = f"no branch `{branch}` in the input files{of}"
                    found = problem(self.document, self._place(branch), "E136", message, hint, name=branch)
                    self.result.refuse(self.name, found)
                return False
        return True

    def _add_default(self, branch: Branch) -> bool:
        """Record the default in the type of the branch; return whether it fits."""
        assert self.spec.default is not None
        place = ("fields", self.name, "default")
        if branch.shape:
            message = f"field `{self.name}` has a default, but branch `{self._shown()}` is a list per event"
            hint = "remove `default`; it is one value per event"
            self.result.refuse(self.name, problem(self.document, place, "E136", message, hint))
            return False
        try:
            default = typed_default(self.spec.default, [item.dtype for _, item in self.have])
        except MisfitError as error:
            message = f"default `{self.spec.default}` does not fit branch `{self._shown()}`, which has {error}"
            hint = "write a value of the type of the branch"
            self.result.refuse(self.name, problem(self.document, place, "E136", message, hint))
            return False
        self.result.defaults[self.name] = default
        if not self.have and not self.strict:
            self.result.constant.append(self.name)
        return True

    def _shown(self, path: str = "") -> str:
        """Return the name of its branch, in the file `path` if there are several."""
        if isinstance(self.spec.branch, str):
            return self.spec.branch
        users = [item for item in self.files if any(header.path == path for header in item.headers)]
        return next((branch for item in users if (branch := item.branches[self.name])), self.name)

    def _place(self, branch: str = "") -> KeyPath:
        at: KeyPath = ("fields", self.name, "branch")
        if isinstance(self.spec.branch, dict):
            key = next((key for key, value in self.spec.branch.items() if value == branch), None)
            return at if key is None else (*at, key)
        return at if self.document.has(at) else ("fields", self.name)

    def _why_absent(self, item: Files) -> tuple[str, Hint]:
        """Return message and hint for stages that read the field for datasets that do not have it."""
        name = self.name
        if any(self.spec.applies_to is not None and not self.spec.applies_to.selects(d) for d in item.datasets):
            message = f"field `{name}` does not apply to {named(item.datasets)}"
            return message, f"write the same `applies_to` at this stage, or give `fields.{name}` a `default`"
        eras = dict.fromkeys(dataset.era for dataset in item.datasets if dataset.era)
        of = f" (era {', '.join(f'`{era}`' for era in eras)})" if eras else ""
        keys = ", ".join(f"{era}: …" for era in eras or [dataset.name for dataset in item.datasets])
        return f"field `{name}` has no branch for {named(item.datasets)}{of}", f"add `{keys}` to `fields.{name}.branch`"


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
