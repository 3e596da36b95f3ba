"""Cut the graph of stages into segments: the stages that run together in one task. Pure.

A segment is a connected group of partition-scope stages on one pool that read one input. A new segment begins where a
stage needs another pool, or a product that must be complete first. A stage of scope ``dataset`` or ``workflow`` is a
segment by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from fasthep_parsl.compiler.fields import Flow
from fasthep_parsl.compiler.stages import CheckedStage
from fasthep_parsl.plan import PlanSegment


def cut_segments(stages: Sequence[CheckedStage], pools: dict[str, str], flow: Flow) -> list[PlanSegment]:
    """Return segments in an order in which they can run.

    Parameters
    ----------
    stages : sequence of CheckedStage
        In topological order.
    pools : dict
        Stage → pool.
    flow : Flow
        Fields along the stages.
    """
    return _Cutter(stages, pools, flow).segments()


def keep_after(stages: Sequence[CheckedStage], flow: Flow) -> dict[str, tuple[str, ...]]:
    """Return stage → columns of its stream that later stages need."""
    needed = needed_columns(stages, flow)
    return {item.stage.id: tuple(sorted(needed[item.stage.id])) for item in stages}


def columns_at_once(segments: Sequence[PlanSegment], stages: Sequence[CheckedStage], flow: Flow) -> dict[int, int]:
    """Return segment → number of columns in memory at once: those it reads, and what variations add.

    Columns of variations in the nominal stream are there together. Forks are worked off one by one: the largest counts.
    """
    by_id = {item.stage.id: item for item in stages}
    found = {}
    for segment in segments:
        items = [by_id[name] for name in segment.stages]
        added = {column for item in items for column in item.outputs.values()}
        added |= {column for item in items for column in flow.writes[item.stage.id] if "@" in column}
        forks: dict[str, set[str]] = {}
        for item in items:
            if item.variation and not item.outputs:
                held = {*flow.reads[item.stage.id], *flow.writes[item.stage.id]}
                forks.setdefault(item.variation, set()).update(held)
        found[segment.id] = len(segment.columns) + len(added) + max(map(len, forks.values()), default=0)
    return found


@dataclass(frozen=True)
class _Place:
    """What the stages of a segment have in common.

    Attributes
    ----------
    pool : str
        Their pool.
    depth : int
        Number of cuts before the segment.
    origin : str
        Stage that it reads the stream of, empty for the source.
    alone : str
        The stage that is a segment by itself, empty for other segments.
    """

    pool: str
    depth: int
    origin: str
    alone: str = ""


def needed_columns(stages: Sequence[CheckedStage], flow: Flow) -> dict[str, set[str]]:
    """Return stage ("" for the source) → columns needed from its stream."""
    needed: dict[str, set[str]] = {"": set()}
    limited = limited_columns(stages)
    for item in stages:
        needed[item.stage.id] = set()
    for item in reversed(stages):
        needed[item.input] |= _wants(item, flow, needed, limited)
    return needed


def limited_columns(stages: Iterable[CheckedStage]) -> dict[str, frozenset[str]]:
    """Return varied column → datasets for which every stage that writes it runs, if those are not all."""
    found: dict[str, frozenset[str]] = {}
    for item in stages:
        if item.datasets is not None:
            for column in item.outputs.values():
                found[column] = found.get(column, frozenset(item.datasets)) & set(item.datasets)
    return found


def covers(datasets: Collection[str] | None, wanted: Iterable[str] | None) -> bool:
    """Return whether `datasets` has all that are wanted; None: all of the workflow."""
    return datasets is None or (wanted is not None and set(wanted) <= set(datasets))


def _wants(
    item: CheckedStage, flow: Flow, needed: dict[str, set[str]], limited: Mapping[str, Collection[str]]
) -> set[str]:
    """Return the columns that a stage needs from its input: those it reads, and those that later stages need.

    Where a varied column exists for some datasets only (`limited`), the others have the plain one.
    """
    name = item.stage.id

    def columns(fields: Iterable[str]) -> set[str]:
        found = {field: item.renames.get(field, field) for field in fields}
        plain = {field for field, column in found.items() if not covers(limited.get(column), item.datasets)}
        return plain.union(found.values())

    read = columns(flow.reads[name])
    if not item.op.stream:
        return read
    if item.outputs:  # it adds columns to the stream of its input
        return read | needed[name].difference(item.outputs.values())
    return read | columns(needed[name].difference(flow.writes[name]))


class _Cutter:
    def __init__(self, stages: Sequence[CheckedStage], pools: dict[str, str], flow: Flow) -> None:
        self.stages = stages
        self.pools = pools
        self.flow = flow
        self.needed = needed_columns(stages, flow)
        self.limited = limited_columns(stages)
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
        """Return the stages that must be complete before `item`: it binds their product, or they see all events."""
        bound = {source.node for source in item.stage.inputs}
        return [node for node in item.needs if node in bound or self.by_id[node].op.scope != "partition"]

    def _segment(self, place: _Place, members: list[CheckedStage], number: dict[_Place, int]) -> PlanSegment:
        columns: set[str] = set()
        for item in members:
            if item.input == place.origin:
                columns |= _wants(item, self.flow, self.needed, self.limited)
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
        """Return stage → columns of its stream that other segments need, for `members`."""
        ids = {item.stage.id for item in members}
        stores: dict[str, set[str]] = {}
        for item in self.stages:
            if item.input in ids and self.places[item.stage.id] != place:
                stores.setdefault(item.input, set()).update(_wants(item, self.flow, self.needed, self.limited))
        return {stage: tuple(sorted(names)) for stage, names in stores.items()}
