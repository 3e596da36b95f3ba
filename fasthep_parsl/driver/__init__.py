"""From a workflow file to a run directory: compile, run, write results."""

from fasthep_parsl.driver.api import RunOutcome, compile_plan, run

__all__ = ["RunOutcome", "compile_plan", "run"]
