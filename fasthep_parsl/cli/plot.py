"""``plot``: draw the plots of a run again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from fasthep_parsl.cli.console import Screen, print_line
from fasthep_parsl.driver.redraw import redraw
from fasthep_parsl.errors import suggest
from fasthep_parsl.plan.styles import PictureFormat

FORMATS: dict[str, PictureFormat] = {"png": "png", "pdf": "pdf", "svg": "svg"}


def draw_again(
    run_dir: Path,
    *,
    workflow: Path | None,
    stages: Sequence[str],
    formats: Sequence[str],
    outdir: Path | None,
    quiet: bool,
) -> None:
    """Draw the plots of a run again, and print their paths."""
    chosen = [FORMATS[name] for name in formats if name in FORMATS]
    for name in formats:
        if name not in FORMATS:
            raise typer.BadParameter(f"--format {name}: {suggest(name, FORMATS, what='formats', complete=True)}")
    made = redraw(run_dir, workflow=workflow, stages=stages, formats=chosen, outdir=outdir)
    out = Screen(quiet=quiet)
    where = f"styles of {made.styles}" if made.styles is not None else "styles of the run: its workflow file is gone"
    print_line(out, where)
    for path in made.files:
        print_line(out, f"  {path}")
