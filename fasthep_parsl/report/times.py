"""Where the time of a run went: parts, stages, segments, pools, workers."""

from __future__ import annotations

from collections import Counter

from fasthep_parsl.plan import Plan
from fasthep_parsl.report.models import BlockRow, PoolTime, Raster, SegmentRow, TimePart, TimeUse
from fasthep_parsl.report.quantiles import quantiles
from fasthep_parsl.report.run_log import RunLog

MAX_STAGES = 60
OTHER = ("read", "store", "merge")
_NAMES = {"read": "reading", "store": "storing streams", "merge": "merging"}


def time_use(plan: Plan, log: RunLog) -> TimeUse:
    """Return where the time went. All numbers are sums over tasks, but those of workers over time."""
    pool_of = {stage: segment.pool for segment in plan.segments for stage in segment.stages}
    stages = [_part(name, row, pool_of.get(name, "")) for name, row in log.stages.items() if name not in OTHER]
    stages.sort(key=lambda part: -part.seconds)
    wall, cpu = sum(log.pool_wall.values()), sum(log.pool_cpu.values())
    parts = [TimePart("stages", sum(part.seconds for part in stages), sum(part.cpu for part in stages))]
    parts += [_part(_NAMES[name], log.stages[name], "") for name in OTHER if name in log.stages]
    rest = wall - sum(part.seconds for part in parts)
    parts.append(TimePart("rest of the tasks", max(0.0, rest), max(0.0, cpu - sum(part.cpu for part in parts))))
    return TimeUse(
        tuple(parts),
        tuple(stages[:MAX_STAGES]),
        max(0, len(stages) - MAX_STAGES),
        tuple(
            SegmentRow(s.stages, s.pool, len(log.walls[s.id]), quantiles(log.walls[s.id]), log.peak_of_segment[s.id])
            for s in plan.segments
            if s.id in log.walls
        ),
        tuple(_pool(pool.name, log) for pool in plan.pools if pool.name in log.waits),
        log.occupancy.raster() if log.occupancy else Raster(1.0, (), 0),
        wall,
        cpu,
    )


def _part(name: str, row: list[float], pool: str) -> TimePart:
    return TimePart(name, row[1], row[2], int(row[0]), int(row[3]), int(row[4]), pool)


def _pool(name: str, log: RunLog) -> PoolTime:
    busy = log.occupancy.busy(name) if log.occupancy else ()
    workers = log.occupancy.workers(name) if log.occupancy else 0
    waits = log.waits[name]
    return PoolTime(name, len(waits), workers, log.pool_wall[name], log.pool_cpu[name], quantiles(waits), busy)


def block_rows(plan: Plan, log: RunLog) -> tuple[BlockRow, ...]:
    """Return the blocks of each pool that is used."""
    rows = []
    for pool in plan.pools:
        if not pool.used:
            continue
        states = Counter(state for (name, _, _), state in log.block_states.items() if name == pool.name)
        jobs: dict[str, int] = log.blocks.summary(pool.name)["jobs"] if pool.block else {}
        nodes = sum(name == pool.name for name, _ in log.nodes)
        queue = pool.block.queue if pool.block else ""
        waits = quantiles(log.blocks.queued(pool.name))
        rows.append(BlockRow(pool.name, pool.provider, pool.blocks, pool.workers, states, jobs, waits, nodes, queue))
    return tuple(rows)
