"""Ask a batch system about the jobs of a pool, and remove them; nothing is submitted. Imports no Parsl."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from fasthep_parsl.atomic import write_text
from fasthep_parsl.blocks.commands import Answer, run
from fasthep_parsl.blocks.dialect import Dialect, Job, dialect_of, understood
from fasthep_parsl.blocks.scripts import first_scripts
from fasthep_parsl.plan import PlanPool

MOST_JOBS = 500
"""Jobs that one command is given."""


def programs(pool: PlanPool) -> tuple[str, ...]:
    """Return the commands that a run needs."""
    return dialect_of(pool.provider, pool.options).programs


def missing_programs(pool: PlanPool) -> list[str]:
    """Return those that are not on PATH."""
    return [name for name in programs(pool) if shutil.which(name) is None]


def can_try(pool: PlanPool) -> bool:
    """Return whether the batch system can say of a script whether it would accept it."""
    return bool(dialect_of(pool.provider, pool.options).trial(Path()))


def refusal(pool: PlanPool, folder: Path) -> str:
    """Return why a block of `pool` would be refused, in the words of the batch system; empty if it would not.

    Parameters
    ----------
    pool : PlanPool
        The pool.
    folder : Path
        For the scripts.
    """
    dialect = dialect_of(pool.provider, pool.options)
    timeout = pool.scaling.command_timeout
    submitted, node = (write_text(folder / script.name, script.text) for script in first_scripts(pool, folder))
    del node
    trial = dialect.trial(submitted)
    answer = run(trial, timeout) if trial else None
    if answer is not None and not answer.ok:
        return answer.words
    queue = pool.block.queue if pool.block else ""
    check = dialect.queue_check(queue)
    if not check:
        return ""
    said = run(check, timeout)
    if not said.ok:
        return said.words
    return "" if said.out.strip() else f"there is no queue `{queue}`: `{' '.join(check)}` shows nothing"


def existing(pool: PlanPool, jobs: Sequence[str]) -> tuple[dict[str, Job] | None, str]:
    """Return those of `jobs` that have not ended; None, and what it says, if the batch system does not answer."""
    dialect = dialect_of(pool.provider, pool.options)
    found: dict[str, Job] = {}
    for batch in _batches(jobs):
        answer = run(dialect.status(batch), pool.scaling.command_timeout)
        said = understood(dialect, answer, batch)
        if said is None:
            return None, answer.words
        found |= {job: state for job, state in said.items() if state.state != "ended"}
    return found, ""


def remove(pool: PlanPool, jobs: Sequence[str]) -> str:
    """Remove jobs; return what the batch system says if it does not, empty if it does."""
    answer = remove_jobs(dialect_of(pool.provider, pool.options), jobs, pool.scaling.command_timeout)
    return "" if answer.ok else answer.words


def remove_jobs(dialect: Dialect, jobs: Sequence[str], timeout: float) -> Answer:
    """Remove jobs; that they had ended already is no failure.

    Parameters
    ----------
    dialect : Dialect
        Its commands.
    jobs : sequence of str
        Ids.
    timeout : float
        Longest time of each command, seconds.
    """
    answer = Answer(0)
    for batch in _batches(jobs):
        for number, words in enumerate(dialect.cancel(batch)):
            said = run(words, timeout)
            if number == 0 and not said.ok and not dialect.gone(said):  # the first one counts, the others make sure
                answer = said
    return answer


def _batches(jobs: Sequence[str]) -> list[Sequence[str]]:
    """Return the jobs in groups that fit on a command line."""
    return [jobs[first : first + MOST_JOBS] for first in range(0, len(jobs), MOST_JOBS)]
