"""Compile a workflow for a site into a `Plan`. Find every mistake first; start nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from fasthep_parsl import registry
from fasthep_parsl.analysis_code.modules import OpTable, session_kept
from fasthep_parsl.compiler.applicability import find_conditions, told_apart, with_narrow_selections
from fasthep_parsl.compiler.assembly import CheckedWorkflow, make_plan
from fasthep_parsl.compiler.classes import follow_classes
from fasthep_parsl.compiler.code import Code, find_code
from fasthep_parsl.compiler.copy_names import long_ids
from fasthep_parsl.compiler.credentials import Credentials, inspect_credentials
from fasthep_parsl.compiler.facts import check_facts
from fasthep_parsl.compiler.followers import without_followers, without_lost_regions
from fasthep_parsl.compiler.grants import open_facility
from fasthep_parsl.compiler.inputs import read_inputs
from fasthep_parsl.compiler.kinds_of_data import check_comparisons
from fasthep_parsl.compiler.lumi_masks import check_lumi_masks
from fasthep_parsl.compiler.modifiers import check_modifier_fields, check_modifiers
from fasthep_parsl.compiler.normalisation import placed_sums, with_sums
from fasthep_parsl.compiler.outputs import check_outputs
from fasthep_parsl.compiler.regions import expand_regions, named_like_variations, with_selections
from fasthep_parsl.compiler.routes import route_stages
from fasthep_parsl.compiler.stages import Stages, check_stages, load_ops
from fasthep_parsl.compiler.styles import plan_pictures
from fasthep_parsl.compiler.templates import plan_templates
from fasthep_parsl.compiler.trial import try_reading
from fasthep_parsl.compiler.unread import reads_of
from fasthep_parsl.compiler.variation_expansion import expand_variations
from fasthep_parsl.compiler.variation_sources import unknown_names
from fasthep_parsl.compiler.visibility import check_visibility
from fasthep_parsl.compiler.worker_setups import environment_problems
from fasthep_parsl.errors import Checked, ConfigError, CredentialError, Problem, suggest
from fasthep_parsl.plan import Plan
from fasthep_parsl.resources.machine import Machine
from fasthep_parsl.workflow.datasets import facts_of
from fasthep_parsl.workflow.loader import LoadedWorkflow
from fasthep_parsl.workflow.yamldoc import KeyPath, problem


@dataclass(frozen=True)
class CompileOptions:
    """Settings of the command line, in addition to the workflow.

    Attributes
    ----------
    site : str
        Name of the site, for the plan.
    chunk_size : int or None
        Most events per partition; None: chosen for the workers' memory.
    machine : Machine or None
        Machine that the pools must fit into, for workers on this machine.
    cache : bool
        Whether to use the cache of file headers.
    progress : callable or None
        Called with the number of headers read and the number of all headers.
    credentials : Credentials or None
        Credentials that were inspected already; None: inspect them.
    limit : int or None
        Events of each dataset, the first ones; None: all.
    """

    site: str = "local"
    chunk_size: int | None = None
    machine: Machine | None = None
    cache: bool = True
    progress: Callable[[int, int], None] | None = None
    credentials: Credentials | None = None
    limit: int | None = None


def compile_workflow(loaded: LoadedWorkflow, options: CompileOptions) -> Plan:
    """Return the plan of a workflow on a site. Start nothing.

    Raises
    ------
    ConfigError
        With every mistake, each with its place.
    CredentialError
        A credential that the run needs is missing, or does not suffice. No file has been opened.
    """
    if options.credentials is None:
        options = replace(options, credentials=inspect_credentials(loaded))
    refuse_credentials(loaded, options.credentials)
    with session_kept():
        checked = check_workflow(loaded, options)
        if checked.problems:  # what no dataset has may be their cause
            _refuse((*checked.problems, *unknown_names(loaded, checked.value.inputs.datasets)))
        _refuse(_try_reading(checked.value))
        plan = make_plan(checked.value, site=options.site, chunk_size=options.chunk_size)
        _refuse(check_outputs(plan, checked.value.stages, loaded.document))
    return plan


def check_workflow(loaded: LoadedWorkflow, options: CompileOptions) -> Checked[CheckedWorkflow]:
    """Return a workflow with everything that a plan needs, and every mistake in it."""
    code = find_code(loaded)
    table = load_ops(loaded, code.value)
    written = _stages(loaded, code, table)
    conditions = find_conditions(loaded, written.value)
    stages = Checked(conditions.value.stages, (*written.problems, *conditions.problems))
    credentials = options.credentials or inspect_credentials(loaded)
    facility = open_facility(loaded, options.machine, loaded.problems, credentials.unused)
    routing = route_stages(facility.value, stages.value.items)
    modifiers = check_modifiers(loaded, stages.value.items, routing.value)
    regions = expand_regions(loaded, stages.value, table.value)
    running = with_narrow_selections(regions.value.stages)
    pools, wrapped = with_selections(regions.value, loaded, routing.value, modifiers.value)
    apart = told_apart(running.items, facts_of(loaded.workflow))
    inputs = read_inputs(loaded, apart=apart, cache=options.cache, progress=options.progress, limit=options.limit)
    flow = follow_classes(running, inputs.value, loaded.document)
    templates = plan_templates(loaded, running.items, inputs.value.datasets, None)
    comparisons = check_comparisons(running.items, inputs.value.datasets, loaded.document)
    workflow = CheckedWorkflow(
        loaded,
        code.value,
        running.items,
        pools,
        wrapped,
        inputs.value,
        flow.value,
        credentials,
        (*comparisons.value, *conditions.value.warnings, *regions.value.warnings),
    )
    problems = (
        *loaded.problems,
        *code.problems,
        *stages.problems,
        *facility.problems,
        *unknown_kinds(loaded),
        *environment_problems(loaded),
        *(() if loaded.problems else routing.problems),  # a pool may be missing because of them
        *modifiers.problems,
        *regions.problems,
        *without_followers(inputs.problems, loaded.problems),
        *without_lost_regions(templates.problems, (*stages.problems, *regions.problems)),
        *placed_sums(flow.problems, loaded.workflow, loaded.document),
        *(_modifier_fields(workflow) if stages.value.ordered else ()),
        *check_facts(workflow.stages, workflow.inputs.datasets, loaded.document),
        *comparisons.problems,
        *plan_pictures(loaded).problems,
        *check_lumi_masks(running.items, inputs.value, loaded.document),
        *check_visibility(loaded, workflow.stages, workflow.inputs.datasets, workflow.inputs.source),
    )
    return Checked(workflow, problems) if problems else _varied(workflow, table.value)


def _varied(workflow: CheckedWorkflow, table: OpTable) -> Checked[CheckedWorkflow]:
    """Return a workflow without mistakes with the copies of stages that its variations need, and its templates."""
    varied = expand_variations(workflow.loaded, workflow.stages, workflow.flow, workflow.inputs, table)
    found = varied.value
    templates = plan_templates(workflow.loaded, found.stages, workflow.inputs.datasets, found.variations)
    changed = replace(
        workflow,
        stages=found.stages,
        flow=found.flow,
        variations=found.variations,
        like=found.like,
        warnings=(*workflow.warnings, *found.warnings),
        templates=templates.value,
    )
    named = named_like_variations(workflow.loaded, found.variations)
    long = long_ids(found.stages, workflow.loaded.document)
    return Checked(changed, (*varied.problems, *named, *long, *templates.problems))


def refuse_credentials(loaded: LoadedWorkflow, credentials: Credentials | None) -> None:
    """Refuse a workflow without the credentials that it needs, together with the mistakes in its file.

    Raises
    ------
    ConfigError
        There are mistakes in the file, too.
    CredentialError
        A credential is missing, or does not suffice.
    """
    if credentials is None or not credentials.problems:
        return
    if loaded.problems:
        _refuse((*loaded.problems, *credentials.problems))
    raise CredentialError(*credentials.problems)


def _stages(loaded: LoadedWorkflow, code: Checked[Code], ops: Checked[OpTable]) -> Checked[Stages]:
    """Return the stages. If analysis code cannot be imported, do not report its ops as unknown too."""
    stages = check_stages(loaded, ops.value, complete=not (code.problems or ops.problems))
    return Checked(with_sums(stages.value, loaded), (*ops.problems, *stages.problems))


def _modifier_fields(checked: CheckedWorkflow) -> list[Problem]:
    pools, document = checked.routing.pool_of, checked.loaded.document
    return check_modifier_fields(checked.modifiers, checked.stages, pools, checked.flow, checked.inputs, document)


def _try_reading(checked: CheckedWorkflow) -> list[Problem]:
    inputs = checked.inputs
    return [
        found
        for files in inputs.classes
        for found in try_reading(
            inputs.of(files), reads_of(files, checked.stages, checked.flow), checked.loaded.document
        )
    ]


def unknown_kinds(loaded: LoadedWorkflow) -> list[Problem]:
    """Return a problem for each backend, environment and credential that is not installed."""
    execution = loaded.workflow.execution
    wanted: list[tuple[str, str, KeyPath]] = [("backends", execution.backend.kind, ("execution", "backend"))]
    if execution.environment is not None:
        wanted.append(("environments", execution.environment.kind, ("execution", "environment")))
    for number, credential in enumerate(execution.credentials):
        wanted.append(("credentials", credential.kind, ("execution", "credentials", number)))
    found = []
    for group, name, path in wanted:
        if name not in registry.names(group):
            hint = suggest(name, registry.names(group), what=group)
            message = f"unknown {registry.SINGULAR[group]} `{name}`"
            found.append(problem(loaded.document, path, "E110", message, hint, name=name))
    return found


def _refuse(problems: Iterable[Problem]) -> None:
    """Raise `problems`, if any: sorted by place in the file, those without a place last, each once."""
    found = sorted(
        dict.fromkeys(problems),
        key=lambda p: (p.where is None, p.where.file if p.where else "", p.where.line if p.where else 0),
    )
    if found:
        raise ConfigError(*found)
