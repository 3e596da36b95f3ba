"""``report``: write the page about a run again, also while it runs or after it was killed."""

from __future__ import annotations

from pathlib import Path

from fasthep_parsl.cli.console import Screen, print_line
from fasthep_parsl.driver.liveness import driver_runs
from fasthep_parsl.report import write_report
from fasthep_parsl.report.run_report import plan_of


def report_run(run_dir: Path, output: Path | None, *, embed: bool) -> None:
    """Write the report of a run and print its path.

    Raises
    ------
    ConfigError
        The folder is not a run directory.
    """
    plan = plan_of(run_dir)
    path = write_report(run_dir, output, alive=driver_runs(run_dir), embed=embed, plan=plan)
    print_line(Screen(), str(path))
