"""Add to the manifests of `hep.write` what was skimmed: events and sums of generator weights before any selection."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePath

from fasthep_parsl.ops.skims import SkimBlock, SkimmedDataset
from fasthep_parsl.ops.targets import OP, OutputTarget, partition_name, target_of
from fasthep_parsl.ops.weight_sums import WeightSums
from fasthep_parsl.ops.write import WrittenFiles
from fasthep_parsl.plan import Plan, PlanDataset, PlanStage
from fasthep_parsl.tasks import Span
from fasthep_parsl.worker.spans import covers, union


def with_skims(
    manifest: WrittenFiles,
    stage: str,
    plan: Plan,
    done: Iterable[Span],
    sums: WeightSums | None = None,
    summed: Iterable[Span] = (),
) -> WrittenFiles:
    """Return a manifest with what was skimmed, for all datasets of the plan.

    Parameters
    ----------
    manifest : WrittenFiles
        The files of the stage.
    stage : str
        Its id.
    plan : Plan
        The plan.
    done : iterable of Span
        Partitions that it has written.
    sums : WeightSums, optional
        Sums of expressions that workers have computed.
    summed : iterable of Span
        Partitions in `sums`.
    """
    planned = plan.stage(stage)
    target = target_of(stage, planned.params)
    files: dict[str, dict[str, str]] = {}
    for file in manifest.files:
        files.setdefault(file.dataset, {})[PurePath(file.path).name] = file.path
    skims = []
    for number, first, last in plan.dataset_partitions():
        dataset = plan.datasets[number]
        if _runs_for(planned, dataset):
            known = _Skimmed(plan, dataset, first, last, union(done), target, files.get(dataset.name, {}))
            skims.append(known.dataset_with(sums, union(summed)))
    return replace(manifest, skims=tuple(skims), limit=plan.limit)


def _runs_for(stage: PlanStage, dataset: PlanDataset) -> bool:
    return stage.op == OP and (stage.datasets is None or dataset.name in stage.datasets)


@dataclass(frozen=True)
class _Skimmed:
    """A dataset that was skimmed: its partitions [first, last), and name of output file → path in the manifest."""

    plan: Plan
    dataset: PlanDataset
    first: int
    last: int
    done: list[Span]
    target: OutputTarget
    files: Mapping[str, str]

    def dataset_with(self, sums: WeightSums | None, summed: list[Span]) -> SkimmedDataset:
        how = self.dataset.normalisation
        by_files = how.method in ("tree", "manifest", "given")
        blocks = tuple(self._of_files() if by_files else self._of_partitions(sums, summed))
        weights = [block.weight for block in blocks]
        events = [block.events for block in blocks]
        why = how.why or "the workflow of the skim names no `data.sum_of_weights`" if how.method == "none" else ""
        if not why and None in weights:
            why = "a part of its input was not processed, or has no sum"
        return SkimmedDataset(
            dataset=self.dataset.name,
            method=how.method,
            source=how.source,
            events=-1 if -1 in events else sum(events),
            sum_of_weights=None if why or how.method == "data" else math.fsum(w for w in weights if w is not None),
            why=why,
            blocks=blocks,
        )

    def _of_files(self) -> Iterator[SkimBlock]:
        """Yield the input files whose sums are known together, unless none of them was processed."""
        spans, first = [], self.first
        for file in self.dataset.files:
            spans.append((first, first + file.partitions))
            first += file.partitions
        for known in self.dataset.normalisation.sums:
            own = [spans[number] for number in known.files if spans[number][1] > spans[number][0]]
            numbers = [number for a, b in own for number in range(a, b) if covers(self.done, (number, number + 1))]
            if own and not numbers:
                continue
            whole = len(numbers) == sum(b - a for a, b in own)
            paths = tuple(path for number in numbers if (path := self._path(number)))
            weight = known.weight if whole else None
            yield SkimBlock(files=paths, events=known.events, weight=weight, square=known.square if whole else None)

    def _of_partitions(self, sums: WeightSums | None, summed: list[Span]) -> Iterator[SkimBlock]:
        """Yield the partitions that were processed."""
        method = self.dataset.normalisation.method
        for number in range(self.first, self.last):
            if not covers(self.done, (number, number + 1)):
                continue
            events = self.plan.events_in(number, number + 1)
            weight = square = float(events) if method == "events" else None
            row = sums.rows.get(partition_name(self.dataset.name, number)) if sums is not None and sums.apart else None
            if row is not None and not row.nan and covers(summed, (number, number + 1)):
                weight, square = row.high, row.square
            path = self._path(number)
            yield SkimBlock(files=(path,) if path else (), events=events, weight=weight, square=square)

    def _path(self, number: int) -> str:
        """Return the output file of a partition as the manifest names it."""
        return self.files.get(self.target.file(self.dataset.name, partition_name(self.dataset.name, number)), "")
