"""Plan the normalisation of datasets: luminosity, cross-section, and where sums of generator weights come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fasthep_parsl import registry
from fasthep_parsl.compiler.first_events import Reach
from fasthep_parsl.compiler.schema import short
from fasthep_parsl.compiler.skims import ManifestError, manifests_beside, name_of, skimmed_sums
from fasthep_parsl.compiler.stages import CheckedStage, Stages
from fasthep_parsl.errors import Checked, Problem, suggest
from fasthep_parsl.ops.targets import OP as WRITE
from fasthep_parsl.plan import SUMS, PlanNormalisation, PlanSum, SumMethod, cancelled
from fasthep_parsl.sources.headers import Header
from fasthep_parsl.sources.summaries import Wanted
from fasthep_parsl.workflow.cross_sections import XSEC
from fasthep_parsl.workflow.datasets import DatasetFile, ResolvedDataset
from fasthep_parsl.workflow.loader import LoadedWorkflow
from fasthep_parsl.workflow.locations import local_path
from fasthep_parsl.workflow.model import Workflow
from fasthep_parsl.workflow.normalisation_model import DEFAULT_BRANCH, DEFAULT_TREE, SumOfWeights
from fasthep_parsl.workflow.stage_model import Stage, StageExecution
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, problem

SUM_OP = "hep.sum_of_weights"
LUMI_OP = "hep.lumi_mask"
WAYS_HINT = (
    "write `data.sum_of_weights`: `{expr: genWeight}` sums over all events, `events` counts them, `{manifest: …}` is that"
    " of a skim"
)
KEY = "sum_of_weights"
MAX_NAMED = 3


def needed(workflow: Workflow) -> bool:
    """Return whether sums of weights are needed: to normalise, or to say what was skimmed."""
    return workflow.data.luminosity is not None or any(stage.op == WRITE for stage in workflow.analysis.stages)


def way_of(workflow: Workflow, index: int) -> SumOfWeights | None:
    """Return where the sum of weights of a dataset comes from, as the workflow says; None if it does not."""
    return workflow.data.datasets[index].sum_of_weights or workflow.data.sum_of_weights


def wanted_of(workflow: Workflow, dataset: ResolvedDataset) -> Wanted:
    """Return what to read from other trees of the files of a dataset."""
    if dataset.eventtype == "data":
        return Wanted(sections=any(stage.op == LUMI_OP for stage in workflow.analysis.stages))
    if not needed(workflow):
        return Wanted()
    way = way_of(workflow, dataset.index)
    if way is None:
        return Wanted(DEFAULT_TREE, DEFAULT_BRANCH)
    return Wanted(way.tree or "", way.branch or "")


# --- the stage that sums ------------------------------------------------------------------------------


def with_sums(stages: Stages, loaded: LoadedWorkflow) -> Stages:
    """Return stages with one that sums weights over the stream of the source, if the workflow names an expression."""
    workflow = loaded.workflow
    weights = {}
    for index, dataset in enumerate(workflow.data.datasets):
        way = way_of(workflow, index)
        if way is not None and way.expr and (dataset.eventtype or workflow.data.defaults.eventtype) != "data":
            weights[dataset.name] = way.expr
    if not weights or not needed(workflow) or not stages.ordered:
        return stages
    apart = any(item.op.name == WRITE for item in stages.items)
    op = registry.load("ops", SUM_OP).op
    params = {"weights": weights, "apart": apart}
    stage = Stage.model_construct(id=SUMS, op=SUM_OP, params=params, needs=(), inputs=(), execution=_beside(stages))
    every = len(weights) == len(workflow.data.datasets)
    item = CheckedStage(
        stage=stage,
        path=("data", KEY),
        op=replace(op, per_partition=apart),
        params=op.params(**params),
        needs=(),
        input="",
        module="",
        code=next((i.code for i in stages.items if i.op.built_in), ""),
        datasets=None if every else tuple(weights),
    )
    return replace(stages, items=(item, *stages.items))


def _beside(stages: Stages) -> StageExecution:
    """Return where the first stage that reads the source runs: the sums are then part of its read."""
    first = next((i for i in stages.items if not i.input and i.op.scope == "partition" and i.op.takes_events), None)
    if first is None:
        return StageExecution()
    return first.stage.execution.model_copy(update={"modifiers": (), "timeout": None})


def placed_sums(problems: Sequence[Problem], workflow: Workflow, document: Document) -> tuple[Problem, ...]:
    """Return problems of the stage that sums at the place where its expressions are written."""
    prefix = f"data.{KEY}.params.weights."
    found = []
    for item in problems:
        if item.key.startswith(prefix):
            name = item.key.removeprefix(prefix)
            index = next(i for i, dataset in enumerate(workflow.data.datasets) if dataset.name == name)
            path = (*sums_path(workflow, index), "expr")
            item = problem(document, path, item.code, item.message, item.hint, name=item.name)  # noqa: PLW2901
        found.append(item)
    return tuple(dict.fromkeys(found))


def sums_path(workflow: Workflow, index: int) -> KeyPath:
    """Return where the workflow says where the sum of weights of a dataset comes from."""
    if workflow.data.datasets[index].sum_of_weights is not None:
        return ("data", "datasets", index, KEY)
    return ("data", KEY) if workflow.data.sum_of_weights is not None else ("data", "luminosity")


# --- the sums of files --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Planner:
    loaded: LoadedWorkflow
    headers: Mapping[DatasetFile, Header]
    reach: Reach

    @property
    def document(self) -> Document:
        return self.loaded.document

    @property
    def workflow(self) -> Workflow:
        return self.loaded.workflow

    def of(self, dataset: ResolvedDataset) -> Checked[PlanNormalisation]:
        """Return the normalisation of a dataset."""
        if not needed(self.workflow):
            return Checked(PlanNormalisation())
        asked = self.workflow.data.luminosity is not None
        luminosity = self._luminosity(dataset)
        problems = list(luminosity.problems)
        if dataset.eventtype == "data":
            found = PlanNormalisation(luminosity=luminosity.value, method="data")
            return Checked(found, tuple(problems))
        xsec = dataset.meta.get(XSEC)
        if asked and XSEC not in dataset.meta:
            key = ("data", "datasets", dataset.index)
            message = f"dataset `{dataset.name}` has no cross-section, and `data.luminosity` asks for normalisation"
            hint = "write `xsec: 6.2 nb` or a number of pb; or `eventtype: data`"
            problems.append(problem(self.document, (*key, XSEC), "E210", message, hint))
        sums = self._sums(dataset)
        if asked or way_of(self.workflow, dataset.index) is not None:
            problems += sums.problems
        elif sums.problems:
            sums = Checked(PlanNormalisation(why=sums.problems[0].message))
        facts = {"luminosity": luminosity.value, "xsec": xsec if isinstance(xsec, float) else None}
        return Checked(sums.value.model_copy(update=facts), tuple(problems))

    def _luminosity(self, dataset: ResolvedDataset) -> Checked[float | None]:
        """Return the luminosity of the era of a dataset."""
        given = self.workflow.data.luminosity
        if not isinstance(given, dict):
            return Checked(given)
        era = getattr(dataset, "era", "")
        if era in given:
            return Checked(given[era])
        if dataset.eventtype == "data":  # it is not normalised
            return Checked(next(iter(given.values()), None))
        key: KeyPath = ("data", "datasets", dataset.index)
        if not era:
            message = f"dataset `{dataset.name}` has no era, and `data.luminosity` is one for each era"
            hint = f"write its `era`: {', '.join(given)}"
            return Checked(None, (problem(self.document, (*key, "era"), "E210", message, hint),))
        message = f"era `{era}` of dataset `{dataset.name}` has no luminosity"
        eras = suggest(era, given, what="eras with a luminosity")
        return Checked(None, (problem(self.document, (*key, "era"), "E210", message, eras, name=era),))

    def _sums(self, dataset: ResolvedDataset) -> Checked[PlanNormalisation]:
        if not dataset.files or any(self.headers[file].problem for file in dataset.files):
            return Checked(PlanNormalisation())
        way = way_of(self.workflow, dataset.index)
        beside = tuple(manifests_beside(dataset.files)) if way is None else ()
        if way is None and not beside:
            return self._tree(dataset, DEFAULT_TREE, DEFAULT_BRANCH)
        if way is None or way.method == "manifest":
            if self.reach.leaves_out(dataset, self.headers):
                return self._of_all(dataset, "the manifest of the skim")
            return self._manifests(dataset, beside or (self._manifest(dataset, way),))
        if way.method == "tree":
            return self._tree(dataset, way.tree or "", way.branch or "")
        return self._counted(dataset, way)

    def _manifest(self, dataset: ResolvedDataset, way: SumOfWeights | None) -> Path:
        """Return the manifest that the workflow names. A relative path starts at the file that names it."""
        text = (way.manifest if way else None) or ""
        path = (*sums_path(self.workflow, dataset.index), "manifest")
        return self.document.folder_of(path) / Path(local_path(text) or text).expanduser()

    def _counted(self, dataset: ResolvedDataset, way: SumOfWeights) -> Checked[PlanNormalisation]:
        """Return a sum that the workflow gives, or that is over all events."""
        if way.value is not None:
            if self.reach.leaves_out(dataset, self.headers):
                return self._of_all(dataset, "the sum in the workflow")
            total = PlanSum(files=tuple(range(len(dataset.files))), events=-1, weight=way.value)
            return Checked(PlanNormalisation(method="given", source="the sum in the workflow", sums=(total,)))
        method: SumMethod = "expr" if way.expr else "events"
        found = PlanNormalisation(method=method, source=way.expr or "the number of events")
        empty = sum(self.headers[file].entries for file in dataset.files) == 0
        return Checked(found, (self._cancelled(dataset, "it has no events"),) if empty else ())

    def _tree(self, dataset: ResolvedDataset, tree: str, branch: str) -> Checked[PlanNormalisation]:
        """Return the sums in a tree of each file."""
        if self.reach.tears(dataset, self.headers):
            return self._of_all(dataset, f"{tree}.{branch} of a file")
        sums = []
        path = sums_path(self.workflow, dataset.index)
        for number, file in enumerate(dataset.files):
            found = self.headers[file].summaries
            if found.weight is None:
                message = (
                    f"dataset `{dataset.name}` has no sum of generator weights: {short(file.path)}: {found.problem}"
                )
                hint = f"{found.hint}; {WAYS_HINT}" if found.hint else WAYS_HINT
                return Checked(PlanNormalisation(), (problem(self.document, path, "E211", message, hint),))
            sums.append(PlanSum(files=(number,), events=found.events, weight=found.weight, square=found.square))
        return self._checked(dataset, PlanNormalisation(method="tree", source=f"{tree}.{branch}", sums=tuple(sums)))

    def _manifests(self, dataset: ResolvedDataset, places: tuple[Path, ...]) -> Checked[PlanNormalisation]:
        """Return the sums in manifests of a skim."""
        try:
            sums = skimmed_sums(places, dataset.files, self.headers)
        except ManifestError as error:
            path = sums_path(self.workflow, dataset.index)
            at = (*path, "manifest") if self.document.has((*path, "manifest")) else path
            message = f"dataset `{dataset.name}`: {error.message}"
            return Checked(PlanNormalisation(), (problem(self.document, at, "E213", message, error.hint),))
        source = ", ".join(map(name_of, places))
        return self._checked(dataset, PlanNormalisation(method="manifest", source=source, sums=sums))

    def _of_all(self, dataset: ResolvedDataset, source: str) -> Checked[PlanNormalisation]:
        """Return that a sum is over events that are left out."""
        why = f"{source} counts all events, and the limit leaves out some of `{dataset.name}`"
        return Checked(PlanNormalisation(why=why))

    def _checked(self, dataset: ResolvedDataset, found: PlanNormalisation) -> Checked[PlanNormalisation]:
        squares = [known.square for known in found.sums]
        square = None if None in squares else sum(value for value in squares if value is not None)
        known = [item.events for item in found.sums]
        events = None if -1 in known else sum(known)
        why = cancelled(sum(item.weight for item in found.sums), square, events)
        return Checked(found, (self._cancelled(dataset, why),) if why else ())

    def _cancelled(self, dataset: ResolvedDataset, why: str) -> Problem:
        path = sums_path(self.workflow, dataset.index)
        message = f"dataset `{dataset.name}` cannot be normalised: {why}"
        hint = "are these the generator weights of all events, before any selection?"
        return problem(self.document, path, "E212", message, hint)


def plan_normalisation(
    datasets: Sequence[ResolvedDataset],
    headers: Mapping[DatasetFile, Header],
    loaded: LoadedWorkflow,
    reach: Reach,
) -> Checked[dict[str, PlanNormalisation]]:
    """Return dataset → how it is normalised, and what is missing for that.

    If a limit takes the sum of a dataset away, nothing is normalised: a part of a sum of datasets would look like all.
    """
    planner = _Planner(loaded, headers, reach)
    found = {dataset.name: planner.of(dataset) for dataset in datasets}
    problems = _together([(name, item) for name, checked in found.items() for item in checked.problems])
    planned = {name: checked.value for name, checked in found.items()}
    if reach.limit is not None and any(how.why for how in planned.values()):
        planned = {name: how.model_copy(update={"luminosity": None}) for name, how in planned.items()}
    return Checked(planned, problems)


def _together(problems: Sequence[tuple[str, Problem]]) -> tuple[Problem, ...]:
    """Return problems of datasets, those of sums that are missing at one place for one reason once."""
    groups: dict[object, list[tuple[str, Problem]]] = {}
    for name, item in problems:
        why = (item.code, item.key, item.hint)
        groups.setdefault(why if item.code == "E211" else item, []).append((name, item))
    found = []
    for (_, first), *others in groups.values():
        names = [f"`{name}`" for name, item in others if item != first]
        more = f", and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
        also = f"; the same for {', '.join(names[:MAX_NAMED])}{more}" if names else ""
        found.append(replace(first, message=first.message + also))
    return tuple(found)
