"""From a workflow file to a run directory: compile, run, write results."""

from fasthep_parsl.driver.api import compile_plan, run
from fasthep_parsl.driver.opened_run import Run, open_run
from fasthep_parsl.driver.outcome import RunOutcome

__all__ = ["Run", "RunOutcome", "compile_plan", "open_run", "run"]
