"""Job control: query and cancel the jobs of a pool. Nothing is submitted here."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

from fasthep_parsl.blocks.commands import run
from fasthep_parsl.blocks.scripts import strategy_of
from fasthep_parsl.interfaces import CommandResult, Job, SchedulerCommands
from fasthep_parsl.plan import PlanPool

MOST_JOBS = 500
"""Jobs on one command line."""


class JobControl:
    """Run the commands of a batch system and read their results.

    Parameters
    ----------
    commands : SchedulerCommands
        The commands of the batch system.
    timeout : float
        Longest time of a command, seconds.
    closing : threading.Event, optional
        Ends commands early when it is set.
    """

    def __init__(self, commands: SchedulerCommands, timeout: float, closing: threading.Event | None = None) -> None:
        self.commands = commands
        self._timeout = timeout
        self._closing = closing

    def run(self, argv: Sequence[str], timeout: float | None = None, *, while_closing: bool = False) -> CommandResult:
        """Run one of the commands.

        Parameters
        ----------
        argv : sequence of str
            The command line.
        timeout : float, optional
            Longest time, seconds.
        while_closing : bool
            Whether to run it even if the run is closing.
        """
        closing = None if while_closing else self._closing
        return run(argv, timeout or self._timeout, closing, self.commands.environment(os.environ))

    def query(self, jobs: Sequence[str]) -> dict[str, Job] | None:
        """Return the state of `jobs`, None if the batch system does not answer. Jobs that are missing have ended."""
        return read_status(self.commands, self.run(self.commands.status(jobs)), jobs)

    def existing(self, jobs: Sequence[str]) -> tuple[dict[str, Job] | None, str]:
        """Return those of `jobs` that have not ended; None and a message if the batch system does not answer."""
        found: dict[str, Job] = {}
        for batch in _batches(jobs):
            result = self.run(self.commands.status(batch))
            states = read_status(self.commands, result, batch)
            if states is None:
                return None, result.message
            found |= {job: state for job, state in states.items() if state.state != "ended"}
        return found, ""

    def cancel(self, jobs: Sequence[str], timeout: float | None = None) -> CommandResult:
        """Cancel jobs, even if the run is closing; return the first failure. Jobs that had ended are not a failure.

        Parameters
        ----------
        jobs : sequence of str
            Their ids.
        timeout : float, optional
            Longest time of each command, seconds.
        """
        outcome = CommandResult(0)
        for batch in _batches(jobs):
            for number, argv in enumerate(self.commands.cancel(batch)):
                result = self.run(argv, timeout, while_closing=True)
                if number == 0 and not result.ok and not self.commands.already_ended(result):
                    outcome = result
        return outcome


def job_control(pool: PlanPool, closing: threading.Event | None = None) -> JobControl:
    """Return the job control of the batch system of `pool`."""
    return JobControl(strategy_of(pool).commands(), pool.scaling.command_timeout, closing)


def read_status(commands: SchedulerCommands, result: CommandResult, jobs: Sequence[str]) -> dict[str, Job] | None:
    """Return the state of `jobs`, None if the result does not contain it or cannot be parsed."""
    try:
        return commands.read_status(result, jobs)
    except (AttributeError, LookupError, TypeError, ValueError):  # the output is not as documented
        return None


def _batches(jobs: Sequence[str]) -> list[Sequence[str]]:
    """Return the jobs in groups that fit on a command line."""
    return [jobs[first : first + MOST_JOBS] for first in range(0, len(jobs), MOST_JOBS)]
