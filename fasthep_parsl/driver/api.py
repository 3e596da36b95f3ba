"""`compile_plan` and `run`: the Python interface, used by the command line too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from fasthep_parsl.compiler import CompileOptions, compile_workflow
from fasthep_parsl.driver import run_directory
from fasthep_parsl.driver.execution import PlanRun
from fasthep_parsl.driver.outcome import RunOutcome, raise_unless_complete
from fasthep_parsl.driver.outputs import check_targets, take_targets
from fasthep_parsl.driver.run_directory import Mode
from fasthep_parsl.errors import ConfigError, Problem
from fasthep_parsl.events import Observer
from fasthep_parsl.plan import Plan
from fasthep_parsl.resources.machine import this_machine
from fasthep_parsl.sites import is_batch, load_site, missing_requirements
from fasthep_parsl.workflow.loader import LoadedWorkflow, load_workflow


def load(
    workflow: str | Path, site: str | Path = "local", overrides: Sequence[str] = (), *, tolerant: bool = False
) -> LoadedWorkflow:
    """Read a workflow with the layers of a site; see `load_workflow`.

    Raises
    ------
    ConfigError
        With every mistake in the files.
    """
    try:
        found = load_site(site)
    except ConfigError as error:  # mistakes in the workflow are shown beside it
        raise ConfigError(*error.problems, *_problems_of(Path(workflow))) from None
    loaded = load_workflow(Path(workflow), layers=found.layers, overrides=overrides, tolerant=tolerant)
    missing = missing_requirements(found, loaded.document)
    if missing and not tolerant:
        raise ConfigError(*missing)
    return replace(loaded, problems=(*loaded.problems, *missing))


def _problems_of(workflow: Path) -> tuple[Problem, ...]:
    try:
        return load_workflow(workflow, tolerant=True).problems
    except ConfigError as error:
        return error.problems


def compile_plan(
    workflow: str | Path,
    site: str | Path = "local",
    *,
    overrides: Sequence[str] = (),
    chunk_size: int | None = None,
    cache: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Plan:
    """Compile a workflow for a site; starts nothing.

    Parameters
    ----------
    workflow : str or Path
        The workflow file.
    site : str or Path
        Name of a site profile, or a file.
    overrides : sequence of str
        Settings ``key=value`` with the highest precedence, e.g. ``execution.pools.default.workers=4``.
    chunk_size : int, optional
        Most events per partition.
    cache : bool
        Whether headers of input files may come from the cache.
    progress : callable, optional
        Called with how many headers of input files are read, and how many there are.

    Returns
    -------
    Plan
        What `run` would execute.

    Raises
    ------
    ConfigError
        With every mistake in the files; a missing or damaged input file too.
    """
    loaded = load(workflow, site, overrides, tolerant=True)  # the compiler adds what it finds, and raises
    machine = None if is_batch(loaded.workflow.execution.strategy.kind) else this_machine()
    options = CompileOptions(str(site), chunk_size, machine, cache, progress)
    return compile_workflow(loaded, options)


def run(
    workflow: str | Path | Plan,
    site: str | Path = "local",
    *,
    outdir: str | Path = "run",
    overrides: Sequence[str] = (),
    chunk_size: int | None = None,
    mode: Mode = "new",
    plots: bool = True,
    observer: Observer | None = None,
    check: bool = True,
) -> RunOutcome:
    """Run a workflow and write its results.

    Parameters
    ----------
    workflow : str, Path or Plan
        The workflow file, or what `compile_plan` made of it.
    site, overrides, chunk_size
        As in `compile_plan`; not used for a plan.
    outdir : str or Path
        The run directory.
    mode : "new", "force" or "resume"
        What to do if `outdir` holds a run: refuse, replace it, or do what is missing.
    plots : bool
        Whether to draw histograms.
    observer : callable, optional
        Called with each event of the run.
    check : bool
        Whether a run that is not complete raises; else look at the outcome's `status`. What worked is written and
        ``run.json`` says what is missing, either way.

    Returns
    -------
    RunOutcome
        Of a complete run; with ``check=False`` also of one that is partial, has failed or was interrupted.

    Raises
    ------
    ConfigError
        Mistakes in the files, or a run directory that cannot be used; nothing was started.
    IncompleteRunError
        Not every event was processed; its `outcome` is what would have been returned.
    KeyboardInterrupt
        The run was interrupted; results of what was complete are written.
    LockLostError
        Another driver has taken over the run directory, because this one gave no sign of life for long.
    """
    plan = (
        workflow
        if isinstance(workflow, Plan)
        else compile_plan(workflow, site, overrides=overrides, chunk_size=chunk_size)
    )
    check_targets(plan, Path(outdir), mode)
    with run_directory.taken(Path(outdir), plan, mode) as directory:
        take_targets(plan, directory.path, mode)
        outcome = PlanRun(plan, directory, plots=plots, observer=observer).execute()
    if check:
        raise_unless_complete(outcome)
    return outcome
