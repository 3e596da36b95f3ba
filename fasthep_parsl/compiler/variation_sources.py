"""The variations of a workflow: those of its section `systematics`, and those that ops provide. Checks of the section."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from fasthep_parsl.compiler.applicability import condition_problems
from fasthep_parsl.compiler.fields import Flow
from fasthep_parsl.compiler.inputs import Inputs
from fasthep_parsl.compiler.stages import CheckedStage
from fasthep_parsl.compiler.unknown_fields import why_no_field
from fasthep_parsl.errors import Checked, Problem, suggest
from fasthep_parsl.names import collision_key
from fasthep_parsl.ops.axes import NOMINAL
from fasthep_parsl.plan import Direction
from fasthep_parsl.workflow.conditions import DatasetFacts, chosen
from fasthep_parsl.workflow.loader import LoadedWorkflow
from fasthep_parsl.workflow.systematics import SystematicVariation
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, problem

SECTION: KeyPath = ("systematics", "variations")
Datasets = tuple[str, ...] | None
"""Names of datasets; None: all."""


@dataclass(frozen=True)
class Systematic:
    """A variation of the run.

    Attributes
    ----------
    name, group, direction, datasets, replaces
        As in `PlanVariation`.
    fields : mapping
        Field → expression that replaces it.
    multiply : tuple of str
        Expressions that multiply all weights.
    path : tuple
        Its key path in the document; empty if only ops provide it.
    """

    name: str
    group: str = ""
    direction: Direction = ""
    datasets: Datasets = None
    replaces: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    multiply: tuple[str, ...] = ()
    path: KeyPath = ()


@dataclass(frozen=True)
class AllSystematics:
    """All variations of a workflow, and warnings about them."""

    items: tuple[Systematic, ...] = ()
    warnings: tuple[str, ...] = ()


def both(a: Datasets, b: Datasets) -> Datasets:
    """Return the datasets in both."""
    if a is None or b is None:
        return b if a is None else a
    return tuple(name for name in a if name in b)


def either(a: Datasets, b: Datasets) -> Datasets:
    """Return the datasets in at least one of both."""
    return None if a is None or b is None else tuple(dict.fromkeys((*a, *b)))


def unknown_names(loaded: LoadedWorkflow, datasets: Sequence[DatasetFacts]) -> list[Problem]:
    """Return a warning for each name in `applies_to` of a variation that no dataset has."""
    return [
        replace(wrong, code="W108", message=f"variation `{item.name}`: {wrong.message}")
        for number, item in enumerate(loaded.workflow.systematics.variations)
        for wrong in condition_problems(item.applies_to, datasets, loaded.document, (*SECTION, number, "applies_to"))
    ]


def find_systematics(
    loaded: LoadedWorkflow, stages: Sequence[CheckedStage], flow: Flow, inputs: Inputs
) -> Checked[AllSystematics]:
    """Return the variations of the section, then those that only ops provide."""
    section, document = loaded.workflow.systematics, loaded.document
    finder = _Finder(stages, flow, inputs, document)
    for number, item in enumerate(section.variations):
        finder.add(item, (*SECTION, number))
    finder.of_ops()
    found = {name: finder.spared(item, section.variations) for name, item in finder.found.items()}
    warnings = [*finder.warnings, *_alone(found.values())]
    if not section.include_nominal:
        warnings.append("`systematics.include_nominal` is ignored: the nominal analysis always runs")
    kept = tuple(item for item in found.values() if item.datasets != () or item.replaces)
    return Checked(AllSystematics(kept, tuple(warnings)), tuple(finder.problems))


class _Finder:
    def __init__(self, stages: Sequence[CheckedStage], flow: Flow, inputs: Inputs, document: Document) -> None:
        self.stages, self.flow, self.inputs, self.document = stages, flow, inputs, document
        self.names = [dataset.name for dataset in inputs.datasets]
        self.found: dict[str, Systematic] = {}
        self.keys: dict[str, str] = {}
        self.problems: list[Problem] = []
        self.warnings: list[str] = []

    def report(self, path: KeyPath, code: str, message: str, hint: object = "", *, name: str = "") -> None:
        self.problems.append(problem(self.document, path, code, message, hint, name=name))  # type: ignore[arg-type]

    def add(self, item: SystematicVariation, path: KeyPath) -> None:
        """Add a variation of the section."""
        self.check_name(item, path)
        if item.is_empty:
            hint = "write `replace: {fields: {Jet_pt: Jet_pt * 1.03}}`, `weight: {multiply: [1.02]}` or `datasets: {…}`"
            self.report(path, "E129", f"variation `{item.name}` changes nothing", hint)
        if item.datasets and (item.replace.fields or item.weight.multiply):
            message = f"variation `{item.name}` replaces datasets, and changes fields or weights"
            self.report((*path, "datasets"), "E106", message, "write two variations")
        known = self.inputs.datasets
        unknown = condition_problems(item.applies_to, known, self.document, (*path, "applies_to"))
        for name, other in item.datasets.items():
            self.check_datasets(name, other, (*path, "datasets", name))
            self.check_chain(item.name, name, other, (*path, "datasets", name))
        for name, text in item.replace.fields.items():
            self.check_field(item.name, name, text, (*path, "replace", "fields", name))
        self.found.setdefault(
            item.name,
            Systematic(
                item.name,
                item.group or item.name,
                item.direction,
                tuple(item.datasets) if item.datasets else chosen(item.applies_to, self.inputs.datasets),
                item.datasets,
                item.replace.fields,
                item.weight.multiply,
                path,
            ),
        )
        if not item.datasets and self.found[item.name].datasets == ():
            why = f": {'; '.join(map(_with_hint, unknown))}" if unknown else ""
            self.warnings.append(f"variation `{item.name}` applies to no dataset, and is left out{why}")
        else:
            self.warnings += [f"variation `{item.name}`: {_with_hint(each)}" for each in unknown]

    def check_name(self, item: SystematicVariation, path: KeyPath) -> None:
        other = self.keys.setdefault(collision_key(item.name), item.name)
        if item.name == NOMINAL:
            message = f"`{NOMINAL}` is the name of what does not vary"
            self.report((*path, "name"), "E129", message, "rename the variation", name=item.name)
        elif item.name in self.found:
            self.report((*path, "name"), "E129", f"two variations have the name `{item.name}`", "rename one of them")
        elif other != item.name:
            message = f"the variations `{other}` and `{item.name}` differ only in case or accents"
            self.report((*path, "name"), "E129", message, "rename one of them")
        twin = next((known for known in self.found.values() if _same_side(known, item)), None)
        if twin is not None and twin.name != item.name:
            message = f"variations `{twin.name}` and `{item.name}` are both `{item.direction}` of group `{item.group}`"
            self.report((*path, "direction"), "E129", message, "give them different groups")

    def check_datasets(self, name: str, other: str, path: KeyPath) -> None:
        for each in (name, other):
            if each not in self.names:
                hint = suggest(each, self.names, what="datasets")
                self.report(path, "E129", f"no dataset `{each}`", hint, name=each)
        if name == other:
            self.report(path, "E129", f"dataset `{name}` replaces itself: the variation changes nothing", "remove it")

    def check_chain(self, variation: str, name: str, other: str, path: KeyPath) -> None:
        """Refuse a dataset that takes the place of another one and is replaced, too: it would be nominal or not."""
        replaced = {each for known in self.found.values() for each in known.replaces} | {name}
        spares = {each for known in self.found.values() for each in known.replaces.values()} | {other}
        both_ways = sorted(replaced & spares) if name != other else []
        for each in both_ways:
            message = f"dataset `{each}` takes the place of another one, and variation `{variation}` makes that unclear"
            hint = f"a dataset is either nominal or a substitute: list the files of `{each}` as another dataset"
            self.report(path, "E129", message, hint, name=each)
        kinds = {known.name: known.eventtype for known in self.inputs.datasets if known.name in (name, other)}
        if not both_ways and len(set(kinds.values())) > 1:
            message = f"dataset `{other}` has the eventtype `{kinds[other]}`, and takes the place of `{kinds[name]}`"
            self.report(path, "E129", message, "a variation replaces simulation by other simulation", name=other)

    def check_field(self, variation: str, name: str, text: str, path: KeyPath) -> None:
        """Check that a field exists, is read, and is replaced by something else."""
        known = {field for schema in self.flow.schemas.values() for field in schema}
        if name not in known:
            code, message, hint = why_no_field(name, self.inputs) or (
                "E150", f"unknown field `{name}`", suggest(name, known, what="fields"),
            )  # fmt: skip
            self.report(path, code, message, hint, name=name)
        elif text.strip() == name:
            self.report(path, "E129", f"variation `{variation}` replaces `{name}` by itself: it changes nothing")
        elif not any(name in reads for reads in self.flow.reads.values()):
            message = f"no stage reads `{name}`: variation `{variation}` changes nothing with it"
            read = sorted({field for reads in self.flow.reads.values() for field in reads})
            self.report(path, "E129", message, suggest(name, read, what="fields that are read"), name=name)

    def of_ops(self) -> None:
        """Add what ops provide. Equal names vary together."""
        for item in self.stages:
            effects = self.flow.effects.get(item.stage.id)
            for given in effects.variations if effects else ():
                known = self.found.get(given.name)
                self.check_together(known, item)
                fresh = Systematic(given.name, given.group or given.name, given.direction, item.datasets)
                joined = fresh if known is None else replace(known, datasets=either(known.datasets, item.datasets))
                self.found[given.name] = joined

    def check_together(self, known: Systematic | None, item: CheckedStage) -> None:
        """Refuse equal names of variations of which that of the section applies to fewer datasets."""
        if known is None or known.datasets is None or not (known.fields or known.multiply):
            return
        beyond = [name for name in item.datasets or self.names if name not in known.datasets]
        if beyond:
            message = (
                f"variation `{known.name}` is also one of stage `{item.stage.id}`, which has it for more datasets:"
                f" {', '.join(f'`{name}`' for name in beyond[:3])}"
            )
            hint = "equal names vary together: write the same `applies_to` for both, or rename one of them"
            self.report((*known.path, "applies_to"), "E129", message, hint)

    def spared(self, item: Systematic, section: Iterable[SystematicVariation]) -> Systematic:
        """Return a variation that leaves out datasets that only replace others, unless it names them."""
        spares = {other for known in self.found.values() for other in known.replaces.values()}
        own = next((known for known in section if known.name == item.name), None)
        named = set(own.applies_to.datasets) if own is not None and own.applies_to is not None else set()
        spares -= named
        if item.replaces or not spares:
            return item
        left = tuple(name for name in self.names if name not in spares)
        return replace(item, datasets=both(left, item.datasets))


def _same_side(known: Systematic, item: SystematicVariation) -> bool:
    return bool(item.direction) and known.group == item.group and known.direction == item.direction


def _with_hint(item: Problem) -> str:
    return f"{item.message} ({item.hint})" if item.hint else item.message


def _alone(found: Iterable[Systematic]) -> list[str]:
    """Warn of variations in one direction only."""
    sides: dict[str, dict[str, str]] = {}
    for item in found:
        if item.direction:
            sides.setdefault(item.group, {})[item.direction] = item.name
    return [
        f"variation `{names[side]}` is `{side}`, and group `{group}` has no `{_OTHER[side]}`: templates have one side only"
        " (leave out `direction` if there is no other)"
        for group, names in sides.items()
        for side in names
        if len(names) == 1
    ]


_OTHER = {"up": "down", "down": "up"}
