"""Cut the graph of stages into segments: what runs together in one task. Pure.

A segment is a connected group of partition-scope stages on one pool that share one input. It is cut only where a stage
needs another pool, or a product that must be complete before. Stages of scope ``dataset`` and ``workflow`` stand alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from fasthep_parsl.compiler.fields import Flow
from fasthep_parsl.compiler.stages import CheckedStage
from fasthep_parsl.plan import PlanSegment


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
    return _Cutter(stages, pools, flow).segments()


def keep_after(stages: list[CheckedStage], flow: Flow) -> dict[str, tuple[str, ...]]:
    """Return for each stage the columns of its stream that later stages need."""
    needed = _needed(stages, flow)
    return {item.stage.id: tuple(sorted(needed[item.stage.id])) for item in stages}


@dataclass(frozen=True)
class _Place:
    """What stages of one segment have in common.

    `depth` counts the cuts before it, `origin` is the stage whose stream it reads (empty for the source), `alone` the
    stage that shares its segment with no other.
    """

    pool: str
    depth: int
    origin: str
    alone: str = ""


def _needed(stages: list[CheckedStage], flow: Flow) -> dict[str, set[str]]:
    """Return for each stream (of a stage, or "" for the source) the columns that are needed from it."""
    needed: dict[str, set[str]] = {"": set()}
    for item in stages:
        needed[item.stage.id] = set()
    for item in reversed(stages):
        needed[item.input] |= _wants(item, flow, needed)
    return needed


def _wants(item: CheckedStage, flow: Flow, needed: dict[str, set[str]]) -> set[str]:
    """Return the columns that a stage needs from the stream it reads: its own, and those it passes on."""
    name = item.stage.id
    passed = needed[name] - set(flow.writes[name]) if item.op.stream else set()
    return set(flow.reads[name]) | passed


class _Cutter:
    def __init__(self, stages: list[CheckedStage], pools: dict[str, str], flow: Flow) -> None:
        self.stages = stages
        self.pools = pools
        self.flow = flow
        self.needed = _needed(stages, flow)
        self.by_id = {item.stage.id: item for item in stages}
        self.places: dict[str, _Place] = {}
        for item in stages:
            self.places[item.stage.id] = self._place(item)

    def segments(self) -> list[PlanSegment]:
        groups: dict[_Place, list[CheckedStage]] = {}
        for item in self.stages:
            groups.setdefault(self.places[item.stage.id], []).append(item)
        order = sorted(groups, key=lambda place: place.depth)  # stable: the order of stages within a depth
        number = {place: index for index, place in enumerate(order)}
        return [self._segment(place, groups[place], number) for place in order]

    def _place(self, item: CheckedStage) -> _Place:
        name, pool = item.stage.id, self.pools[item.stage.id]
        depth = max((self.places[node].depth + 1 for node in self._barriers(item)), default=0)
        parent = self.places.get(item.input)
        if item.op.scope != "partition":
            return _Place(pool, max(depth, parent.depth + 1 if parent else 0), item.input, alone=name)
        if parent is None:
            return _Place(pool, depth, "")
        if parent.pool == pool and parent.depth >= depth:
            return parent
        return _Place(pool, max(depth, parent.depth + 1), item.input)

    def _barriers(self, item: CheckedStage) -> list[str]:
        """Return stages that must be complete before: those whose products it binds, or that see all events."""
        bound = {source.node for source in item.stage.inputs}
        return [node for node in item.needs if node in bound or self.by_id[node].op.scope != "partition"]

    def _segment(self, place: _Place, members: list[CheckedStage], number: dict[_Place, int]) -> PlanSegment:
        columns: set[str] = set()
        for item in members:
            if item.input == place.origin:
                columns |= _wants(item, self.flow, self.needed)
        after = {number[self.places[node]] for item in members for node in self._barriers(item)}
        return PlanSegment(
            id=number[place],
            pool=place.pool,
            scope=members[0].op.scope,
            stages=tuple(item.stage.id for item in members),
            input=place.origin,
            columns=tuple(sorted(columns)),
            stores=self._stores(place, members),
            products=tuple(item.stage.id for item in members if item.op.product),
            after=tuple(sorted(after - {number[place]})),
            per_partition=any(item.op.per_partition for item in members),
        )

    def _stores(self, place: _Place, members: list[CheckedStage]) -> dict[str, tuple[str, ...]]:
        """Return the streams of `members` that other segments read, with the columns they need."""
        ids = {item.stage.id for item in members}
        stores: dict[str, set[str]] = {}
        for item in self.stages:
            if item.input in ids and self.places[item.stage.id] != place:
                stores.setdefault(item.input, set()).update(_wants(item, self.flow, self.needed))
        return {stage: tuple(sorted(names)) for stage, names in stores.items()}
