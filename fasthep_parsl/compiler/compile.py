"""`compile_workflow`: everything that can be wrong is found here, before anything starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fasthep_parsl import registry
from fasthep_parsl.analysis_code.software import software
from fasthep_parsl.compiler.code import Code, find_code
from fasthep_parsl.compiler.facts import check_facts
from fasthep_parsl.compiler.fields import Flow
from fasthep_parsl.compiler.grants import open_facility
from fasthep_parsl.compiler.inputs import Inputs, choose_chunk, plan_datasets, plan_source, read_inputs
from fasthep_parsl.compiler.kept import follow_kept_fields
from fasthep_parsl.compiler.kinds_of_data import check_comparisons, hidden_data
from fasthep_parsl.compiler.modifiers import Placed, check_modifier_fields, check_modifiers, unused_modifiers
from fasthep_parsl.compiler.outputs import check_outputs, planned_params
from fasthep_parsl.compiler.routes import Routing, route_stages
from fasthep_parsl.compiler.segments import cut_segments, keep_after
from fasthep_parsl.compiler.stages import CheckedStage, check_stages, load_ops, package_of
from fasthep_parsl.compiler.trial import try_reading
from fasthep_parsl.compiler.visibility import check_visibility
from fasthep_parsl.errors import ConfigError, Problem, suggest
from fasthep_parsl.plan import (
    Binding,
    Plan,
    PlanCredential,
    PlanEnvironment,
    PlanPool,
    PlanSegment,
    PlanSource,
    PlanStage,
)
from fasthep_parsl.resources.machine import Machine
from fasthep_parsl.workflow.loader import LoadedWorkflow
from fasthep_parsl.workflow.yamldoc import Document, KeyPath, problem

PASS_FACTOR = 2
"""Adjacent partitions are read in one pass up to so many times the default chunk."""


@dataclass(frozen=True)
class CompileOptions:
    """What the command line adds to a workflow.

    Attributes
    ----------
    site : str
        Name of the site, for the plan.
    chunk_size : int or None
        Most events per partition.
    machine : Machine or None
        What pools are clamped to (strategy ``local``).
    cache : bool
        Whether headers of input files may come from the cache.
    progress : callable or None
        Called with how many headers are read, and how many there are.
    """

    site: str = "local"
    chunk_size: int | None = None
    machine: Machine | None = None
    cache: bool = True
    progress: Callable[[int, int], None] | None = None


def compile_workflow(loaded: LoadedWorkflow, options: CompileOptions) -> Plan:
    """Return the plan of a workflow on a site. Starts nothing.

    Raises
    ------
    ConfigError
        With every mistake, each with its place.
    """
    problems: list[Problem] = list(loaded.problems)
    code, stages, ordered = _stages(loaded, problems)
    facility, found = open_facility(loaded, options.machine)
    problems += not_asked_for(found, loaded.problems)
    problems += _check_kinds(loaded)
    routing, found = route_stages(facility, stages)
    problems += [] if loaded.problems else found  # a pool may be missing because of them
    pools = {stage: answer.pool for stage, answer in routing.routes.items()}
    modifiers, found = check_modifiers(loaded, stages, pools, routing.pools)
    problems += found
    source = plan_source(loaded)
    inputs, found = read_inputs(loaded, source, cache=options.cache, progress=options.progress)
    problems += found
    flow = Flow()
    if inputs.schema:  # without a readable file nothing can be said of fields
        flow, found = follow_kept_fields(stages, inputs, loaded.document, ordered=ordered)
        problems += found
        problems += check_modifier_fields(modifiers, stages, pools, flow, inputs, loaded.document) if ordered else []
    problems += check_facts(stages, inputs.datasets, loaded.document)
    problems += check_comparisons(stages, inputs.datasets, loaded.document)[0]
    problems += check_visibility(loaded, stages, inputs.datasets)
    if source and not problems:
        source = source.model_copy(update={"defaults": inputs.aliases.defaults})
        read = {name for names in flow.reads.values() for name in names if name in inputs.schema}
        problems += try_reading(inputs, source, read, loaded.document)
    if problems or source is None:
        raise ConfigError(*_in_order(problems))
    plan = _plan(loaded, options, code, stages, routing, modifiers, source, inputs, flow)
    problems = check_outputs(plan, stages, loaded.document)
    if problems:
        raise ConfigError(*_in_order(problems))
    return plan


def _stages(loaded: LoadedWorkflow, problems: list[Problem]) -> tuple[Code, list[CheckedStage], bool]:
    code, missing = find_code(loaded)
    table, broken = load_ops(loaded, code.modules)
    # ops of a module that cannot be had would all be unknown: say only what is wrong with the module
    stages, found, ordered = check_stages(loaded, table, complete=not (missing or broken))
    problems += [*missing, *broken, *found]
    return code, stages, ordered


def _check_kinds(loaded: LoadedWorkflow) -> list[Problem]:
    execution = loaded.workflow.execution
    wanted: list[tuple[str, str, str, KeyPath]] = [
        ("backend", "backends", execution.backend.kind, ("execution", "backend"))
    ]
    if execution.environment is not None:
        wanted.append(("environment", "environments", execution.environment.kind, ("execution", "environment")))
    for number, credential in enumerate(execution.credentials):
        wanted.append(("credential", "credentials", credential.kind, ("execution", "credentials", number)))
    return [
        problem(
            loaded.document, path, "E110", f"unknown {what} `{name}`", suggest(name, registry.names(group), what=group)
        )
        for what, group, name, path in wanted
        if name not in registry.names(group)
    ]


def not_asked_for(problems: list[Problem], before: tuple[Problem, ...]) -> list[Problem]:
    """Drop what the site has asked for already, with its help text: a field of the strategy that is missing."""
    asked = {item.key for item in before if item.code == "E146"}

    def field(item: Problem) -> str:
        return f"{item.key}.{item.message.split('`')[1]}" if item.code == "E104" else item.key

    return [item for item in problems if field(item) not in asked]


def _in_order(problems: list[Problem]) -> list[Problem]:
    """Sort by place in the file, those without one last; drop repetitions."""
    unique = list(dict.fromkeys(problems))
    return sorted(
        unique, key=lambda p: (p.where is None, p.where.file if p.where else "", p.where.line if p.where else 0)
    )


def _plan(
    loaded: LoadedWorkflow,
    options: CompileOptions,
    code: Code,
    stages: list[CheckedStage],
    routing: Routing,
    modifiers: dict[str, tuple[Placed, ...]],
    source: PlanSource,
    inputs: Inputs,
    flow: Flow,
) -> Plan:
    pools = {stage: answer.pool for stage, answer in routing.routes.items()}
    segments = cut_segments(stages, pools, flow)
    chunk = options.chunk_size or loaded.workflow.execution.chunk_size or _default_chunk(segments, routing.pools)
    datasets = plan_datasets(inputs, chunk)
    keep = keep_after(stages, flow)
    partitions = sum(file.partitions for dataset in datasets for file in dataset.files)
    planned, said = routing.planned(_most_tasks(segments, partitions))
    kind = loaded.workflow.execution.environment
    return Plan(
        name=loaded.path.stem,
        workflow=str(loaded.path),
        site=options.site,
        backend=loaded.workflow.execution.backend.kind,
        strategy=loaded.workflow.execution.strategy.kind,
        chunk_size=chunk,
        pass_size=max(_default_chunk(segments, routing.pools) * PASS_FACTOR, 1),
        source=_only_used(source, segments),
        datasets=datasets,
        stages=tuple(_plan_stage(item, loaded.document, routing, modifiers, flow, keep) for item in stages),
        segments=tuple(segments),
        pools=planned,
        environment=None if kind is None else PlanEnvironment(kind=kind.kind, params=kind.params),
        credentials=tuple(PlanCredential(kind=c.kind, params=c.params) for c in loaded.workflow.execution.credentials),
        modules=code.modules,
        files=code.files,
        software=software(code.modules, _packages(stages, modifiers, source)),
        warnings=(
            *(str(warning) for warning in loaded.warnings),
            *said,
            *unused_modifiers(loaded, stages, pools),
            *check_comparisons(stages, inputs.datasets, loaded.document)[1],
            *hidden_data(inputs.datasets),
            *_empty_datasets(inputs),
            *_constant_fields(source, inputs),
        ),
    )


def _packages(stages: list[CheckedStage], modifiers: dict[str, tuple[Placed, ...]], source: PlanSource) -> set[str]:
    """Return the top-level modules of installed ops, of modifiers and of the source."""
    ops = {package_of(item.op.call) for item in stages if not item.module}
    kinds = {placed.planned.kind for found in modifiers.values() for placed in found}
    loaded = {registry.load("modifiers", kind) for kind in kinds} | {registry.load("sources", source.kind)}
    return {name for name in ops | {package_of(item) for item in loaded} if name}


def _default_chunk(segments: list[PlanSegment], pools: tuple[PlanPool, ...]) -> int:
    memory = {pool.name: pool.memory for pool in pools}
    return (
        min(choose_chunk(len(s.columns), memory[s.pool]) for s in segments if s.scope == "partition")
        if any(s.scope == "partition" for s in segments)
        else choose_chunk(1, min(memory.values()))
    )


def _constant_fields(source: PlanSource, inputs: Inputs) -> list[str]:
    """Warn of fields that have their default everywhere: the branch may be misspelt."""
    return [
        f"field `{field}`: no input file has branch `{source.aliases[field]}`; it is {source.defaults[field].value} for"
        " all events"
        for field in inputs.aliases.constant
    ]


def _only_used(source: PlanSource, segments: list[PlanSegment]) -> PlanSource:
    used = {column for segment in segments if not segment.input for column in segment.columns}
    aliases = {field: branch for field, branch in source.aliases.items() if field in used}
    defaults = {field: default for field, default in source.defaults.items() if field in used}
    return source.model_copy(update={"aliases": aliases, "defaults": defaults})


def _plan_stage(
    item: CheckedStage,
    document: Document,
    routing: Routing,
    modifiers: dict[str, tuple[Placed, ...]],
    flow: Flow,
    keep: dict[str, tuple[str, ...]],
) -> PlanStage:
    stage = item.stage
    answer = routing.routes[stage.id]
    return PlanStage(
        id=stage.id,
        op=stage.op,
        params=planned_params(item, document),
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
        keep=keep[stage.id],
        pool=answer.pool,
        why=answer.why,
        timeout=stage.execution.timeout,
        modifiers=tuple(item.planned for item in modifiers[stage.id]),
    )


def _most_tasks(segments: list[PlanSegment], partitions: int) -> dict[str, int]:
    """Return pool → the most tasks that it can have at once."""
    most: dict[str, int] = {}
    for segment in segments:
        tasks = partitions if segment.scope == "partition" else 1
        most[segment.pool] = max(most.get(segment.pool, 0), tasks)
    return most


def _empty_datasets(inputs: Inputs) -> list[str]:
    empty = [
        dataset.name
        for dataset in inputs.datasets
        if dataset.files and not any(inputs.headers[file].entries for file in dataset.files)
    ]
    if len(empty) == len(inputs.datasets):
        return ["no input file has any event: all results will be empty"]
    return [f"dataset `{name}` has no events" for name in empty]
