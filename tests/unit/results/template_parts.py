"""Products of a run as the driver has them, made from random numbers: for templates."""

from __future__ import annotations

from dataclasses import dataclass, field

import hist
import numpy as np

from fasthep_parsl.ops.axes import NOMINAL, VARIATION_AXIS
from fasthep_parsl.ops.products import DatasetHistograms, Histogram
from fasthep_parsl.plan import (
    PlanChannel,
    PlanDataset,
    PlanRate,
    PlanSample,
    PlanStage,
    PlanTemplates,
    PlanTerm,
    PlanVariation,
    PlanWeight,
)

AXIS = hist.axis.Regular(4, 50, 550, name="ht", label="H_T [GeV]")
BTAG = ("btag_up", "btag_down")


@dataclass
class Layout:
    """What templates need of a plan."""

    stages: tuple[PlanStage, ...]
    variations: tuple[PlanVariation, ...]
    datasets: tuple[PlanDataset, ...]
    templates: PlanTemplates


@dataclass
class Run:
    """A layout and its products."""

    layout: Layout
    products: dict = field(default_factory=dict)

    def values(self, stage, dataset, weight=NOMINAL):
        """Return the content and the sums of squares of a dataset in a copy, with underflow and overflow."""
        view = self.products[stage, "hist"].parts[dataset].hist[{VARIATION_AXIS: weight}].view(flow=True)
        return view["value"].copy(), view["variance"].copy()


def stage(name, region="", variation="", weights=(), datasets=None):
    nominal = name if region or variation else ""
    ident = "@".join(part for part in (name, region, variation) if part)
    return PlanStage(id=ident, op="hep.hist", product="hist", nominal=nominal, region=region, variation=variation,
                     weights=weights, datasets=datasets, scope="partition", pool="default", stream=False)  # fmt: skip


def filled(random, scale, weights):
    """Return random content for nominal and each weight."""
    names = [NOMINAL, *weights]
    axes = [AXIS, hist.axis.StrCategory(names, name=VARIATION_AXIS)]
    made = hist.Hist(*axes, storage=hist.storage.Weight())
    ht = random.uniform(0, 600, size=200)
    for number, name in enumerate(names):
        shift = 1 + 0.1 * number * (ht - 300) / 300
        made.fill(ht, name, weight=scale * shift * random.uniform(0.9, 1.1, size=200))
    return Histogram(made)


def make_run(seed=1, regions=("4j1b", "4j2b"), **templates):
    """Return a run of four simulated datasets and one with data; two are one sample."""
    random = np.random.default_rng(seed)
    weights = tuple(PlanWeight(variation=name, datasets=("ttbar", "wjets", "st_s", "st_t")) for name in BTAG)
    stages = [copy for region in regions for copy in
              (stage("HT", region, weights=weights), stage("HT", region, "pt_up"))]  # fmt: skip
    simulated = ("ttbar", "wjets", "st_s", "st_t")
    variations = (
        PlanVariation(name="btag_up", group="btag", direction="up", datasets=simulated),
        PlanVariation(name="btag_down", group="btag", direction="down", datasets=simulated),
        PlanVariation(name="pt_up", group="pt", datasets=("ttbar", "st_s")),
        PlanVariation(name="ME_var", group="ME", replaces={"ttbar": "ttbar_ME"}),
    )
    names = ("data", *simulated, "ttbar_ME")
    datasets = tuple(PlanDataset(name=name, eventtype="data" if name == "data" else "mc") for name in names)
    products = {}
    for number, item in enumerate(stages):
        scales = {"data": 1.0, "ttbar": 0.5, "wjets": 0.25, "st_s": 0.05, "st_t": 0.1, "ttbar_ME": 0.5}
        parts = {
            name: filled(random, scale * (1 + 0.03 * number), BTAG if name in simulated and not item.variation else ())
            for name, scale in scales.items()
            if not item.variation or name in ("ttbar", "st_s")
        }
        products[item.id, "hist"] = DatasetHistograms(parts)
    wanted = {
        "channels": tuple(PlanChannel(name=region, stage="HT", region=region) for region in regions),
        "samples": (
            PlanSample(name="wjets", datasets=("wjets",)),
            PlanSample(name="ttbar", datasets=("ttbar",), signal=True),
            PlanSample(name="single_top", datasets=("st_s", "st_t")),
        ),
        "data": ("data",),
        "rates": (PlanRate(name="lumi", size=0.03, samples=("wjets", "ttbar", "single_top")),),
        "formats": ("cabinetry", "combine", "pyhf"),
        **templates,
    }
    return Run(Layout(tuple(stages), variations, datasets, PlanTemplates(**wanted)), products)


PSEUDODATA = (PlanTerm(sample="ttbar", variation="ME_var", weight=0.5), PlanTerm(sample="wjets"))
