"""Python interface: `compile_plan` and `run`. The command line uses it too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fasthep_parsl.analysis_code.modules import activate, session_kept
from fasthep_parsl.compiler import CompileOptions, check_limit, compile_workflow, inspect_credentials
from fasthep_parsl.driver import run_directory
from fasthep_parsl.driver.credential_variables import credential_variables
from fasthep_parsl.driver.display_choice import open_display
from fasthep_parsl.driver.execution import PlanRun
from fasthep_parsl.driver.outcome import RunOutcome, raise_unless_complete
from fasthep_parsl.driver.outputs import check_targets, take_targets
from fasthep_parsl.driver.run_directory import Mode
from fasthep_parsl.errors import ConfigError, Problem
from fasthep_parsl.events import Event, Observer
from fasthep_parsl.names import harmful
from fasthep_parsl.plan import Plan
from fasthep_parsl.resources.machine import this_machine
from fasthep_parsl.setup_folder import SetupProgress
from fasthep_parsl.sites import is_batch, load_site, missing_requirements
from fasthep_parsl.workflow.loader import LoadedWorkflow, load_workflow


def load(
    workflow: str | Path, site: str | Path = "local", overrides: Sequence[str] = (), *, tolerant: bool = False
) -> LoadedWorkflow:
    """Read a workflow with the layers of a site; see `load_workflow`.

    Raises
    ------
    ConfigError
        With all mistakes in the files.
    """
    try:
        found = load_site(site)
    except ConfigError as error:  # report the mistakes in the workflow too
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
    limit: int | None = None,
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
        Maximum number of events per partition.
    limit : int, optional
        Only so many events of each dataset, the first ones in the order of its files; default: all. Files behind them
        are not opened. Every result says so.
    cache : bool
        Whether to use cached headers of input files.
    progress : callable, optional
        Called with the number of headers that are read, and the number of input files.

    Returns
    -------
    Plan
        The plan that `run` executes.

    Raises
    ------
    ConfigError
        With all mistakes in the files, including missing or damaged input files.
    CredentialError
        A credential that the run needs is missing, or does not suffice. No input file was opened.
    """
    check_limit(limit)
    loaded = load(workflow, site, overrides, tolerant=True)  # the compiler adds its own problems, and raises
    machine = None if is_batch(loaded.workflow.execution.strategy.kind) else this_machine()
    credentials = inspect_credentials(loaded)
    options = CompileOptions(str(site), chunk_size, machine, cache, progress, credentials, limit)
    with credential_variables(credentials.used):
        plan = compile_workflow(loaded, options)
    folder = str(Path.cwd())
    given = {
        "arguments": arguments_of(str(site), overrides, chunk_size, limit),
        "folder": "" if harmful(folder) else folder,  # a plan is UTF-8
    }
    return plan.model_copy(update=given)


def arguments_of(
    site: str, overrides: Sequence[str], chunk_size: int | None, limit: int | None = None
) -> tuple[str, ...]:
    """Return the options of the command line that give the same plan."""
    found = [] if site == "local" else ["--site", site]
    found += [part for setting in overrides for part in ("--set", setting)]
    found += [] if limit is None else ["--limit", str(limit)]
    return (*found, *([] if chunk_size is None else ["--chunk-size", str(chunk_size)]))


def run(
    workflow: str | Path | Plan,
    site: str | Path = "local",
    *,
    outdir: str | Path = "run",
    overrides: Sequence[str] = (),
    chunk_size: int | None = None,
    limit: int | None = None,
    mode: Mode = "new",
    plots: bool = True,
    observer: Observer | None = None,
    preparing: SetupProgress | None = None,
    progress: bool | None = None,
    check: bool = True,
) -> RunOutcome:
    """Run a workflow and write its results.

    Parameters
    ----------
    workflow : str, Path or Plan
        The workflow file, or a plan of `compile_plan`.
    site, overrides, chunk_size, limit
        As in `compile_plan`; not used for a plan, which has its own.
    outdir : str or Path
        The run directory.
    mode : "new", "force" or "resume"
        What to do if `outdir` contains a run: refuse, replace it, or process what is missing.
    plots : bool
        Whether to draw histograms.
    observer : callable, optional
        Called with each event of the run (see `fasthep_parsl.events`), from any thread.
    preparing : callable, optional
        Called with a text, the finished part and the whole while the software of workers is prepared, which can take
        minutes; with an empty text when it is ready.
    progress : bool, optional
        Whether to show progress: in the output of the cell in a notebook, as lines on stderr elsewhere. Default: in
        notebooks, if there is no `observer`.
    check : bool
        Whether a run that is not complete raises an exception. If False, check the `status` of the outcome. In both
        cases results are written, and ``run.json`` lists what is missing.

    Returns
    -------
    RunOutcome
        Outcome of a complete run; with ``check=False`` of any run.

    Raises
    ------
    ConfigError
        There are mistakes in the files, or the run directory cannot be used. Nothing was started.
    IncompleteRunError
        Not all events were processed. The attribute `outcome` has the outcome.
    KeyboardInterrupt
        The run was interrupted. Results of complete stages are written.
    LockLostError
        Another driver has taken over the run directory, because this one was stopped for too long.
    """
    if isinstance(workflow, Plan) and limit not in (None, workflow.limit):
        raise ConfigError(Problem("E106", "a plan has its own limit", hint="give `limit` to `compile_plan`"))
    with open_display(progress, observed=observer is not None) as display:
        if isinstance(workflow, Plan):
            plan = workflow
        else:
            options: dict[str, Any] = {"overrides": overrides, "chunk_size": chunk_size, "limit": limit}
            plan = compile_plan(workflow, site, progress=display.headers, **options)
        check_targets(plan, Path(outdir), mode)
        with run_directory.taken(Path(outdir), plan, mode) as directory:
            take_targets(plan, directory.path, mode)
            observe = _each(observer, display.follow(plan))
            with session_kept():
                activate(plan.code, directory.path / "code")  # products may be objects of its classes
                facts: dict[str, Any] = {"observer": observe, "preparing": preparing or display.preparing}
                outcome = PlanRun(plan, directory, plots=plots, **facts).execute()
        display.end(outcome)
    if check:
        raise_unless_complete(outcome)
    return outcome


def _each(*observers: Observer | None) -> Observer | None:
    """Return what calls all of these observers."""
    found = [observer for observer in observers if observer is not None]

    def observe(event: Event) -> None:
        for observer in found:
            observer(event)

    return observe if found else None
