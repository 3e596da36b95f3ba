"""Write ``report.html`` to a run directory."""

from __future__ import annotations

from pathlib import Path

from fasthep_parsl.atomic import write_text
from fasthep_parsl.plan import Plan
from fasthep_parsl.report.page import base_of, render
from fasthep_parsl.report.run_report import read_report

NAME = "report.html"


def write_report(
    run_dir: Path, path: Path | None = None, *, alive: bool | None = None, embed: bool = False, plan: Plan | None = None
) -> Path:
    """Write the report of a run and return its path.

    Parameters
    ----------
    run_dir : Path
        The run directory.
    path : Path, optional
        The page; default: ``report.html`` in the run directory.
    alive, embed, plan
        As in `read_report`.

    Raises
    ------
    ConfigError
        The folder has no run, or one of a newer version.
    OSError
        The page cannot be written.
    """
    report = read_report(run_dir, alive=alive, embed=embed, plan=plan)
    page = path or run_dir / NAME
    return write_text(page, render(report, base_of(page, run_dir)))
