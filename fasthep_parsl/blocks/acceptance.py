"""Acceptance: check whether a batch system has the programs and the queue of a pool, and would accept its blocks."""

from __future__ import annotations

import shutil
from pathlib import Path

from fasthep_parsl.atomic import write_text
from fasthep_parsl.blocks.job_control import job_control
from fasthep_parsl.blocks.scripts import first_scripts, strategy_of
from fasthep_parsl.plan import PlanPool


def programs(pool: PlanPool) -> tuple[str, ...]:
    """Return the programs that a run needs."""
    return strategy_of(pool).commands().programs


def missing_programs(pool: PlanPool) -> list[str]:
    """Return the programs that are not on PATH."""
    return [name for name in programs(pool) if shutil.which(name) is None]


def can_try(pool: PlanPool) -> bool:
    """Return whether the batch system has a command that checks a script without submitting it."""
    return bool(strategy_of(pool).commands().trial(Path()))


def refusal(pool: PlanPool, folder: Path) -> str:
    """Return the batch system's reason for refusing a block of `pool`; empty if it would accept it.

    Parameters
    ----------
    pool : PlanPool
        The pool.
    folder : Path
        For the scripts.
    """
    control = job_control(pool)
    script, _node = (write_text(folder / script.name, script.text) for script in first_scripts(pool, folder))
    trial = control.commands.trial(script)
    result = control.run(trial) if trial else None
    if result is not None and not result.ok:
        return result.message
    queue = pool.block.queue if pool.block else ""
    check = control.commands.queue_check(queue)
    if not check:
        return ""
    result = control.run(check)
    if not result.ok:
        return result.message
    return "" if result.out.strip() else f"there is no queue `{queue}`: `{' '.join(check)}` shows nothing"
