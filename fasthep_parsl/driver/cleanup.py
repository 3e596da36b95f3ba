"""Clean up after a run: remove the jobs that it has left, because its driver was killed or the batch system failed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from fasthep_parsl.atomic import close_drafts
from fasthep_parsl.blocks.block_folder import sweep
from fasthep_parsl.blocks.job_control import job_control
from fasthep_parsl.blocks.job_tally import JobTally, OpenJob
from fasthep_parsl.driver.driver_process import DriverProcess, is_alive
from fasthep_parsl.driver.lock import DriverLock
from fasthep_parsl.driver.lock_files import holders
from fasthep_parsl.driver.run_directory import MARKER
from fasthep_parsl.driver.worker_setups import clear_setups
from fasthep_parsl.errors import ConfigError, Problem
from fasthep_parsl.events import BlockChanged, EventLog, RunEnded, RunStarted, read_events
from fasthep_parsl.plan import Plan, PlanPool


@dataclass(frozen=True, slots=True)
class JobCleanup:
    """What cleanup did with a job.

    Attributes
    ----------
    job : OpenJob
        The job.
    state : str
        ``ended`` (before the cleanup), ``removed``, or ``left``.
    message : str
        Where the job was, or why it could not be removed.
    """

    job: OpenJob
    state: Literal["ended", "removed", "left"]
    message: str = ""


def clean_up(run_dir: Path, *, force: bool = False) -> list[JobCleanup]:
    """Remove the remaining jobs of a run, and record that in its events. Remove its drafts and secrets.

    Processes on this machine need no cleanup: they end with their driver.

    Parameters
    ----------
    run_dir : Path
        The run directory.
    force : bool
        Whether to continue if the driver ran on another machine, so that its state is unknown.

    Raises
    ------
    ConfigError
        The folder is not a run directory, its driver still runs, or it cannot be written.
    """
    plan, events = _read(run_dir)
    before = holders(run_dir)
    try:
        with DriverLock(run_dir, "cleanup"):  # refuses if a driver runs
            return _clean_up(run_dir, plan, events, known_dead=bool(before), force=force)
    except OSError as error:
        message = f"{run_dir} cannot be written: {error.strerror}"
        raise ConfigError(Problem("E161", message, hint="run this as the user who started the run")) from None


def _clean_up(run_dir: Path, plan: Plan, events: Path, *, known_dead: bool, force: bool) -> list[JobCleanup]:
    tally = JobTally()
    driver: DriverProcess | None = None
    ended = False
    for event in read_events(events):
        tally(event)
        if isinstance(event, RunStarted):
            driver, ended = _driver_of(event), False
        ended = ended or isinstance(event, RunEnded)
    if driver is not None and not ended and not known_dead:
        _refuse_if_alive(run_dir, is_alive(driver), driver.host, force=force)
    close_drafts(run_dir)
    sweep()
    jobs: defaultdict[str, list[OpenJob]] = defaultdict(list)
    for job in tally.open_jobs():
        jobs[job.pool].append(job)
    results = [result for name, own in jobs.items() for result in _remove(plan.pool(name), own)]
    clear_setups(run_dir)
    with EventLog(events) as record:
        for result in results:
            job = result.job
            message = "by cleanup" if result.state == "removed" else result.message
            record(BlockChanged(pool=job.pool, state=result.state, block=job.block, job=job.job, message=message))
    return results


def _driver_of(event: RunStarted) -> DriverProcess:
    return DriverProcess(event.host, event.pid, event.since, event.ticks, event.boot, event.container)


def _read(run_dir: Path) -> tuple[Plan, Path]:
    """Return the plan of a run and the path of its events."""
    events = run_dir / "events.jsonl"
    try:
        plan = Plan.model_validate_json((run_dir / MARKER).read_bytes())
    except (OSError, ValidationError):
        plan = None
    if plan is None or not events.is_file():
        raise ConfigError(
            Problem("E164", f"{run_dir} is not a run directory", hint="give the folder of `run --outdir`")
        )
    return plan, events


def _refuse_if_alive(run_dir: Path, alive: bool | None, host: str, *, force: bool) -> None:
    if alive:
        hint = "stop it first (Ctrl-C or SIGTERM); it then removes its jobs"
        raise ConfigError(Problem("E164", f"the run in {run_dir} still runs", hint=hint))
    if alive is None and not force:
        message = f"the run in {run_dir} was started on {host}; this machine cannot check whether it still runs"
        raise ConfigError(Problem("E164", message, hint=f"run this on {host}, or give --force if the run has ended"))


def _remove(pool: PlanPool, jobs: Sequence[OpenJob]) -> list[JobCleanup]:
    ids = [job.job for job in jobs]
    control = job_control(pool)
    there, message = control.existing(ids)
    if there is None:
        return [JobCleanup(job, "left", message) for job in jobs]
    result = control.cancel([job for job in ids if job in there])
    results = []
    for job in jobs:
        found = there.get(job.job)
        if found is None:
            results.append(JobCleanup(job, "ended"))
        elif not result.ok:
            results.append(JobCleanup(job, "left", result.message))
        else:
            place = f"{found.state} on {found.node}" if found.node else found.state
            results.append(JobCleanup(job, "removed", place))
    return results
