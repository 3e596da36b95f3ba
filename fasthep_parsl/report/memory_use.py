"""Memory of workers against what was requested, and what to request next time."""

from __future__ import annotations

import math

import yaml

from fasthep_parsl.plan import Plan, PlanPool
from fasthep_parsl.report.models import MemoryRow
from fasthep_parsl.report.quantiles import histogram, quantiles
from fasthep_parsl.report.run_log import RunLog
from fasthep_parsl.resources.units import format_memory

MARGIN = 1.1
"""Request next time: the largest use times this. Batch systems kill what exceeds its request."""
BINS = 40
_STEP = 10_000_000
ENOUGH = 0.8
"""A request is kept if at least this share of it is proposed."""


def memory_rows(plan: Plan, log: RunLog) -> tuple[MemoryRow, ...]:
    """Return one row for each pool that has worked."""
    rows = []
    for pool in plan.pools:
        peaks = [peak for (name, _, _), peak in log.peaks.items() if name == pool.name and peak > 0]
        if peaks:
            rows.append(_row(plan, pool, peaks))
    return tuple(rows)


def _row(plan: Plan, pool: PlanPool, peaks: list[int]) -> MemoryRow:
    used = quantiles(peaks)
    largest = max(peaks)
    proposed = 0 if plan.limit else proposal(largest)
    reach = max(pool.memory, largest) * 1.05
    note = _note(plan, pool.memory, largest, proposed)
    return MemoryRow(
        pool.name,
        pool.memory,
        used,
        histogram(peaks, reach, BINS),
        reach,
        proposed,
        setting(pool, proposed) if proposed else "",
        note,
    )


def proposal(largest: int) -> int:
    """Return what to request for workers of which the largest used `largest` bytes: with a margin, in steps of 10 MB."""
    return math.ceil(largest * MARGIN / _STEP) * _STEP


def setting(pool: PlanPool, memory: int) -> str:
    """Return the lines of a workflow that request `memory` bytes per worker of a pool."""
    resources: dict[str, object] = {"cpus": pool.cpus, "memory": format_memory(memory).replace(" ", "")}
    if pool.gpus:
        resources["gpus"] = pool.gpus
    if pool.disk:
        resources["disk"] = format_memory(pool.disk).replace(" ", "")
    where: dict[str, object] = (
        {"resources": {pool.resource: resources}} if pool.resource else {"pools": {pool.name: {"resources": resources}}}
    )
    return yaml.safe_dump({"execution": where}, sort_keys=False, allow_unicode=True)


def _note(plan: Plan, requested: int, largest: int, proposed: int) -> str:
    if plan.backend == "local":
        return "one process ran the whole workflow (backend `local`): its memory is not that of a worker"
    if plan.limit:
        return "a run of all events uses more: nothing is proposed from the first ones"
    if largest > requested:
        return "workers used more than was requested: request more, or batch systems may end them"
    if proposed > requested:
        return "the request has less than 10 % to spare"
    if proposed >= ENOUGH * requested:
        return "the request fits"
    share = 100 * (1 - proposed / requested)
    return f"{share:.0f} % of the request was never used"
