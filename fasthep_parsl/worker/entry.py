"""What drivers hand to executors: names the runner without importing it, so that a driver need not import awkward."""

from __future__ import annotations

from typing import Any

from fasthep_parsl.interfaces import Task, TaskResult


def run_task(task: Task, parsl_resource_specification: dict[str, Any] | None = None) -> TaskResult:
    """Run `task` in this process; see `fasthep_parsl.worker.runner.run_task`.

    Parameters
    ----------
    task : Task
        What to do.
    parsl_resource_specification : dict, optional
        Taken by Parsl (the priority); not used here.
    """
    from fasthep_parsl.worker import runner

    del parsl_resource_specification
    return runner.run_task(task)
