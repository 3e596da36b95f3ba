"""Histograms that the tests of plots draw, each with what a picture can go wrong with."""

from __future__ import annotations

import hist
import numpy as np

from fasthep_parsl.interfaces import DatasetInfo
from fasthep_parsl.ops.products import Cutflow, CutflowRow, Histogram
from fasthep_parsl.plan import PlanVariation, PlotStyle
from fasthep_parsl.results.plot_recipe import Drawing, PlotRecipe

DATASETS = (
    DatasetInfo("data", "data"),
    DatasetInfo("dy"),
    DatasetInfo("ttbar"),
    DatasetInfo("ww", group="diboson"),
    DatasetInfo("zz", group="diboson"),
)
VARIATIONS = (
    PlanVariation(name="jes_up", group="jes", direction="up"),
    PlanVariation(name="jes_down", group="jes", direction="down"),
    PlanVariation(name="scale", group="scale"),
)
MASS = hist.axis.Regular(30, 60, 120, name="mass", label=r"$m_{\mu\mu}$ [GeV]")


def recipe(**more: object) -> PlotRecipe:
    return PlotRecipe(DATASETS, **more)  # type: ignore[arg-type]


def drawing(style: dict[str, object] | None = None, **more: object) -> Drawing:
    settings = {key: more.pop(key) for key in ("variations", "luminosity") if key in more}
    return Drawing(recipe(**settings), PlotStyle.model_validate(style or {}), **more)  # type: ignore[arg-type]


def peak(number: int, *, axis: object = MASS, datasets: tuple[DatasetInfo, ...] = DATASETS) -> hist.Hist:
    """A Z peak over other processes: data with a weight of 1, simulation weighted."""
    rng = np.random.default_rng(1)
    made = hist.Hist(
        hist.axis.StrCategory([d.name for d in datasets], name="dataset"), axis, storage=hist.storage.Weight()
    )
    for n, dataset in enumerate(d for d in datasets if d.eventtype != "data"):
        events = number // (1 + 4 * n)
        value = rng.normal(91, 4, events) if n == 0 else rng.uniform(40, 140, events)
        made.fill(dataset.name, value, weight=0.5)
        made.fill(datasets[0].name, value[::2])
    return made


def varied() -> Histogram:
    nominal = peak(4000)
    names = ["nominal", *(variation.name for variation in VARIATIONS)]
    made = hist.Hist(*nominal.axes, hist.axis.StrCategory(names, name="variation"), storage=hist.storage.Weight())
    for number, factor in enumerate((1.0, 1.2, 0.9, 1.1)):
        content = nominal.view(flow=True).copy()
        content["value"][1:] *= factor
        made.view(flow=True)[:, :, number] = content
    return Histogram(made, title="Selected pairs", variation_axis="variation")


def many() -> tuple[Histogram, Drawing]:
    """Fourteen processes with long names, over six decades."""
    infos = (
        DatasetInfo("data", "data"),
        *(DatasetInfo(f"Process_with_a_rather_long_name_{n}_TuneCP5_13TeV-madgraph") for n in range(14)),
    )
    axis = hist.axis.Regular(40, 0, 1000, name="pt", label="leading jet $p_T$ [GeV]")
    rng = np.random.default_rng(2)
    made = hist.Hist(
        hist.axis.StrCategory([d.name for d in infos], name="dataset"), axis, storage=hist.storage.Weight()
    )
    for n, dataset in enumerate(infos[1:]):
        value = rng.exponential(60 + 5 * n, 20_000)
        made.fill(dataset.name, value, weight=0.3)
        made.fill("data", value[:6000])
    made.fill("data", [987.0])  # one event alone, far out
    return Histogram(made), Drawing(PlotRecipe(infos), normalised=True)


def cutflow() -> Cutflow:
    cuts = ("nMuon >= 2", "leading(Muon_pt) > 26", "(mass > 60) & (mass < 120)", "MET_pt < 40")
    rows = {}
    for n, dataset in enumerate(DATASETS):
        left = [1000.0 * (0.9 - 0.15 * n) ** k for k in range(len(cuts) + 1)]
        rows[dataset.name] = tuple(
            CutflowRow("All", k, cut, int(left[k]), int(left[k + 1]), left[k], left[k + 1])
            for k, cut in enumerate(cuts)
        )
    return Cutflow(rows)
