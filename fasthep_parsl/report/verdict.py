"""The verdict: whether the events that are done and those that are missing are the events of the plan."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from fasthep_parsl.plan import Plan
from fasthep_parsl.report.models import DatasetRow, Results, Verdict
from fasthep_parsl.report.run_log import RunLog, events_of

MAX_REASONS = 8


def dataset_rows(plan: Plan, log: RunLog) -> tuple[DatasetRow, ...]:
    """Return the events of each dataset that are done in every result."""
    done = log.done()
    return tuple(
        DatasetRow(
            plan.datasets[d].name,
            plan.events_in(first, last),
            events_of(plan, done, (first, last)),
            len(plan.datasets[d].files),
            sum(max(file.size, 0) for file in plan.datasets[d].files),
        )
        for d, first, last in plan.dataset_partitions()
    )


def verdict_of(
    plan: Plan,
    log: RunLog,
    rows: tuple[DatasetRow, ...],
    summary: Mapping[str, Any],
    run_dir: Path,
    alive: bool | None,
    results: Results,
) -> Verdict:
    """Return the verdict.

    Parameters
    ----------
    plan, log : Plan, RunLog
        The plan, and what the event log says.
    rows : tuple of DatasetRow
        Events of each dataset.
    summary : mapping
        Content of ``run.json``, empty while the run has not ended.
    run_dir : Path
        The run directory.
    alive : bool or None
        Whether its driver still runs; None: unknown.
    results : Results
        The results that are there.
    """
    total, counted = plan.entries, sum(row.done for row in rows)
    if not summary:
        return _open(plan, log, counted, run_dir, alive)
    done = int(summary["events"]["done"])
    listed = missing_events(run_dir / "missing.json")
    missing = total - done if listed is None else listed
    status = str(summary["status"])
    reasons, faults = _disagreements(total, done, missing, counted), []
    if listed is None:
        faults.append("missing.json cannot be read")
    if status == "complete" and total and not results.files and any(segment.products for segment in plan.segments):
        faults.append("the folder results has no files: they were removed after the run")
    complete = status == "complete" and done == total and not (reasons or faults)
    if reasons:
        headline = f"The numbers do not agree: {done:,} events done, {missing:,} missing, {total:,} in the plan."
    else:
        headline = _headline(plan, status, total - done, complete=complete)
    reasons += faults
    reasons += [str(summary["error"])] if summary["error"] and status != "interrupted" else []
    reasons += [f"{stages} did not run: {why}" for stages, why in summary["blocked"].items()]
    seconds = float(summary["seconds"])
    if complete:
        return Verdict("good", headline, status, total, done, missing, seconds)
    finish = _finish(plan, log, run_dir, done)
    return Verdict("bad", headline, status, total, done, missing, seconds, tuple(reasons[:MAX_REASONS]), *finish)


def _headline(plan: Plan, status: str, missing: int, *, complete: bool) -> str:
    if complete:
        return f"Complete: {_everything(plan)} are in the results."
    if missing:
        return f"{status.capitalize()}: {missing:,} of {_everything(plan).removeprefix('all ')} are missing."
    return f"{status.capitalize()}: {_everything(plan)} were processed, but there is something wrong."


def _open(plan: Plan, log: RunLog, done: int, run_dir: Path, alive: bool | None) -> Verdict:
    """Return the verdict on a run that has not ended."""
    status = {True: "running", False: "killed", None: "not ended"}[alive]
    total = plan.entries
    share = f"{done:,} of {_everything(plan).removeprefix('all ')} are done"
    headline = {
        True: f"Running: {share}.",
        False: f"Killed: the run has stopped without an end. {share[0].upper()}{share[1:]}.",
        None: f"Not ended: {share}. The run still works, or was killed.",
    }[alive]
    if log.ended is not None:  # the disk was full, or somebody has removed it
        alive, status, headline = False, log.ended.status, f"{log.ended.status.capitalize()} without run.json: {share}."
    seconds = _seconds(log.started.time if log.started else log.first_time, log.last_time)
    if alive:
        return Verdict("open", headline, status, total, done, total - done, seconds)
    tone: Any = "open" if alive is None else "bad"
    return Verdict(tone, headline, status, total, done, total - done, seconds, (), *_finish(plan, log, run_dir, done))


def _everything(plan: Plan) -> str:
    """Return the events of the plan: ``all 4,000 events``; of a limited one what they are."""
    return f"the {plan.extent} ({plan.entries:,} events)" if plan.extent else f"all {plan.entries:,} events"


def _disagreements(total: int, done: int, missing: int, counted: int) -> list[str]:
    found = []
    if done + missing != total:
        found.append(
            f"run.json has {done:,} events as done and missing.json lists {missing:,}, but {total:,} are planned"
        )
    if counted != done:
        found.append(
            f"the event log has {counted:,} events as done, run.json {done:,}: files of finished tasks were lost"
        )
    return found


def missing_events(path: Path) -> int | None:
    """Return the events in a list of missing events: 0 if there is none, None if it cannot be read."""
    if not path.exists():
        return 0
    try:
        listed = json.loads(path.read_bytes())
        files = [file for entry in listed.values() for file in entry["files"].values()]
        return sum(int(stop) - int(start) for file in files for start, stop in file["steps"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _finish(plan: Plan, log: RunLog, run_dir: Path, done: int) -> tuple[str, str, bool, str]:
    """Return what finishes the run, with its options: command, call in Python, whether all events are processed again.

    The last is what to do before.
    """
    partial = log.ended is not None and log.ended.status == "partial"
    advice = ""
    if log.causes.of_the_user:
        advice = "Fix what has failed first; then all events are processed again. "
    elif partial and done == plan.entries and not log.causes.partitions:  # a dataset cannot be normalised
        advice = "All events are processed, so to resume changes nothing. Correct what is wrong first. "
    again = bool(advice)
    if not advice and log.causes.of_the_input:
        advice = "Files that cannot be read fail again: replace them first, or leave them out of the workflow. "
    inside = bool(plan.folder) and run_dir.is_relative_to(plan.folder)
    outdir = run_dir.relative_to(plan.folder) if inside else run_dir
    options = [*plan.arguments, "--outdir", str(outdir), "--force" if again else "--resume"]
    command = shlex.join(["fasthep-parsl", "run", plan.workflow, *options])
    call = _call(plan, str(outdir), "force" if again else "resume")
    if plan.folder:
        return f"cd {shlex.quote(plan.folder)}\n{command}", call, again, advice.strip()
    advice += "Call it where the run was started, with its site, settings, limit and chunk size."
    return command, call, again, advice


def _call(plan: Plan, outdir: str, mode: str) -> str:
    """Return the call in Python that finishes the run."""
    given = list(zip(plan.arguments[::2], plan.arguments[1::2], strict=True))
    options = [f"site={value!r}" for name, value in given if name == "--site"]
    settings = [value for name, value in given if name == "--set"]
    options += [f"overrides={settings!r}"] if settings else []
    numbers = {"--limit": "limit", "--chunk-size": "chunk_size"}
    options += [f"{numbers[name]}={value}" for name, value in given if name in numbers]
    call = f"fp.run({', '.join([repr(plan.workflow), *options, f'outdir={outdir!r}', f'mode={mode!r}'])})"
    return f"# in {plan.folder}\n{call}" if plan.folder else call


def _seconds(first: str, last: str) -> float:
    if not first or not last:
        return 0.0
    return max(0.0, (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds())
