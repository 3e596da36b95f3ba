"""What a step reads and passes on for a dataset: columns of variations under the names of their fields."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fasthep_parsl.interfaces import Op
from fasthep_parsl.ops.stream import Events
from fasthep_parsl.plan import Plan, PlanSegment, PlanStage, PlanWeight


@dataclass(frozen=True)
class View:
    """A stage for one dataset.

    Attributes
    ----------
    stage : PlanStage
        The stage.
    runs : bool
        Whether it runs. If not, its stream is that of its input, and it has no product.
    varies : bool
        Whether its stream is used for the dataset: it is nominal, or of a variation that applies.
    renames : mapping
        Field → column that has it in the input.
    weights : tuple of PlanWeight
        Variations of its weight.
    """

    stage: PlanStage
    runs: bool
    varies: bool
    renames: Mapping[str, str]
    weights: tuple[PlanWeight, ...]

    def given(self, stream: Events) -> Events:
        """Return the events that the op receives."""
        if self.stage.outputs:
            return stream.renamed(self._present(stream, self.stage.reads))
        needed = {*self.stage.reads, *self.stage.keep}
        if self.renames:
            return stream.renamed(self._present(stream, sorted(needed)))
        return stream if "*" in needed else stream.select(name for name in stream if name in needed)

    def after(self, stream: Events, found: Events) -> Events:
        """Return the stream after the stage: `stream` is that of its input, `found` what the op has returned."""
        if not self.stage.outputs:
            return found
        return self._kept(stream).with_columns_of(found, self.stage.outputs)

    def skipped(self, stream: Events) -> Events:
        """Return the stream after the stage if it does not run."""
        return self._kept(stream) if self.stage.outputs else self.given(stream)

    def _present(self, stream: Events, fields: Iterable[str]) -> dict[str, str]:
        columns = {field: self.renames.get(field, field) for field in fields}
        return {field: column for field, column in columns.items() if column in stream}

    def _kept(self, stream: Events) -> Events:
        kept = set(self.stage.keep)
        return stream.select(name for name in stream if name in kept)


class Views:
    """The stages of a plan for each dataset.

    Parameters
    ----------
    plan : Plan
        The plan.

    Attributes
    ----------
    hidden : frozenset of str
        Columns of variations, which no op sees unless it reads them by name.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._found: dict[tuple[str, int], View] = {}
        self._datasets = {item.name: item.datasets for item in plan.variations}
        self._writers: dict[str, list[tuple[str, ...] | None]] = {}
        for stage in plan.stages:
            for column in (*stage.outputs.values(), *stage.writes):
                self._writers.setdefault(column, []).append(stage.datasets)
        self.hidden = frozenset(name for name in self._writers if "@" in name)

    def of(self, stage: PlanStage, dataset: int) -> View:
        """Return a stage for a dataset; `dataset` is its number, -1 for all."""
        key = stage.id, dataset
        if key not in self._found:
            name = self._plan.datasets[dataset].name if dataset >= 0 else None
            self._found[key] = View(
                stage,
                _applies(stage.datasets, name),
                bool(stage.outputs) or _applies(self._datasets.get(stage.variation), name),
                self._renames(stage.renames, name),
                self._weights(stage.weights, name),
            )
        return self._found[key]

    def optional(self, segment: PlanSegment, dataset: int) -> frozenset[str]:
        """Return the columns that the stored input of a segment may lack for a dataset, because a stage did not run."""
        stage = next((item for item in self._plan.stages if item.id == segment.input), None)
        if stage is not None and not self.of(stage, dataset).varies:
            return frozenset(segment.columns)
        name = self._plan.datasets[dataset].name
        unread = (column for item in self._plan.segments for column in item.unread.get(name, ()))
        skipped = (
            column for column, writers in self._writers.items() if not all(_applies(known, name) for known in writers)
        )
        return frozenset((*unread, *skipped))

    def _weights(self, weights: Iterable[PlanWeight], dataset: str | None) -> tuple[PlanWeight, ...]:
        found = []
        for weight in weights:
            if dataset is not None and _applies(weight.datasets, dataset):
                renames = self._renames(weight.renames, dataset)
                found.append(weight if renames == weight.renames else weight.model_copy(update={"renames": renames}))
        return tuple(found)

    def _renames(self, renames: Mapping[str, str], dataset: str | None) -> dict[str, str]:
        """Return the renames of columns that some stage writes for a dataset. For others the nominal value counts."""
        return {
            field: column
            for field, column in renames.items()
            if any(_applies(datasets, dataset) for datasets in self._writers.get(column, ()))
        }


def _applies(datasets: tuple[str, ...] | None, dataset: str | None) -> bool:
    return datasets is None or dataset is None or dataset in datasets


def concealed(op: Op, reads: Iterable[str], hidden: frozenset[str]) -> Callable[..., Any]:
    """Return a function that calls a built-in op without columns of variations, except those in `reads`.

    Some ops take all fields of a collection. They must not see ``Jet_pt@jes_up`` as one of them.
    """
    unseen = hidden.difference(reads)

    def call(events: Any, **params: Any) -> Any:
        if not isinstance(events, Events) or not any(name in unseen for name in events):
            return op.call(events, **params)
        seen = events.declared(op.name, [name for name in events if name not in unseen])
        result = op.call(seen, **params)
        return tuple(map(_whole, result)) if isinstance(result, tuple) else _whole(result)

    return call


def _whole(result: Any) -> Any:
    return result.whole() if isinstance(result, Events) else result
