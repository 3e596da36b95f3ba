"""Read a run directory into a `Report`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fasthep_parsl.errors import ConfigError, Problem
from fasthep_parsl.plan import Plan
from fasthep_parsl.report.memory_use import memory_rows
from fasthep_parsl.report.models import Report
from fasthep_parsl.report.provenance import physics_of, provenance_of
from fasthep_parsl.report.result_files import results_of
from fasthep_parsl.report.run_log import RunLog, read_log
from fasthep_parsl.report.times import block_rows, time_use
from fasthep_parsl.report.verdict import dataset_rows, verdict_of

MAX_DATASETS, MAX_WARNINGS = 200, 40
_NEEDED = ("status", "error", "events", "seconds", "blocked", "warnings")
"""Keys of ``run.json`` without which it says nothing."""


def read_report(run_dir: Path, *, alive: bool | None = None, embed: bool = False, plan: Plan | None = None) -> Report:
    """Return what a run directory says about its run: a complete, failed, running or killed one.

    Parameters
    ----------
    run_dir : Path
        The run directory.
    alive : bool or None
        Whether its driver still runs; None: unknown.
    embed : bool
        Whether the plots become part of the page.
    plan : Plan, optional
        Its plan; default: from its file.

    Raises
    ------
    ConfigError
        The folder has no run, or one of a newer version.
    """
    run_dir = run_dir.expanduser().absolute()
    plan = plan or plan_of(run_dir)
    log = read_log(run_dir / "events.jsonl", plan)
    summary = _summary(run_dir) if log.ended else {}
    rows = dataset_rows(plan, log)
    results = results_of(run_dir, embed=embed)
    warnings = [str(text) for text in summary.get("warnings", plan.warnings)]
    blocked = tuple((str(name), str(why)) for name, why in summary.get("blocked", {}).items())
    return Report(
        plan.name,
        str(run_dir),
        datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        log.first_time,
        log.sessions,
        verdict_of(plan, log, rows, summary, run_dir, alive, results),
        rows[:MAX_DATASETS],
        max(0, len(rows) - MAX_DATASETS),
        results,
        time_use(plan, log),
        memory_rows(plan, log),
        block_rows(plan, log),
        log.causes.summary(blocked),
        provenance_of(plan, log, summary),
        physics_of(plan, summary),
        tuple(warnings[:MAX_WARNINGS]),
        max(0, len(warnings) - MAX_WARNINGS),
        _notes(log),
    )


def plan_of(run_dir: Path) -> Plan:
    """Return the plan of a run directory.

    Raises
    ------
    ConfigError
        The folder has no run, or its plan or event log was removed or cannot be read.
    """
    plan_file, hint = run_dir / "plan.json", "give the folder of a run"
    if not plan_file.is_file():
        raise ConfigError(Problem("E164", f"{run_dir} is not a run directory", hint=hint))
    try:
        plan = Plan.model_validate_json(plan_file.read_bytes())
    except (OSError, ValidationError):
        message, hint = (
            f"{plan_file} cannot be read by this version",
            "use the version of fasthep-parsl that has run it",
        )
        raise ConfigError(Problem("E164", message, hint=hint)) from None
    if not (run_dir / "events.jsonl").is_file():
        message, hint = f"{run_dir} has no events.jsonl, from which the report is made", "restore it, or run again"
        raise ConfigError(Problem("E164", message, hint=hint))
    return plan


def _summary(run_dir: Path) -> dict[str, Any]:
    """Return ``run.json``; empty if there is none, or if it is not a summary: the disk was full, or it was edited."""
    try:
        content: dict[str, Any] = json.loads((run_dir / "run.json").read_bytes())
        complete = all(name in content for name in _NEEDED) and "done" in content["events"]
    except (OSError, ValueError, TypeError):
        return {}
    return content if complete else {}


def _notes(log: RunLog) -> tuple[str, ...]:
    notes = []
    if log.damaged:
        what = (
            "1 damaged line of events.jsonl is"
            if log.damaged == 1
            else f"{log.damaged:,} damaged lines of events.jsonl are"
        )
        notes.append(f"{what} left out")
    if log.open:
        what = (
            "1 task was submitted and has" if len(log.open) == 1 else f"{len(log.open):,} tasks were submitted and have"
        )
        notes.append(f"{what} not ended")
    if log.sessions > 1:
        notes.append(f"the run was resumed: times and tasks are those of all {log.sessions} sessions together")
    return tuple(notes)
