"""``fasthep-parsl run``: progress while it runs, tables and places when it has ended."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from rich.console import Console

from fasthep_parsl import registry
from fasthep_parsl.cli.progress import HeaderLines, make_progress
from fasthep_parsl.cli.screen import Screen
from fasthep_parsl.driver.api import compile_plan, run
from fasthep_parsl.driver.execution import RunOutcome
from fasthep_parsl.driver.rundir import Mode

MOST_FAILURES = 10


def run_workflow(
    workflow: Path,
    site: str,
    outdir: Path,
    overrides: list[str],
    chunk_size: int | None,
    mode: Mode,
    *,
    plots: bool,
    quiet: bool,
) -> int:
    """Run a workflow, print what a person wants to know, return the exit code."""
    out, err = Screen(quiet=quiet), Screen(stderr=True)
    lines = None if quiet else HeaderLines(err)
    plan = compile_plan(workflow, site, overrides=overrides, chunk_size=chunk_size, progress=lines)
    if not quiet:
        for warning in plan.warnings:
            err.print(f"warning: {warning}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    with make_progress(plan, err, quiet=quiet) as observer:
        outcome = run(plan, outdir=outdir, mode=mode, plots=plots, observer=observer, check=False)
    for warning in outcome.summary["warnings"][len(plan.warnings) :]:
        err.print(f"warning: {warning}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    _tables(outcome, out)
    _said(outcome, out, shown=plan.backend == "local")
    _failures(outcome, {Path(module.path).name for module in plan.modules}, err)
    _places(outcome, out, err)
    _left(outcome, err)
    if outcome.status != "complete":
        _how_to_go_on(outcome, [str(workflow), *_options(site, overrides, chunk_size)], err)
    return outcome.exit_code


def _tables(outcome: RunOutcome, out: Console) -> None:
    from fasthep_parsl.ops.products import Cutflow, Histogram
    from fasthep_parsl.results import cutflow_table

    for (stage, _), product in outcome.products.items():
        if isinstance(product, Cutflow):
            out.print()
            out.print(stage, style="bold")
            out.print(cutflow_table(product))
    unfilled = [
        f"not in a bin of {stage}: {product.none:,} missing, {product.nan:,} NaN"
        for (stage, _), product in outcome.products.items()
        if isinstance(product, Histogram) and (product.none or product.nan)
    ]
    unfilled += [
        f"not in the sums of weights of {stage}: {product.nan:,} events, their weight is NaN or infinite"
        for (stage, _), product in outcome.products.items()
        if isinstance(product, Cutflow) and product.nan
    ]
    if unfilled:
        out.print()
    for line in unfilled:
        out.print(line, markup=False, highlight=False)


def _said(outcome: RunOutcome, out: Console, *, shown: bool) -> None:
    """Print the first lines of what ops have printed, unless they were shown at once, and where all of it is."""
    for stage, said in outcome.summary["output"].items():
        number = "1 line" if said["lines"] == 1 else f"{said['lines']:,} lines"
        out.print(f"\nprinted by stage {stage}: {number}, {said['log']}", markup=False, highlight=False, soft_wrap=True)
        for line in () if shown else said["first"]:
            out.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
        if not shown and said["lines"] > len(said["first"]):
            out.print("  …", highlight=False)


def _failures(outcome: RunOutcome, modules: set[str], err: Console) -> None:
    """Print each cause once; a place only if it is in the user's code."""
    failures: list[dict[str, Any]] = outcome.summary["failures"]
    causes: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for failure in failures:
        causes.setdefault((failure["stage"], failure["message"], failure["where"]), []).append(failure)
    for (stage, message, where), items in list(causes.items())[:MOST_FAILURES]:
        first = items[0]
        at = f" at {where}" if where.rpartition(":")[0] in modules else ""
        head = f"stage {stage}" if stage else "a worker" if first["kind"] == "infrastructure" else "reading"
        err.print(
            f"failed: {head}{at}: {message.removeprefix('OpError: ')}",
            style="red",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        if "file" in first:
            place = f"{first['dataset']}: {first['file']} events {first['entry_start']:,}–{first['entry_stop']:,}"
            more = f" and {len(items) - 1} more partition{'s' if len(items) > 2 else ''}" if len(items) > 1 else ""
            err.print(f"        {place}{more}", markup=False, highlight=False, soft_wrap=True)
    if len(causes) > MOST_FAILURES:
        err.print(f"        … {len(causes) - MOST_FAILURES} more causes in run.json", highlight=False)
    for stages, why in outcome.summary["blocked"].items():
        err.print(f"not run: {stages}: {why}", style="red", markup=False, highlight=False, soft_wrap=True)


def _places(outcome: RunOutcome, out: Console, err: Console) -> None:
    summary = outcome.summary
    events = summary["events"]
    rate = events["done"] / max(summary["seconds"], 1e-9)
    line = f"{events['done']:,} of {events['total']:,} events in {summary['seconds']:.1f} s ({rate:,.0f}/s)"
    if outcome.status == "complete":
        out.print(f"\ncomplete: {line}", style="green", highlight=False)
    else:
        err.print(f"\n{outcome.status}: {line}", style="red", highlight=False)
        if outcome.summary["error"] and outcome.status != "interrupted":
            err.print(outcome.summary["error"], markup=False, highlight=False, soft_wrap=True)
    noted = [(kind, kind) for kind in registry.names("modifiers")]
    for name, what in (("plots", "pictures"), ("results", "results"), *noted, ("run.json", "summary")):
        path = outcome.run_dir / name
        if path.is_file() or any(item.is_file() for item in path.rglob("*")):
            out.print(f"  {what:11} {_short(path)}", markup=False, highlight=False, soft_wrap=True)


def _left(outcome: RunOutcome, err: Console) -> None:
    """Name jobs that could not be removed: they may cost somebody's share of the site."""
    jobs = [item["job"] for item in outcome.summary["left"]]
    if not jobs:
        return
    what = "a job is" if len(jobs) == 1 else f"{len(jobs)} jobs are"
    command = shlex.join(["fasthep-parsl", "cleanup", _short(outcome.run_dir)])
    for text in (
        f"{what} left in the queue, the batch system did not remove them: {' '.join(jobs)}",
        "later do",
        f"  {command}",
    ):
        err.print(text, style="red" if jobs[0] in text else "", markup=False, highlight=False, soft_wrap=True)


def _how_to_go_on(outcome: RunOutcome, arguments: list[str], err: Console) -> None:
    missing = outcome.run_dir / "missing.json"
    if missing.exists():
        err.print(f"what is missing is listed in {_short(missing)}", markup=False, highlight=False, soft_wrap=True)
    again = ["fasthep-parsl", "run", *arguments, "--outdir", _short(outcome.run_dir)]
    if any(failure["kind"] == "user" for failure in outcome.summary["failures"]):  # changed code is another plan
        advice = f"when that is mended, start again with\n  {shlex.join([*again, '--force'])}"
    else:
        advice = f"go on with\n  {shlex.join([*again, '--resume'])}"
    err.print(advice, markup=False, highlight=False, soft_wrap=True)


def _options(site: str, overrides: list[str], chunk_size: int | None) -> list[str]:
    """Return the options that make the same plan again."""
    found = [] if site == "local" else ["--site", site]
    found += [part for setting in overrides for part in ("--set", setting)]
    return found + ([] if chunk_size is None else ["--chunk-size", str(chunk_size)])


def _short(path: Path) -> str:
    """Return a path relative to where the user stands, if it lies below."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
