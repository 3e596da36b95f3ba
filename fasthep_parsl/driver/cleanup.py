"""Remove jobs that a run has left in the queue: its driver was killed, or the batch system did not answer at its end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from fasthep_parsl.atomic import close_drafts
from fasthep_parsl.blocks.block_folder import sweep
from fasthep_parsl.blocks.job_control import job_control
from fasthep_parsl.driver.driver_process import is_alive
from fasthep_parsl.driver.job_tally import JobTally, OpenJob
from fasthep_parsl.driver.lock import DriverLock
from fasthep_parsl.driver.lock_files import holders
from fasthep_parsl.driver.run_directory import MARKER
from fasthep_parsl.driver.worker_setups import remove_secrets
from fasthep_parsl.errors import ConfigError, Problem
from fasthep_parsl.events import BlockChanged, EventLog, RunEnded, RunStarted, read_events
from fasthep_parsl.plan import Plan, PlanPool


@dataclass(frozen=True, slots=True)
class Fate:
    """What has become of a job.

    Attributes
    ----------
    job : OpenJob
        The job.
    state : str
        ``ended`` (it was gone already), ``removed``, or ``left``.
    words : str
        What the batch system says: where the job was, or why it could not be removed.
    """

    job: OpenJob
    state: Literal["ended", "removed", "left"]
    words: str = ""


def clean_up(run_dir: Path, *, force: bool = False) -> list[Fate]:
    """Remove the jobs of a run that are still there, and note that in its events; remove files that it was writing.

    Processes of this machine need no cleaning up: they end with their driver.

    Parameters
    ----------
    run_dir : Path
        The run directory.
    force : bool
        Whether to go on if it cannot be seen whether the driver still runs, because that was on another machine.

    Raises
    ------
    ConfigError
        It is no run directory, its driver is still alive, or it cannot be written.
    """
    plan, events = _read(run_dir)
    before = holders(run_dir)
    try:
        with DriverLock(run_dir, "cleanup"):  # refuses if a driver lives
            return _clean_up(run_dir, plan, events, known_dead=bool(before), force=force)
    except OSError as error:
        message = f"{run_dir} cannot be written: {error.strerror}"
        raise ConfigError(Problem("E161", message, hint="do this as the user who started the run")) from None


def _clean_up(run_dir: Path, plan: Plan, events: Path, *, known_dead: bool, force: bool) -> list[Fate]:
    tally = JobTally()
    driver: dict[str, Any] = {}
    ended = False
    for event in read_events(events):
        tally(event)
        if isinstance(event, RunStarted):
            driver, ended = event.driver, False
        ended = ended or isinstance(event, RunEnded)
    if not ended and not known_dead:
        _refuse_if_alive(run_dir, is_alive(driver) if driver else False, driver.get("host", ""), force=force)
    close_drafts(run_dir)
    sweep()
    jobs: defaultdict[str, list[OpenJob]] = defaultdict(list)
    for job in tally.open_jobs():
        jobs[job.pool].append(job)
    fates = [fate for name, mine in jobs.items() for fate in _remove(plan.pool(name), mine)]
    remove_secrets(run_dir)
    with EventLog(events) as record:
        for fate in fates:
            job = fate.job
            message = "by cleanup" if fate.state == "removed" else fate.words
            record(BlockChanged(pool=job.pool, state=fate.state, block=job.block, job=job.job, message=message))
    return fates


def _read(run_dir: Path) -> tuple[Plan, Path]:
    """Return the plan of a run and the file of its events."""
    events = run_dir / "events.jsonl"
    try:
        plan = Plan.model_validate_json((run_dir / MARKER).read_bytes())
    except (OSError, ValidationError):
        plan = None
    if plan is None or not events.is_file():
        raise ConfigError(Problem("E164", f"{run_dir} holds no run", hint="give the folder that `run --outdir` named"))
    return plan, events


def _refuse_if_alive(run_dir: Path, alive: bool | None, host: str, *, force: bool) -> None:
    if alive:
        hint = "stop it first (Ctrl-C, or SIGTERM): it removes its jobs itself"
        raise ConfigError(Problem("E164", f"the run in {run_dir} is still going on", hint=hint))
    if alive is None and not force:
        message = f"the run in {run_dir} was started on {host}: whether it still goes on cannot be seen from here"
        raise ConfigError(
            Problem("E164", message, hint=f"do this on {host}, or give --force if you know that it ended")
        )


def _remove(pool: PlanPool, jobs: Sequence[OpenJob]) -> list[Fate]:
    ids = [job.job for job in jobs]
    control = job_control(pool)
    there, message = control.existing(ids)
    if there is None:
        return [Fate(job, "left", message) for job in jobs]
    result = control.cancel([job for job in ids if job in there])
    fates = []
    for job in jobs:
        found = there.get(job.job)
        if found is None:
            fates.append(Fate(job, "ended"))
        elif not result.ok:
            fates.append(Fate(job, "left", result.message))
        else:
            place = f"{found.state} on {found.node}" if found.node else found.state
            fates.append(Fate(job, "removed", place))
    return fates
