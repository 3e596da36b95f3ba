"""Functions that executors receive. They import the runner late, so that the driver does not import awkward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fasthep_parsl.tasks import Task, TaskResult
from fasthep_parsl.worker import output, trail


def run_task(task: Task) -> TaskResult:
    """Run `task` in this process; see `fasthep_parsl.worker.runner.run_task`."""
    from fasthep_parsl.worker import runner

    return runner.run_task(task)


def apply(
    function: Callable[..., Any], *arguments: Any, parsl_resource_specification: dict[str, Any] | None = None
) -> Any:
    """Return ``function(*arguments)``. This is the only app that Parsl receives.

    Parameters
    ----------
    function : callable
        An importable function.
    *arguments
        Its arguments.
    parsl_resource_specification : dict, optional
        Read by Parsl (the priority). Not used here.
    """
    del parsl_resource_specification
    trail.watch_crashes()
    output.install()
    return function(*arguments)
