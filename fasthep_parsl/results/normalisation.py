"""Factors that normalise simulation: luminosity × cross-section / sum of generator weights, exactly of what was processed.

A sum that is not known for exactly the processed partitions is no sum: the dataset then has no factor, and a reason.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from fasthep_parsl.ops.targets import partition_name
from fasthep_parsl.ops.weight_sums import WeightSum, WeightSums
from fasthep_parsl.plan import SUMS, Plan, PlanDataset, PlanSum, cancelled
from fasthep_parsl.results.lumi_accounting import LumiAccount
from fasthep_parsl.tasks import Span
from fasthep_parsl.worker.spans import count, covers, subtract, union


@dataclass(frozen=True, slots=True)
class Factor:
    """The factor of a dataset.

    Attributes
    ----------
    dataset : str
        Name of the dataset.
    value : float or None
        What its contents are multiplied with; 1 for data; None if it is not known.
    why : str
        Why it is not known.
    luminosity : float or None
        1/pb.
    xsec : float or None
        pb; None for data.
    sum : float or None
        Sum of generator weights of all events before any selection, over exactly the processed partitions.
    events : int or None
        Number of these events, if it is known.
    method : str
        Where the sum comes from; see `SumMethod`.
    source : str
        What is summed: `Runs.genEventSumw`.
    """

    dataset: str
    value: float | None
    why: str = ""
    luminosity: float | None = None
    xsec: float | None = None
    sum: float | None = None
    events: int | None = None
    method: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """A sum of weights, or why it is not known."""

    weight: float | None = None
    square: float | None = None
    events: int | None = None
    why: str = ""


@dataclass(frozen=True)
class Normalisation:
    """The factors of a run.

    Attributes
    ----------
    stages : mapping
        Stage with a product → dataset → factor. Stages differ if one has lost partitions that another has. Empty if
        the workflow asks for no luminosity.
    lumis : LumiAccount or None
        Luminosity sections of data; None without a mask.
    """

    stages: Mapping[str, Mapping[str, Factor]] = field(default_factory=dict)
    lumis: LumiAccount | None = None

    def values(self, stage: str) -> dict[str, float]:
        """Return dataset → factor, without datasets whose factor is not known."""
        found = self.stages.get(stage, {})
        return {name: factor.value for name, factor in found.items() if factor.value is not None}

    def refused(self) -> list[str]:
        """Return a sentence for each dataset without a factor, and for each of which no run is certified."""
        found = {(f.dataset, f.why) for factors in self.stages.values() for f in factors.values() if f.value is None}
        foreign = self.lumis.foreign if self.lumis is not None else ()
        return [
            *(f"dataset `{name}` is not normalised: {why}" for name, why in sorted(found)),
            *(f"no run of dataset `{name}` is certified: is the file of another year?" for name in foreign),
        ]

    def warnings(self, error: str) -> list[str]:
        """Return warnings for ``run.json``: what is refused, unless the run ends with this error, and what disagrees."""
        found = [line for line in self.refused() if line not in error]
        return found + (self.lumis.warnings(luminosity=bool(self.stages)) if self.lumis is not None else [])

    def summary(self) -> dict[str, Any]:
        """Return the content of `run.json`: dataset → factor and what it is made of; per stage only where they differ."""
        content: dict[str, Any] = {}
        if self.lumis is not None:
            content["luminosity_sections"] = self.lumis.summary()
        if not self.stages:
            return content
        first = next(iter(self.stages.values()))
        differ = {stage: found for stage, found in self.stages.items() if found != first}
        content["datasets"] = {name: _plain(factor) for name, factor in first.items()}
        if differ:
            content["stages"] = {s: {name: _plain(f) for name, f in found.items()} for s, found in differ.items()}
        return content


def _plain(factor: Factor) -> dict[str, Any]:
    content = asdict(factor)
    del content["dataset"]
    return {"factor": content.pop("value"), **content}


def normalisation(
    plan: Plan, done: Mapping[int, Iterable[Span]], products: Mapping[tuple[str, str], Any]
) -> Normalisation:
    """Return the factors of all stages.

    Parameters
    ----------
    plan : Plan
        The plan.
    done : mapping
        Segment with products → the partitions that they contain.
    products : mapping
        (stage, product name) → merged product; only that of the stage `SUMS` is used.
    """
    if not any(dataset.normalisation.luminosity for dataset in plan.datasets):
        return Normalisation()
    sums, summed = weight_sums(plan, done, products)
    found: dict[str, dict[str, Factor]] = {}
    for segment in plan.segments:
        if segment.scope == "partition" and segment.id in done:
            mine = factors(plan, done[segment.id], sums, summed)
            found |= {stage: mine for stage in segment.products if stage != SUMS}
    return Normalisation(found)


def weight_sums(
    plan: Plan, done: Mapping[int, Iterable[Span]], products: Mapping[tuple[str, str], Any]
) -> tuple[WeightSums | None, list[Span]]:
    """Return the sums that workers have computed, and of which partitions."""
    sums = products.get((SUMS, "sums"))
    segment = next((segment for segment in plan.segments if SUMS in segment.stages), None)
    return sums, union(done.get(segment.id, ())) if segment is not None else []


def factors(
    plan: Plan, done: Iterable[Span], sums: WeightSums | None = None, summed: Iterable[Span] = ()
) -> dict[str, Factor]:
    """Return dataset → factor for products that contain exactly the partitions `done`.

    Parameters
    ----------
    plan : Plan
        The plan; its datasets have luminosity and cross-section.
    done : iterable of Span
        Partitions in the products.
    sums : WeightSums, optional
        Sums of expressions that workers have computed.
    summed : iterable of Span
        Partitions in `sums`.
    """
    done, summed = union(done), union(summed)
    return {
        dataset.name: _factor(dataset, known_sum(plan, number, done, sums, summed))
        for number, dataset in enumerate(plan.datasets)
    }


def _factor(dataset: PlanDataset, known: Known) -> Factor:
    how = dataset.normalisation
    found = Factor(
        dataset.name, None, known.why, how.luminosity, how.xsec, known.weight, known.events, how.method, how.source
    )
    if how.method == "data":
        return replace(found, value=1.0, xsec=None)
    if how.luminosity is None or how.xsec is None:  # the compiler asks for both
        return replace(found, why="it has no luminosity or no cross-section")
    if known.weight is None:
        return found
    why = cancelled(known.weight, known.square, known.events)
    return replace(found, why=why) if why else replace(found, value=how.luminosity * how.xsec / known.weight)


def known_sum(plan: Plan, number: int, done: list[Span], sums: WeightSums | None, summed: list[Span]) -> Known:
    """Return the sum of weights over exactly the partitions `done` of dataset `number`, or why it is not known.

    Parameters
    ----------
    plan, done, sums, summed
        As in `factors`; the spans are sorted and disjoint.
    number : int
        Position of the dataset in the plan.
    """
    dataset = plan.datasets[number]
    span = next((first, last) for d, first, last in plan.dataset_partitions() if d == number)
    mine = _within(done, span)
    events = sum(plan.events_in(*part) for part in mine)
    method = dataset.normalisation.method
    if method == "data":
        return Known(events=events)
    if method == "none":
        return Known(why=dataset.normalisation.why or "its sum of weights is not known")
    if method == "events":
        return Known(float(events), float(events), events)
    if method == "expr":
        return _computed(dataset, mine, sums, _within(summed, span), events)
    return _of_files(dataset, mine, span[0])


def _within(spans: list[Span], span: Span) -> list[Span]:
    return [(max(a, span[0]), min(b, span[1])) for a, b in spans if a < span[1] and b > span[0]]


def _computed(
    dataset: PlanDataset, mine: list[Span], sums: WeightSums | None, summed: list[Span], events: int
) -> Known:
    """Return the sum that workers have computed, if it has the same partitions."""
    total: WeightSum | None
    if sums is None:
        return Known(why="the sums of its weights could not be computed")
    if sums.apart and not subtract(mine, summed):
        total = WeightSum()
        for first, last in mine:
            for partition in range(first, last):
                total += sums.rows[partition_name(dataset.name, partition)]
    elif not sums.apart and mine == summed:
        total = sums.rows.get(dataset.name, WeightSum() if not mine else None)
    else:
        lost = count(subtract(summed, mine)) + count(subtract(mine, summed))
        return Known(
            why=f"{lost} of its partitions failed in one pool but not in another; to resume the run repeats them"
        )
    if total is None or total.events != events:
        return Known(why="the sums of its weights have other events than its results: this is a bug")
    if total.nan:
        return Known(events=events, why=f"{total.nan:,} of its events have a NaN or infinite weight")
    return Known(total.high, total.square, events)


def _of_files(dataset: PlanDataset, mine: list[Span], first: int) -> Known:
    """Return the sum of the files that are processed. A file of which only a part is processed has no sum."""
    spans: list[Span] = []
    for file in dataset.files:
        spans.append((first, first + file.partitions))
        first += file.partitions
    chosen: list[PlanSum] = []
    for known in dataset.normalisation.sums:
        own = [spans[number] for number in known.files if spans[number][1] > spans[number][0]]
        processed = [span for span in own if covers(mine, span)]
        if len(processed) == len(own):
            chosen.append(known)
        elif processed or any(_within(mine, span) for span in own):
            return Known(why=_partly(dataset, known, mine, spans))
    squares = [known.square for known in chosen]
    counts = [known.events for known in chosen]
    return Known(
        math.fsum(known.weight for known in chosen),
        None if None in squares else math.fsum(square for square in squares if square is not None),
        None if -1 in counts else sum(counts),
    )


def _partly(dataset: PlanDataset, known: PlanSum, mine: list[Span], spans: list[Span]) -> str:
    number = next(n for n in known.files if not covers(mine, spans[n]))
    what = f"{dataset.files[number].path} was processed only in part"
    if len(known.files) > 1:
        what = f"{dataset.files[number].path} was not processed, but other files of the same skimmed block were"
    return f"{what}, and {dataset.normalisation.source} is known only for all of it; to resume the run repeats what has failed"
