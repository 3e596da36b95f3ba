"""``init``: write a first workflow for given files, or with demo data, and print the next commands."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from fasthep_parsl.cli.console import Screen, print_line
from fasthep_parsl.cli.inspect_file import CHOSEN
from fasthep_parsl.demo import write_demo_data
from fasthep_parsl.errors import ConfigError
from fasthep_parsl.first_workflow.composition import FirstWorkflow, check_free, write_first_workflow
from fasthep_parsl.first_workflow.nice_bins import number_text
from fasthep_parsl.resources.units import counted

DEMO_FOLDER = "data"
DEMO_EVENTS = 4000
"""Events of the demo data, below 1 MB."""
MOST_REASONS = 3
"""Most branches of which is said why they are not taken."""


def init_workflow(given: Sequence[str], output: Path, tree: str | None, *, force: bool) -> None:
    """Write a first workflow. Without files, write demo data beside it, too.

    Raises
    ------
    ConfigError
        A file cannot be read or has no branch that can be used, or `output` exists or cannot be written.
    """
    screen = Screen()
    check_free(output, force=force)
    if not given:
        folder = output.parent / DEMO_FOLDER
        paths = _demo_data(folder)
        size = sum(path.stat().st_size for path in paths)
        print_line(screen, f"{folder}: {DEMO_EVENTS:,} simulated events in {len(paths)} files, {size / 1e3:.0f} kB")
        given = [str(folder)]
    _print(screen, write_first_workflow(given, output, tree=tree, force=force))


def _demo_data(folder: Path) -> list[Path]:
    try:
        return write_demo_data(folder, DEMO_EVENTS)
    except ConfigError as error:
        if error.problems[0].code != "E172":
            raise
        hint = (
            f"for your own files: fasthep-parsl init {folder}; for demo data: fasthep-parsl init -o demo/analysis.yaml"
        )
        raise ConfigError(replace(error.problems[0], hint=hint)) from error


def _print(screen: Console, made: FirstWorkflow) -> None:
    files = sum(len(dataset.files) for dataset in made.datasets)
    names = ", ".join(dataset.name for dataset in made.datasets[:8]) + (", …" if len(made.datasets) > 8 else "")
    tree = made.tree
    which = "" if tree.chosen not in CHOSEN else f" ({CHOSEN[tree.chosen]})"
    choice, bins = made.choice, made.choice.bins
    print_line(screen, str(made.path), "bold")
    print_line(screen, f"  datasets   {names} ({counted(files, 'file')})")
    if tree.name:
        print_line(screen, f"  tree       {tree.name}{which}")
    looked = f"{choice.cut.passed:,} of {choice.looked_at:,} events pass" if choice.looked_at else "there are no events"
    print_line(screen, f"  cut        {choice.cut.expression} ({looked})")
    how = f", {bins.nbins} bins from {number_text(bins.low)} to {number_text(bins.high)} {choice.unit}" if bins else ""
    other = f" (in expressions: {choice.branch.field})" if choice.branch.renamed else ""
    print_line(screen, f"  histogram  {choice.branch.branch}{other}{how}".rstrip())
    if choice.looked_at and not choice.filled:
        print_line(
            screen, "  No branch has values in the events that were looked at: the histogram may be empty.", "yellow"
        )
    for reason in made.refused[:MOST_REASONS]:
        print_line(screen, f"  not taken: {reason}", "dim")
    file = shlex.quote(str(made.path))
    print_line(screen, f"\nNext:\n  fasthep-parsl plan {file}\n  fasthep-parsl run {file}")
