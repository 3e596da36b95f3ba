"""Make the plan of a workflow that has been checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fasthep_parsl import registry
from fasthep_parsl.analysis_code.software import software
from fasthep_parsl.compiler.code import Code
from fasthep_parsl.compiler.credentials import Credentials, lifetime_warnings
from fasthep_parsl.compiler.fields import Flow
from fasthep_parsl.compiler.inputs import Inputs, choose_chunk, plan_datasets
from fasthep_parsl.compiler.kinds_of_data import hidden_data
from fasthep_parsl.compiler.lumi_masks import mask_warnings
from fasthep_parsl.compiler.modifiers import Placed, pool_modifiers, unused_modifiers
from fasthep_parsl.compiler.normalisation_warnings import limit_warnings, normalisation_warnings
from fasthep_parsl.compiler.outputs import planned_params
from fasthep_parsl.compiler.routes import Routing
from fasthep_parsl.compiler.segments import columns_at_once, cut_segments, keep_after
from fasthep_parsl.compiler.stages import CheckedStage, package_of
from fasthep_parsl.compiler.styles import left_out, plan_pictures
from fasthep_parsl.compiler.templates import unused_datasets
from fasthep_parsl.compiler.undeclared_files import undeclared_files
from fasthep_parsl.compiler.unread import only_used, with_unread
from fasthep_parsl.compiler.visibility import large_transfers
from fasthep_parsl.compiler.worker_setups import planned_kinds
from fasthep_parsl.plan import (
    Binding,
    Plan,
    PlanDataset,
    PlanPool,
    PlanSegment,
    PlanSource,
    PlanStage,
    PlanTemplates,
    PlanVariation,
)
from fasthep_parsl.plan.parameter_files import merged_files
from fasthep_parsl.sources.server_health import LOCAL, PlaceFault
from fasthep_parsl.workflow.loader import LoadedWorkflow

PASS_FACTOR = 2
"""Adjacent partitions are read in one pass of at most so many default chunks."""


@dataclass(frozen=True)
class CheckedWorkflow:
    """A workflow and what the checks found out about it.

    Attributes
    ----------
    loaded : LoadedWorkflow
        The workflow with the site's layers.
    code : Code
        Its analysis code and data files.
    stages : tuple of CheckedStage
        Its stages, in an order in which they can run.
    routing : Routing
        The pool of each stage.
    modifiers : dict
        Stage → its modifiers, the outermost first.
    inputs : Inputs
        Its input files.
    flow : Flow
        The fields that each stage reads and adds.
    credentials : Credentials
        What this user has of the credentials of the run.
    warnings : tuple of str
        Comparisons and conditions that are never true, and regions that no histogram uses.
    templates : PlanTemplates or None
        Templates for fit tools.
    variations : tuple of PlanVariation
        Systematic variations.
    like : mapping
        Stage that the compiler has added → stage of the workflow with the same pool and modifiers.
    """

    loaded: LoadedWorkflow
    code: Code
    stages: tuple[CheckedStage, ...]
    routing: Routing
    modifiers: dict[str, tuple[Placed, ...]]
    inputs: Inputs
    flow: Flow
    credentials: Credentials
    warnings: tuple[str, ...] = ()
    templates: PlanTemplates | None = None
    variations: tuple[PlanVariation, ...] = ()
    like: Mapping[str, str] = field(default_factory=dict)

    def written(self, item: CheckedStage) -> str:
        """Return the stage of the workflow where a stage runs: a copy runs where the nominal stage runs."""
        return self.like.get(item.stage.id) or item.nominal or item.stage.id


def make_plan(checked: CheckedWorkflow, *, site: str, chunk_size: int | None) -> Plan:
    """Return the plan of a workflow without mistakes.

    Parameters
    ----------
    checked : CheckedWorkflow
        The workflow.
    site : str
        Name of the site.
    chunk_size : int or None
        Most events per partition; None: that of the workflow, else chosen for the workers' memory.
    """
    loaded, execution = checked.loaded, checked.loaded.workflow.execution
    pools_of = {item.stage.id: checked.routing.pool_of[checked.written(item)] for item in checked.stages}
    segments = tuple(cut_segments(checked.stages, pools_of, checked.flow))
    segments = with_unread(segments, checked.stages, pools_of, checked.flow, checked.inputs)
    default = _default_chunk(segments, checked.routing.pools, columns_at_once(segments, checked.stages, checked.flow))
    chunk = chunk_size or execution.chunk_size or default
    datasets = only_used(plan_datasets(checked.inputs, chunk), segments)
    pools, pool_warnings = checked.routing.planned(_most_tasks(segments, datasets))
    environment, credentials = planned_kinds(execution, loaded.path.absolute().parent, checked.credentials.unused)
    return Plan(
        name=loaded.path.stem,
        workflow=str(loaded.path),
        site=site,
        backend=execution.backend.kind,
        strategy=execution.strategy.kind,
        chunk_size=chunk,
        pass_size=max(default * PASS_FACTOR, 1),
        limit=checked.inputs.reach.limit,
        source=_only_used(checked.inputs.source, segments),
        datasets=datasets,
        stages=_plan_stages(checked),
        segments=segments,
        variations=checked.variations,
        templates=checked.templates,
        pictures=plan_pictures(loaded).value,
        apart=_keeps_apart(checked, datasets),
        pools=pools,
        environment=environment,
        credentials=credentials,
        modules=checked.code.modules,
        code=checked.code.files,
        files=checked.code.elsewhere,
        parameter_files=merged_files(file for item in checked.stages for file in item.files),
        software=software({*checked.code.foreign, *_late_packages(checked)}, _packages(checked)),
        warnings=(*_warnings(checked, pool_warnings), *lifetime_warnings(checked.credentials, pools)),
    )


def _keeps_apart(checked: CheckedWorkflow, datasets: Iterable[PlanDataset]) -> bool:
    """Return whether histograms keep datasets apart: results have variations, regions, factors or templates."""
    normalised = any(dataset.normalisation.luminosity for dataset in datasets)
    copied = bool(checked.variations) or any(item.region for item in checked.stages)
    return normalised or copied or checked.templates is not None


def _warnings(checked: CheckedWorkflow, pool_warnings: tuple[str, ...]) -> tuple[str, ...]:
    loaded, inputs, routing = checked.loaded, checked.inputs, checked.routing
    return (
        *(str(warning) for warning in loaded.warnings),
        *checked.code.warnings,
        *pool_warnings,
        *unused_modifiers(loaded, checked.stages, routing.pool_of),
        *checked.warnings,
        *checked.credentials.warnings,
        *undeclared_files(checked.stages, loaded.document, _known_files(checked.code)),
        *large_transfers(checked.stages, loaded.workflow.execution),
        *hidden_data(inputs.datasets),
        *_unread_places(inputs),
        *_empty_datasets(inputs),
        *normalisation_warnings(inputs.datasets, loaded.workflow),
        *limit_warnings(inputs, loaded.workflow),
        *mask_warnings(checked.stages, inputs),
        *_constant_fields(inputs),
        *unused_datasets(checked.templates, inputs.datasets, checked.variations),
        *left_out(loaded),
    )


def _known_files(code: Code) -> set[str]:
    """Return the paths of the files whose content is in the plan because of ``use``."""
    return {file.path or file.name for file in (*code.files, *code.elsewhere)}


def _packages(checked: CheckedWorkflow) -> set[str]:
    """Return the top-level modules that define the installed ops, the modifiers and the source in use."""
    ops = {package_of(item.op.call) for item in checked.stages if not item.module}
    kinds = {placed.planned.kind for found in checked.modifiers.values() for placed in found}
    loaded = {
        registry.load("sources", checked.inputs.source.kind),
        *(registry.load("modifiers", kind) for kind in kinds),
    }
    return {name for name in ops | {package_of(item) for item in loaded} if name}


def _late_packages(checked: CheckedWorkflow) -> set[str]:
    """Return the modules that ops import only when they run."""
    used = [item for item in checked.stages if item.op.packages is not None and item.params is not None]
    return {name for item in used if item.op.packages is not None for name in item.op.packages(item.params)}


def _default_chunk(segments: tuple[PlanSegment, ...], pools: tuple[PlanPool, ...], columns: Mapping[int, int]) -> int:
    """Return the largest partition that suits the memory of all workers; `columns` are those of each segment."""
    memory = {pool.name: pool.memory for pool in pools}
    chunks = [choose_chunk(columns[s.id], memory[s.pool]) for s in segments if s.scope == "partition"]
    return min(chunks, default=choose_chunk(1, min(memory.values())))


def _constant_fields(inputs: Inputs) -> list[str]:
    """Warn of fields that have their default for all events: the branch may be misspelt."""
    source = inputs.source
    return [
        f"field `{field}`: no input file has branch `{source.aliases[field]}`. It is {source.defaults[field].value} for"
        " all events"
        for field in inputs.aliases.constant
    ]


def _unread_places(inputs: Inputs) -> list[str]:
    """Warn of places that could not be read, of files that were read elsewhere: one warning for each server."""
    dead = inputs.source.storage.avoid
    found = [f"{name} does not answer ({why}): it is tried last" for name, why in dead.items()]
    faults: dict[str, list[PlaceFault]] = {}
    for fault in inputs.faults:
        if fault.server not in dead:
            faults.setdefault(fault.server, []).append(fault)
    for server, items in faults.items():
        places = list(dict.fromkeys(item.place for item in items))
        what = f"`{places[0]}`" + (f" and {len(places) - 1} more" if len(places) > 1 else "")
        found.append(f"{what} cannot be read from {server or LOCAL} ({items[0].message}): other places are used")
    return found


def _empty_datasets(inputs: Inputs) -> list[str]:
    empty = [
        dataset.name
        for dataset in inputs.datasets
        if dataset.files and not any(inputs.headers[file].entries for file in dataset.files)
    ]
    if len(empty) == len(inputs.datasets):
        return ["the input files have no events: all results will be empty"]
    return [f"dataset `{name}` has no events" for name in empty]


def _only_used(source: PlanSource, segments: tuple[PlanSegment, ...]) -> PlanSource:
    """Return the source with the aliases and defaults of the columns that are read."""
    used = {column for segment in segments if not segment.input for column in segment.columns}
    aliases = {field: branch for field, branch in source.aliases.items() if field in used}
    defaults = {field: default for field, default in source.defaults.items() if field in used}
    return source.model_copy(update={"aliases": aliases, "defaults": defaults})


def _most_tasks(segments: tuple[PlanSegment, ...], datasets: tuple[PlanDataset, ...]) -> dict[str, int]:
    """Return pool → the most tasks that can run there at once."""
    partitions = sum(file.partitions for dataset in datasets for file in dataset.files)
    most: dict[str, int] = {}
    for segment in segments:
        tasks = partitions if segment.scope == "partition" else 1
        most[segment.pool] = max(most.get(segment.pool, 0), tasks)
    return most


def _plan_stages(checked: CheckedWorkflow) -> tuple[PlanStage, ...]:
    keep = keep_after(checked.stages, checked.flow)
    return tuple(_plan_stage(item, checked, keep[item.stage.id]) for item in checked.stages)


def _plan_stage(item: CheckedStage, checked: CheckedWorkflow, keep: tuple[str, ...]) -> PlanStage:
    stage, flow = item.stage, checked.flow
    written = checked.written(item)
    route = checked.routing.routes[written]
    return PlanStage(
        id=stage.id,
        op=stage.op,
        params=planned_params(item, checked.loaded.document),
        op_hash=item.code,
        module=item.module,
        scope=item.op.scope,
        needs=item.needs,
        input=item.input,
        bind=tuple(Binding(node=b.node, port=b.port, to=b.to) for b in stage.inputs),
        stream=item.op.stream,
        product=item.op.product or "",
        reads=flow.reads[stage.id],
        writes=flow.writes[stage.id],
        keep=keep,
        pool=route.pool,
        why=route.why,
        lacking=route.lacking,
        timeout=stage.execution.timeout,
        modifiers=tuple(placed.planned for placed in _modifiers(item, checked)),
        datasets=item.datasets,
        nominal=item.nominal,
        region=item.region,
        variation=item.variation,
        renames=dict(item.renames),
        outputs=dict(item.outputs),
        weights=item.weights,
    )


def _modifiers(item: CheckedStage, checked: CheckedWorkflow) -> tuple[Placed, ...]:
    """Return the modifiers of a stage; of one that the compiler has added, only those of its pool."""
    written = checked.written(item)
    if item.stage.id in checked.like:
        return pool_modifiers(checked.loaded).value.get(checked.routing.pool_of[written], ())
    return checked.modifiers[written]
