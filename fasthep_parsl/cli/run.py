"""``run`` and ``cleanup``: execute a workflow and print its outcome; remove the jobs that a run left in the queue."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from rich.console import Console

from fasthep_parsl import registry
from fasthep_parsl.cli.console import Screen, print_line
from fasthep_parsl.cli.progress import HeaderLines, make_progress
from fasthep_parsl.cli.setup_steps import SetupSteps
from fasthep_parsl.driver.api import compile_plan, run
from fasthep_parsl.driver.cleanup import clean_up
from fasthep_parsl.driver.outcome import RunOutcome
from fasthep_parsl.driver.run_directory import Mode
from fasthep_parsl.errors import SiteError

MAX_FACTORS = 20
"""Number of datasets whose normalisation is printed."""
MAX_FAILURES = 10
"""Number of failures that are printed; run.json has all of them."""


def run_workflow(
    workflow: Path,
    site: str,
    outdir: Path,
    overrides: list[str],
    chunk_size: int | None,
    mode: Mode,
    limit: int | None = None,
    *,
    plots: bool,
    quiet: bool,
) -> int:
    """Run a workflow, print its progress and outcome, return the exit code."""
    out, err = Screen(quiet=quiet), Screen(stderr=True)
    lines = None if quiet else HeaderLines(err)
    plan = compile_plan(workflow, site, overrides=overrides, chunk_size=chunk_size, limit=limit, progress=lines)
    if not quiet:
        for warning in plan.warnings:
            print_line(err, f"warning: {warning}", "yellow")
    with make_progress(plan, err, quiet=quiet) as observer, SetupSteps(err, quiet=quiet) as steps:
        outcome = run(
            plan, outdir=outdir, mode=mode, plots=plots, observer=observer, preparing=steps, progress=False, check=False
        )
    for warning in outcome.summary["warnings"][len(plan.warnings) :]:
        print_line(err, f"warning: {warning}", "yellow")
    _tables(outcome, out)
    _normalisation(outcome, out)
    _output(outcome, out, shown=plan.backend == "local")
    _failures(outcome, {Path(module.path).name for module in plan.modules}, err)
    _summary(outcome, out, err)
    _jobs_left(outcome, err)
    if outcome.status != "complete":
        _next_steps(outcome, [str(workflow), *plan.arguments], err)
    return outcome.exit_code


def _tables(outcome: RunOutcome, out: Console) -> None:
    from fasthep_parsl.ops.products import Cutflow, Histogram
    from fasthep_parsl.results import RAW, cutflow_table

    results = [(stage, product) for (stage, name), product in outcome.products.items() if not name.endswith(RAW)]
    for stage, product in results:
        if isinstance(product, Cutflow):
            out.print()
            out.print(stage, style="bold")
            out.print(cutflow_table(product))
    unfilled = [
        f"not in a bin of {stage}: {product.none:,} missing, {product.nan:,} NaN"
        for stage, product in results
        if isinstance(product, Histogram) and (product.none or product.nan)
    ]
    unfilled += [
        f"not in the sums of weights of {stage}: {product.nan:,} events, their weight is NaN or infinite"
        for stage, product in results
        if isinstance(product, Cutflow) and product.nan
    ]
    if unfilled:
        out.print()
    for line in unfilled:
        print_line(out, line)


def _normalisation(outcome: RunOutcome, out: Console) -> None:
    """Print the factor of each dataset and what it is made of."""
    datasets: dict[str, dict[str, Any]] = outcome.summary["normalisation"].get("datasets", {})
    simulated = {name: found for name, found in datasets.items() if found["method"] != "data"}
    if not simulated:
        return
    print_line(out, "")
    for name, found in list(simulated.items())[:MAX_FACTORS]:
        if found["factor"] is None:
            print_line(out, f"not normalised: {name}: {found['why']}", "red")
            continue
        made = f"{found['luminosity']:g} /pb × {found['xsec']:g} pb ÷ {found['sum']:.6g}"
        print_line(out, f"normalised: {name} × {found['factor']:.6g} = {made} ({found['source']})")
    if len(simulated) > MAX_FACTORS:
        print_line(out, f"… {len(simulated) - MAX_FACTORS} more datasets in run.json")


def _output(outcome: RunOutcome, out: Console, *, shown: bool) -> None:
    """Print the first lines that ops printed, unless they were shown at once, and the file with all lines."""
    for stage, output in outcome.summary["output"].items():
        number = "1 line" if output["lines"] == 1 else f"{output['lines']:,} lines"
        print_line(out, f"\nprinted by stage {stage}: {number}, {output['log']}")
        for line in () if shown else output["first"]:
            print_line(out, f"  {line}")
        if not shown and output["lines"] > len(output["first"]):
            print_line(out, "  …")


def _failures(outcome: RunOutcome, modules: set[str], err: Console) -> None:
    """Print each cause once, with its line if that is in the user's code."""
    failures: list[dict[str, Any]] = outcome.summary["failures"]
    causes: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for failure in failures:
        causes.setdefault((failure["stage"], failure["message"], failure["where"]), []).append(failure)
    for (stage, message, where), items in list(causes.items())[:MAX_FAILURES]:
        first = items[0]
        at = f" at {where}" if where.rpartition(":")[0] in modules else ""
        head = f"stage {stage}" if stage else "a worker" if first["kind"] == "infrastructure" else "reading"
        print_line(err, f"failed: {head}{at}: {message}", "red")
        if "file" in first:
            place = f"{first['dataset']}: {first['file']} events {first['entry_start']:,}–{first['entry_stop']:,}"
            more = f" and {len(items) - 1} more partition{'s' if len(items) > 2 else ''}" if len(items) > 1 else ""
            print_line(err, f"        {place}{more}")
    if len(causes) > MAX_FAILURES:
        print_line(err, f"        … {len(causes) - MAX_FAILURES} more causes in run.json")
    for stages, why in outcome.summary["blocked"].items():
        print_line(err, f"not run: {stages}: {why}", "red")


def _summary(outcome: RunOutcome, out: Console, err: Console) -> None:
    if outcome.status == "complete":
        print_line(out, f"\n{outcome.last_line}", "green")
    else:
        print_line(err, f"\n{outcome.last_line}", "red")
        if outcome.summary["error"] and outcome.status != "interrupted":
            print_line(err, outcome.summary["error"])
    notes = [(kind, kind) for kind in registry.names("modifiers")]
    first = (("report.html", "report"), ("plots", "plots"), ("results", "results"))
    for name, what in (*first, *notes, ("run.json", "summary")):
        path = outcome.run_dir / name
        if path.is_file() or any(item.is_file() for item in path.rglob("*")):
            print_line(out, f"  {what:11} {_short(path)}")


def _jobs_left(outcome: RunOutcome, err: Console) -> None:
    """Print the jobs that could not be removed: they still use the account's share of the site."""
    jobs = [item["job"] for item in outcome.summary["left"]]
    if not jobs:
        return
    what = "1 job is" if len(jobs) == 1 else f"{len(jobs)} jobs are"
    command = shlex.join(["fasthep-parsl", "cleanup", _short(outcome.run_dir)])
    print_line(err, f"{what} left in the queue because the batch system did not remove them: {' '.join(jobs)}", "red")
    print_line(err, f"To remove them later, run:\n  {command}")


def _next_steps(outcome: RunOutcome, arguments: list[str], err: Console) -> None:
    missing = outcome.run_dir / "missing.json"
    if missing.exists():
        print_line(err, f"missing events: {_short(missing)}")
    again = ["fasthep-parsl", "run", *arguments, "--outdir", _short(outcome.run_dir)]
    failures, events = outcome.summary["failures"], outcome.summary["events"]
    if outcome.status == "partial" and not failures and events["done"] == events["total"]:
        # all events are there: the datasets named above cannot be normalised, or are not certified
        advice = (
            "All events are processed, so --resume changes nothing. Correct the weights, `sum_of_weights` or the file of"
            f" certified runs, or leave out the dataset, then rerun with:\n  {shlex.join([*again, '--force'])}"
        )
    elif any(failure["kind"] == "user" for failure in failures):  # changed code makes another plan
        advice = f"After fixing this, rerun with:\n  {shlex.join([*again, '--force'])}"
    else:
        advice = f"To complete the run:\n  {shlex.join([*again, '--resume'])}"
    print_line(err, advice)


def _short(path: Path) -> str:
    """Return a path relative to the current folder if it is inside it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def clean(run_dir: Path, *, force: bool) -> int:
    """Remove the jobs that a run left in the queue, print them, return the exit code.

    Raises
    ------
    ConfigError
        The folder is not a run directory, or the run is still active.
    """
    results = clean_up(run_dir, force=force)
    out, err = Screen(), Screen(stderr=True)
    for result in results:
        if result.state == "removed":
            print_line(out, f"removed job {result.job.job} of pool {result.job.pool} ({result.message})")
    left = [result for result in results if result.state == "left"]
    for reason in dict.fromkeys(result.message for result in left):
        ids = " ".join(result.job.job for result in left if result.message == reason)
        print_line(err, f"not removed: {ids}: {reason}", "red")
    ended = sum(result.state == "ended" for result in results)
    if ended:
        print_line(out, f"{ended} job{'s' if ended > 1 else ''} had already ended")
    if not results:
        print_line(out, "nothing to remove: all jobs of this run have ended")
    return SiteError.exit_code if left else 0
