"""What drivers hand to executors: names the runner without importing it, so that a driver need not import awkward."""

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
    """Return ``function(*arguments)``; the one app that is given to Parsl.

    Parameters
    ----------
    function : callable
        Importable.
    *arguments
        Handed to it.
    parsl_resource_specification : dict, optional
        Taken by Parsl on the way (the priority); not used here.
    """
    del parsl_resource_specification
    trail.watch_crashes()
    output.stand_in()
    return function(*arguments)
