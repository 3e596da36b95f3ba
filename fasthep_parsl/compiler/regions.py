"""Regions: one selection per region and stream, and one copy of each histogram per region. Pure.

A stage with ``regions: [a, b]`` on the stream of ``Sel`` becomes the selections ``Sel@a`` and ``Sel@b``, which all stages
on this stream share, and the copies ``HT@a`` and ``HT@b``. The stage itself does not run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from fasthep_parsl.analysis_code.modules import OpTable
from fasthep_parsl.compiler.modifiers import Placed, pool_modifiers
from fasthep_parsl.compiler.routes import Routing
from fasthep_parsl.compiler.stages import CheckedStage, Stages, code_hash, module_name
from fasthep_parsl.errors import Checked, Hint, Problem, suggest
from fasthep_parsl.interfaces import Op, parameter_of_regions, region_names
from fasthep_parsl.names import collision_key
from fasthep_parsl.ops.parameters import validate_params
from fasthep_parsl.plan import PlanVariation
from fasthep_parsl.workflow.loader import LoadedWorkflow
from fasthep_parsl.workflow.regions import ALL
from fasthep_parsl.workflow.stage_model import StageExecution
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, problem

SELECT = "hep.select"


@dataclass(frozen=True)
class InRegions:
    """Stages with their copies in regions.

    Attributes
    ----------
    stages : Stages
        The stages that run.
    like : mapping
        Selection of a region → the first stage that uses it. It runs where this stage runs.
    unused : tuple of str
        Regions that no stage uses.
    """

    stages: Stages
    like: Mapping[str, str]
    unused: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the plan warns of."""
        return tuple(f"region `{name}`: no histogram has it in `regions`" for name in self.unused)


def region_id(stage: str, region: str) -> str:
    """Return the id of the copy of a stage in a region, or of the selection on its stream. No workflow can name it."""
    return f"{stage}@{region}"


def expand_regions(loaded: LoadedWorkflow, stages: Stages, table: OpTable) -> Checked[InRegions]:
    """Return the stages of a workflow with copies in regions instead of the stages that name regions."""
    regions, document = loaded.workflow.analysis.regions, loaded.document
    problems = _names(regions, document)
    asked: dict[str, tuple[str, ...]] = {}
    for item in stages.items:
        found = _asked(item, regions, document)
        problems += found.problems
        if found.value is not None:
            asked[item.stage.id] = found.value
    problems += _bound(stages.items, asked, document)
    unused = tuple(name for name in regions if not any(name in names for names in asked.values()))
    select = table.get(SELECT)
    problems += [wrong for name in unused for wrong in _form(name, regions[name], select, document)]
    if not asked or not stages.ordered:
        return Checked(InRegions(stages, {}, unused), tuple(problems))
    builder = _Builder(regions, asked, select, table)
    for item in stages.items:
        builder.add(item)
    expanded = Stages(tuple(builder.items), stages.ordered)
    return Checked(InRegions(expanded, builder.like, unused), tuple(problems))


def with_selections(
    found: InRegions, loaded: LoadedWorkflow, routing: Routing, modifiers: dict[str, tuple[Placed, ...]]
) -> tuple[Routing, dict[str, tuple[Placed, ...]]]:
    """Return the pools and modifiers of all stages, also of the selections of regions."""
    routes = {
        name: replace(routing.routes[stage], warning="")
        for name, stage in found.like.items()
        if stage in routing.routes
    }
    of_pools = pool_modifiers(loaded).value
    own = {name: of_pools.get(answer.pool, ()) for name, answer in routes.items()}
    return replace(routing, routes={**routing.routes, **routes}), {**modifiers, **own}


class _Builder:
    """Builds the list of stages that run."""

    def __init__(
        self, regions: Mapping[str, Any], asked: Mapping[str, tuple[str, ...]], select: Op, table: OpTable
    ) -> None:
        self.regions = regions
        self.asked = asked
        self.select = select
        self.code = (module_name(table, SELECT), code_hash(table, SELECT))
        self.items: list[CheckedStage] = []
        self.like: dict[str, str] = {}

    def add(self, item: CheckedStage) -> None:
        """Add a stage, or its copies."""
        needs = tuple(copy for name in item.needs for copy in self.copies(name))
        if item.stage.id not in self.asked:
            self.items.append(replace(item, needs=needs))
            return
        for region in self.asked[item.stage.id]:
            self.items.append(self.copy(item, region, needs))

    def copies(self, stage: str) -> list[str]:
        """Return the stages that run for a stage of the workflow."""
        return [region_id(stage, region) for region in self.asked[stage]] if stage in self.asked else [stage]

    def copy(self, item: CheckedStage, region: str, needs: tuple[str, ...]) -> CheckedStage:
        """Return the copy of a stage in a region."""
        selection, name = self.selection(item, region), region_id(item.stage.id, region)
        parameter = parameter_of_regions(item.op.params)
        written = {key: value for key, value in item.stage.params.items() if key != parameter}
        params = item.params and item.params.model_copy(update={parameter: ()})
        uses = (tuple(use.model_copy(update={"stage": name}) for use in file.uses) for file in item.files)
        return replace(
            item,
            stage=item.stage.model_copy(update={"id": name, "params": written}),
            params=params,
            needs=(*(need for need in needs if need != item.input), selection),
            input=selection,
            files=tuple(file.model_copy(update={"uses": use}) for file, use in zip(item.files, uses, strict=True)),
            nominal=item.stage.id,
            region=region,
        )

    def selection(self, item: CheckedStage, region: str) -> str:
        """Return the selection of a region on the stream that a stage reads; add it if it is new."""
        name = region_id(item.input, region)
        if name in self.like:
            return name
        self.like[name] = item.stage.id
        execution = item.stage.execution
        labels = StageExecution(require=execution.require, prefer=execution.prefer, fallback=execution.fallback)
        written = {"selection": self.regions[region]}
        needs = (item.input,) if item.input else ()
        changes = {"id": name, "op": SELECT, "params": written, "needs": needs, "inputs": (), "execution": labels}
        base: KeyPath = ("analysis", "regions", region)
        selection = CheckedStage(
            item.stage.model_copy(update=changes),
            base,
            self.select,
            validate_params(self.select, written),
            needs,
            item.input,
            *self.code,
            base=base,
            region=region,
        )
        self.items.append(selection)
        return name


def _asked(item: CheckedStage, regions: Mapping[str, Any], document: Document) -> Checked[tuple[str, ...] | None]:
    """Return the regions that a stage names, None if it names none or its mistake is reported with its parameters."""
    parameter = parameter_of_regions(item.op.params)
    names = region_names(item.stage.params.get(parameter)) if parameter else None
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        return Checked(None)
    place = item.at((parameter,))
    if item.op.stream:
        message = f"op `{item.op.name}` has `regions` and yields a stream: later stages could not tell which to read"
        return Checked(None, (problem(document, place, "E111", message),))
    if not regions:
        example = "write `regions: {signal: [nJet >= 4]}` in `analysis`"
        return Checked(None, (problem(document, place, "E125", "the workflow has no regions", example, on="key"),))
    if tuple(names) == (ALL,):
        return Checked(tuple(regions))
    listed = isinstance(item.stage.params[parameter], list | tuple)
    problems: list[Problem] = []
    hint: Hint
    for number, name in enumerate(names):
        at = (*place, number) if listed else place
        if name not in regions:
            hint = suggest(name, (*regions, ALL), what="regions")
            problems.append(problem(document, at, "E125", f"no region `{name}`", hint, name=name))
        elif name in names[:number]:
            problems.append(problem(document, at, "E106", f"region `{name}` is named twice", "remove one", name=name))
    if not names:
        hint = f"name regions, or write `{parameter}: {ALL}`"
        problems.append(problem(document, place, "E106", "the list of regions is empty", hint))
    known = tuple(dict.fromkeys(name for name in names if name in regions))
    return Checked(known or None, tuple(problems))


def _names(regions: Iterable[str], document: Document) -> list[Problem]:
    """Return a problem for each two regions whose histograms would share a file on some file systems."""
    found: dict[str, str] = {}
    problems = []
    for name in regions:
        other = found.setdefault(collision_key(name), name)
        if other != name:
            message = f"the regions `{other}` and `{name}` differ only in case or accents"
            problems.append(
                problem(document, ("analysis", "regions", name), "E106", message, "rename one of them", on="key")
            )
    return problems


def named_like_variations(loaded: LoadedWorkflow, variations: Iterable[PlanVariation]) -> list[Problem]:
    """Return a problem for each region with the name of a variation: copies of a stage would have the same id."""
    names = {collision_key(variation.name): variation.name for variation in variations}
    problems = []
    for region in loaded.workflow.analysis.regions:
        variation = names.get(collision_key(region))
        if variation is not None:
            message, at = (
                f"region `{region}` has the name of the variation `{variation}`",
                ("analysis", "regions", region),
            )
            problems.append(problem(loaded.document, at, "E106", message, "rename one of them", on="key"))
    return problems


def _bound(items: Sequence[CheckedStage], asked: Mapping[str, tuple[str, ...]], document: Document) -> list[Problem]:
    """Refuse to bind the product of a stage that has one product per region."""
    problems = []
    for item in items:
        for number, source in enumerate(item.stage.inputs):
            if source.node in asked:
                message = f"stage `{source.node}` has one product per region, and `{source.to}` takes one"
                hint = "bind a stage without `regions` that comes after a `hep.select`"
                at = (*item.path, "from", number, "node")
                problems.append(problem(document, at, "E124", message, hint, name=source.node))
    return problems


def _form(name: str, selection: Any, select: Op, document: Document) -> list[Problem]:
    """Return what is wrong with a selection whatever fields there are: no stage shows the others."""
    params: BaseModel = validate_params(select, {"selection": selection})
    base: KeyPath = ("analysis", "regions", name)
    return [
        problem(document, (*base, *wrong.path[1:]), wrong.code, wrong.message, wrong.hint, name=wrong.name)
        for wrong in select.analyse(params, {}).problems
        if wrong.code != "E150"
    ]
