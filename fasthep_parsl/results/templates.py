"""Templates for fit tools: collect them from the products of a run, and write ``results/templates.root``."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from fasthep_parsl.atomic import atomic, write_text
from fasthep_parsl.jsontext import json_text
from fasthep_parsl.plan import PlanChannel, PlanSample, PlanTemplates, PlanVariation
from fasthep_parsl.results.families import Family, ProductKey, ResultLayout, families
from fasthep_parsl.results.histograms import EXTENT
from fasthep_parsl.results.parts import histogram_at
from fasthep_parsl.results.scaling import is_count, scaled, weighted

ROOT_FILE = "templates.root"
INDEX_FILE = "templates.json"

Key = tuple[str, str, str]
"""(channel, sample, variation); an empty variation is the nominal one."""

Factors = Mapping[str, Mapping[str, float]]
"""Stage or copy → dataset → factor."""


class TemplateLayout(ResultLayout, Protocol):
    """What templates need of a plan; a `Plan` is one."""

    @property
    def templates(self) -> PlanTemplates | None:
        """Which templates are wanted."""


@dataclass(frozen=True)
class Collected:
    """Templates of a run.

    Attributes
    ----------
    wanted : PlanTemplates
        What the workflow asks for.
    variations : tuple of PlanVariation
        The variations of the run.
    content : dict
        (channel, sample, variation) → ``hist.Hist`` with one axis and sums of weights and of their squares. The nominal
        template of a sample is there if any of its datasets was read; a variation if it applies to one of them.
    notes : list of str
        What is not as one would expect, for the end of the run.
    extent : str
        Which events they are of, if not of all.
    """

    wanted: PlanTemplates
    variations: tuple[PlanVariation, ...]
    content: dict[Key, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    extent: str = ""

    def nominal(self, channel: str, sample: str) -> Any | None:
        """Return the nominal template of a sample, None if there is none or it is empty."""
        found = self.content.get((channel, sample, ""))
        return None if found is None or is_empty(found) else found

    def of(self, channel: str, sample: str) -> Iterator[tuple[PlanVariation, Any]]:
        """Yield the variations of a sample with their templates, in the order of the plan."""
        for variation in self.variations:
            found = self.content.get((channel, sample, variation.name))
            if found is not None:
                yield variation, found

    def observed(self, channel: str) -> Any | None:
        """Return what is fitted in a channel: pseudodata if there are any, else data."""
        return self.content.get((channel, self.wanted.observed, ""))


def collect_templates(
    layout: TemplateLayout, products: Mapping[ProductKey, Any], factors: Factors | None = None, extent: str = ""
) -> Collected | None:
    """Return the templates that a plan asks for, None if it asks for none.

    A sample is the sum of its datasets. In a variation, datasets to which it does not apply are nominal. A variation that
    applies to none of them has no template. One whose own dataset was not read has none either, and a note says so.

    Parameters
    ----------
    layout : TemplateLayout
        The plan.
    products : mapping
        (stage id, product name) → merged product, of copies too.
    factors : mapping, optional
        Stage or copy → dataset → normalisation factor. A sample with a dataset without a factor has no template, and a
        note says so. Default: nothing is normalised.
    extent : str
        Which events the products are of, if not of all.
    """
    if layout.templates is None:
        return None
    found = Collected(layout.templates, tuple(layout.variations), extent=extent)
    if extent:
        found.notes.append(f"templates are of the {extent}: what is fitted is not the result of all")
    known = {family.stage: family for family in families(layout)}
    for channel in found.wanted.channels:
        if channel.stage in known:
            _Channel(found, channel, known[channel.stage], products, factors or {}).collect()
    return found


def is_empty(hist: Any) -> bool:
    """Whether nothing has been filled, in underflow and overflow neither."""
    view = hist.view(flow=True)
    return not (view["value"].any() or view["variance"].any())


def measurement_name(found: Collected) -> str:
    """Return the name of the measurement in files for fit tools: the only place there for a remark."""
    return f"fit of the {found.extent}" if found.extent else "fit"


@dataclass(frozen=True)
class _Channel:
    """Collects the templates of one channel."""

    found: Collected
    channel: PlanChannel
    family: Family
    products: Mapping[ProductKey, Any]
    factors: Factors

    def collect(self) -> None:
        wanted = self.found.wanted
        unknown = {sample.name for sample in wanted.samples if self.lacks_factor(sample)}
        for sample in wanted.samples:
            if sample.name in unknown:
                continue
            self.add(sample, "", self.total(sample.datasets, ""))
            for variation in self.family.kinds:
                if any(self.applies(dataset, variation) for dataset in sample.datasets):
                    self.add(sample, variation, self.varied(sample, variation))
        if wanted.data:
            self.add(PlanSample(name=wanted.data_name, datasets=wanted.data), "", self.total(wanted.data, ""))
        if wanted.pseudodata is not None:
            self.add(PlanSample(name=wanted.pseudodata_name, datasets=()), "", self.pseudodata(unknown))

    def add(self, sample: PlanSample, variation: str, hist: Any | None) -> None:
        if hist is not None:
            self.found.content[self.channel.name, sample.name, variation] = hist

    def lacks_factor(self, sample: PlanSample) -> bool:
        """Return whether a sample cannot be normalised, and note it."""
        for dataset in sample.datasets:
            for variation in ("", *self.family.kinds):
                place = self.family.place(self.channel.region, dataset, variation)
                if place.dataset not in self.factors.get(place.stage, {place.dataset: 1.0}):
                    what = f"templates: sample `{sample.name}` is left out of `{self.channel.name}`"
                    self.found.notes.append(f"{what}: dataset `{place.dataset}` is not normalised")
                    return True
        return False

    def applies(self, dataset: str, variation: str) -> bool:
        return self.family.place(self.channel.region, dataset, variation).applies

    def varied(self, sample: PlanSample, variation: str) -> Any | None:
        lacking = [
            place.dataset
            for dataset in sample.datasets
            if (place := self.family.place(self.channel.region, dataset, variation)).dataset != dataset
            and self.one(dataset, variation) is None
        ]
        if lacking:
            name = self.found.wanted.name(self.channel, sample.name, variation)
            self.found.notes.append(
                f"template `{name}` is left out: no events of dataset `{lacking[0]}` were processed"
            )
            return None
        return self.total(sample.datasets, variation)

    def one(self, dataset: str, variation: str) -> Any | None:
        """Return the histogram of a dataset, normalised."""
        place = self.family.place(self.channel.region, dataset, variation)
        histogram = histogram_at(self.family, self.products, place)
        if histogram is None:
            return None
        return _on_numbers(scaled(histogram, self.factors.get(place.stage, {}).get(place.dataset, 1.0)).hist)

    def total(self, datasets: Sequence[str], variation: str) -> Any | None:
        parts = [hist for dataset in datasets if (hist := self.one(dataset, variation)) is not None]
        return sum(parts[1:], parts[0]) if parts else None

    def pseudodata(self, unknown: Collection[str]) -> Any | None:
        """Return the sum of the terms; None if one of them is not known."""
        total = None
        for term in self.found.wanted.pseudodata or ():
            part = self.found.content.get((self.channel.name, term.sample, term.variation))
            if part is None and (term.variation or term.sample in unknown):
                name = self.found.wanted.name(self.channel, self.found.wanted.pseudodata_name)
                kind = f"variation `{term.variation}`" if term.variation else "nominal template"
                what = f"`{term.sample}` has no {kind} there"
                self.found.notes.append(f"template `{name}` lacks a part: {what}")
                return None
            if part is not None:
                part = part.copy()
                part.view(flow=True)["value"] *= term.weight
                part.view(flow=True)["variance"] *= term.weight * term.weight
                total = part if total is None else total + part
        return total


def _on_numbers(hist: Any) -> Any:
    """Return a histogram with sums of squares, on an axis of numbers: categories become bins of width 1."""
    import boost_histogram as bh
    import hist as hists

    made = weighted(hist) if is_count(hist) else hist
    (axis,) = made.axes
    if not isinstance(axis, bh.axis.StrCategory | bh.axis.IntCategory):
        return made
    numbers = hists.axis.Regular(len(axis), 0, len(axis), name=axis.name, label=axis.label)
    plain = hists.Hist(numbers, storage=hists.storage.Weight())
    view = made.view(flow=True)
    plain.view(flow=True)["value"][1:] = _with_overflow(view["value"], len(axis))
    plain.view(flow=True)["variance"][1:] = _with_overflow(view["variance"], len(axis))
    return plain


def _with_overflow(values: Any, bins: int) -> Any:
    """Return the content of bins and overflow; axes without overflow have none."""
    return values if len(values) > bins else np.append(values, 0.0)


def write_templates(found: Collected, folder: Path) -> list[Path]:
    """Write the templates to ``templates.root``, and what they are to ``templates.json``.

    Templates without entries are left out if the nominal one of the same sample has none either. What is fitted is
    written also if it is empty.

    Parameters
    ----------
    found : Collected
        The templates.
    folder : Path
        ``results`` of the run directory.
    """
    import uproot

    path = folder / ROOT_FILE
    index: dict[str, Any] = {}
    with np.errstate(invalid="ignore"), atomic(path) as draft, uproot.recreate(draft) as file:
        if found.extent:
            file[EXTENT] = found.extent
        for (channel, sample, variation), hist in found.content.items():
            if is_empty(hist) and sample != found.wanted.observed and found.nominal(channel, sample) is None:
                continue
            name = found.wanted.name(found.wanted.channel(channel), sample, variation)
            file[name] = _titled(hist, name)
            index[name] = _entry(found, channel, sample, variation, hist)
    content = {**({EXTENT: found.extent} if found.extent else {}), "templates": index, "notes": found.notes}
    return [path, write_text(folder / INDEX_FILE, json_text(content) + "\n")]


def _titled(hist: Any, title: str) -> Any:
    named = hist.copy(deep=False)
    named.title = title
    return named


def _entry(found: Collected, channel: str, sample: str, variation: str, hist: Any) -> dict[str, Any]:
    """Return what a template is, for people and programs."""
    place = found.wanted.channel(channel)
    view = hist.view()
    kind = next((item for item in found.variations if item.name == variation), None)
    return {
        "channel": channel,
        "region": place.region,
        "histogram": place.stage,
        "sample": sample,
        "variation": variation,
        **({"group": kind.group, "direction": kind.direction} if kind else {}),
        "sum": float(view["value"].sum()),
        "error": float(np.sqrt(view["variance"].sum())),
    }
