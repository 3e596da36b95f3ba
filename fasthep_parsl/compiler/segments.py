"""Cut the graph of stages into segments: what runs together in one task. Pure.

A segment is a connected group of partition-scope stages on one pool that share one input. It is cut only where a stage
needs another pool, or a product that must be complete before. Stages of scope ``dataset`` and ``workflow`` stand alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from fasthep_parsl.compiler.fields import Flow
from fasthep_parsl.compiler.stages import CheckedStage
from fasthep_parsl.plan import PlanSegment


@dataclass(frozen=True)
class _Place:
    """What stages of one segment have in common."""

    pool: str
    depth: int
    origin: str
    alone: str = ""


def cut_segments(stages: list[CheckedStage], pools: dict[str, str], flow: Flow) -> list[PlanSegment]:
    """Return segments in an order in which they can run.

    Parameters
    ----------
    stages : list of CheckedStage
        In topological order.
    pools : dict
        Stage → pool.
    flow : Flow
        Fields along the stages.
    """
    by_id = {item.stage.id: item for item in stages}
    places = _places(stages, by_id, pools)
    groups: dict[_Place, list[CheckedStage]] = {}
    for item in stages:
        groups.setdefault(places[item.stage.id], []).append(item)
    order = sorted(groups, key=lambda place: place.depth)
    number = {item.stage.id: index for index, place in enumerate(order) for item in groups[place]}
    needed = _needed_after(stages, places, flow)
    return [
        _segment(index, order[index], groups[order[index]], by_id, number, needed, flow, stages, places)
        for index in range(len(order))
    ]


def _places(stages: list[CheckedStage], by_id: dict[str, CheckedStage], pools: dict[str, str]) -> dict[str, _Place]:
    places: dict[str, _Place] = {}
    for item in stages:
        name, pool = item.stage.id, pools[item.stage.id]
        depth = max((places[node].depth + 1 for node in _barriers(item, by_id)), default=0)
        parent = places.get(item.input)
        if item.op.scope != "partition":
            if parent is not None:
                depth = max(depth, parent.depth + 1)
            places[name] = _Place(pool, depth, item.input, alone=name)
        elif parent is None:
            places[name] = _Place(pool, depth, "")
        elif parent.pool == pool and parent.depth >= depth:
            places[name] = parent
        else:
            places[name] = _Place(pool, max(depth, parent.depth + 1), item.input)
    return places


def _barriers(item: CheckedStage, by_id: dict[str, CheckedStage]) -> list[str]:
    """Return stages that must be complete before: those whose products it binds, or that see all events."""
    bound = [source.node for source in item.stage.inputs]
    return [node for node in item.needs if node in bound or by_id[node].op.scope != "partition"]


def _needed_after(stages: list[CheckedStage], places: dict[str, _Place], flow: Flow) -> dict[str, set[str]]:
    """Return for each stream (stage, or "" for the source) the columns that are still needed from it."""
    needed: dict[str, set[str]] = {item.stage.id: set() for item in stages} | {"": set()}
    for item in reversed(stages):
        name = item.stage.id
        through = needed[name] - set(flow.writes[name]) if item.op.stream else set()
        needed.setdefault(item.input, set()).update(flow.reads[name], through)
    return needed


def _segment(
    index: int,
    place: _Place,
    members: list[CheckedStage],
    by_id: dict[str, CheckedStage],
    number: dict[str, int],
    needed: dict[str, set[str]],
    flow: Flow,
    stages: list[CheckedStage],
    places: dict[str, _Place],
) -> PlanSegment:
    first = members[0]
    ids = [item.stage.id for item in members]
    origin = place.origin
    columns: set[str] = set()
    for item in members:
        if item.input == origin:
            columns |= set(flow.reads[item.stage.id])
            columns |= needed[item.stage.id] - set(flow.writes[item.stage.id]) if item.op.stream else set()
    outside = [item for item in stages if item.input in ids and places[item.stage.id] != place]
    stores: dict[str, set[str]] = {}
    for item in outside:
        want = set(flow.reads[item.stage.id])
        want |= needed[item.stage.id] - set(flow.writes[item.stage.id]) if item.op.stream else set()
        stores.setdefault(item.input, set()).update(want)
    after = {number[node] for item in members for node in _barriers(item, by_id)} - {index}
    return PlanSegment(
        id=index,
        pool=place.pool,
        scope=first.op.scope,
        stages=tuple(ids),
        input=origin,
        columns=tuple(sorted(columns)),
        stores={stage: tuple(sorted(names)) for stage, names in stores.items()},
        products=tuple(item.stage.id for item in members if item.op.product),
        after=tuple(sorted(after)),
        per_partition=any(item.op.per_partition for item in members),
    )


def keep_after(stages: list[CheckedStage], flow: Flow) -> dict[str, tuple[str, ...]]:
    """Return for each stage the columns of its stream that later stages need."""
    needed = _needed_after(stages, {}, flow)
    return {item.stage.id: tuple(sorted(needed[item.stage.id])) for item in stages}
