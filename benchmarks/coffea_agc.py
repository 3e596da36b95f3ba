"""The analysis of ``configs/agc.yaml`` as a processor of coffea: the reference of the benchmark.

It needs coffea, which is not a dependency of this project; see ``bench_agc.py``. The selection is done again for each
variation of the jet momenta, as the reference implementation of the challenge does. It is vectorised, reads only the
branches that it uses, and runs in one process, without the cost of communication.

    python benchmarks/coffea_agc.py DATA_DIR [--chunk-size 100000] [--out result.json] [--leptons-once]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import awkward as ak
import correctionlib
import hist
import numpy as np
from coffea import processor
from coffea.analysis_tools import PackedSelection
from coffea.nanoevents import NanoAODSchema

LUMINOSITY = 3378.0
XSEC = {
    "ttbar": 396.87 + 332.97,
    "single_top_s_chan": 2.0268 + 1.2676,
    "single_top_t_chan": (36.993 + 22.175) / 0.252,
    "single_top_tW": 37.936 + 37.906,
    "wjets": 61457 * 0.252,
}
B_TAG = 0.5


def fileset(directory: Path) -> dict[str, Any]:
    """Return the files of all samples with their metadata."""
    found = {}
    names = [(name, name, "nominal") for name in XSEC if name != "ttbar"]
    names += [(f"ttbar_{each}", "ttbar", each) for each in ("nominal", "scaledown", "scaleup", "ME_var", "PS_var")]
    for name, process, variation in names:
        files = {str(path): "Events" for path in sorted(directory.glob(f"{name}_[0-9]*.root"))}
        found[name] = {"files": files, "metadata": {"process": process, "variation": variation}}
    return found


class TopAnalysis(processor.ProcessorABC):  # type: ignore[misc]
    """Fill all histograms of a chunk of events."""

    def __init__(self, corrections: Path, events: dict[str, int], *, leptons_once: bool) -> None:
        self.corrections = str(corrections)
        self.events = events
        self.leptons_once = leptons_once

    def process(self, events: ak.Array) -> dict[str, Any]:
        process, variation = events.metadata["process"], events.metadata["variation"]
        weight = XSEC[process] * LUMINOSITY / self.events[events.metadata["dataset"]]
        systematics = correctionlib.CorrectionSet.from_file(self.corrections)["event_systematics"]
        filled = hist.Hist(
            hist.axis.Regular(25, 50, 550, name="observable"),
            hist.axis.StrCategory(["4j1b", "4j2b"], name="region"),
            hist.axis.StrCategory([], name="process", growth=True),
            hist.axis.StrCategory([], name="variation", growth=True),
            storage=hist.storage.Weight(),
        )
        momenta = {"nominal": None}
        if variation == "nominal":
            rng = np.random.default_rng([events.metadata["entrystart"], 7])
            factors = rng.normal(1.0, 0.05, int(ak.sum(events.nJet if "nJet" in events.fields else ak.num(events.Jet))))
            momenta |= {
                "pt_scale_up": events.Jet.pt * 1.03,
                "pt_res_up": events.Jet.pt * ak.unflatten(factors, ak.num(events.Jet)),
            }
        once = self.leptons(events) if self.leptons_once else None
        for name, pt in momenta.items():
            one_lepton = self.leptons(events) if once is None else once
            jets = events.Jet if pt is None else ak.with_field(events.Jet, pt, "pt")
            jets = jets[(jets.pt > 30) & (abs(jets.eta) < 2.4) & jets.isTightLeptonVeto]
            tagged = ak.sum(jets.btagCSVV2 > B_TAG, axis=1)
            selection = PackedSelection()
            selection.add("one lepton", one_lepton)
            selection.add("four jets", ak.num(jets) >= 4)
            selection.add("one tag", tagged == 1)
            selection.add("two tags", tagged >= 2)
            for region, tags in (("4j1b", "one tag"), ("4j2b", "two tags")):
                chosen = jets[selection.all("one lepton", "four jets", tags)]
                observable = ak.sum(chosen.pt, axis=1) if region == "4j1b" else self.trijet_mass(chosen)
                weights = np.full(len(chosen), weight)
                label = variation if name == "nominal" else name
                common = {"observable": observable, "region": region, "process": process}
                filled.fill(**common, variation=label, weight=weights)
                if label != "nominal":
                    continue
                for i in range(4):
                    pts = ak.to_numpy(chosen.pt[:, i])
                    for direction in ("up", "down"):
                        factor = systematics.evaluate("btag_var", direction, pts)
                        filled.fill(**common, variation=f"btag_var_{i}_{direction}", weight=weights * factor)
                if process == "wjets":
                    for direction in ("up", "down"):
                        factor = systematics.evaluate("scale_var", direction, 0.0)
                        filled.fill(**common, variation=f"scale_var_{direction}", weight=weights * factor)
        return {"hist": filled, "events": len(events)}

    @staticmethod
    def leptons(events: ak.Array) -> ak.Array:
        """Return whether an event has exactly one good lepton."""
        electrons, muons = events.Electron, events.Muon
        good_electrons = (
            (electrons.pt > 30) & (abs(electrons.eta) < 2.1) & (electrons.cutBased == 4) & (electrons.sip3d < 4)
        )
        good_muons = (
            (muons.pt > 30) & (abs(muons.eta) < 2.1) & muons.tightId & (muons.sip3d < 4) & (muons.pfRelIso04_all < 0.15)
        )
        return ak.sum(good_electrons, axis=1) + ak.sum(good_muons, axis=1) == 1

    @staticmethod
    def trijet_mass(jets: ak.Array) -> ak.Array:
        """Return the mass of the three jets of largest pt of which one has a b tag."""
        first, second, third = ak.unzip(ak.combinations(jets, 3))
        tag = np.maximum(first.btagCSVV2, np.maximum(second.btagCSVV2, third.btagCSVV2))
        wanted = tag > B_TAG
        candidates = first[wanted] + second[wanted] + third[wanted]
        return ak.flatten(candidates[ak.argmax(candidates.pt, axis=1, keepdims=True)].mass)

    def postprocess(self, accumulator: dict[str, Any]) -> dict[str, Any]:
        return accumulator


def run(directory: Path, chunk_size: int, *, leptons_once: bool) -> dict[str, Any]:
    """Analyse all files; return histograms as name → values and CPU seconds."""
    import uproot

    files = fileset(directory)
    events = {
        name: sum(uproot.open(path)["Events"].num_entries for path in sample["files"]) for name, sample in files.items()
    }
    runner = processor.Runner(
        executor=processor.IterativeExecutor(status=False), schema=NanoAODSchema, chunksize=chunk_size
    )
    analysis = TopAnalysis(directory / "corrections.json", events, leptons_once=leptons_once)
    output = runner(files, analysis)
    filled = output["hist"]
    values = {}
    for process in filled.axes["process"]:
        for variation in filled.axes["variation"]:
            for region in filled.axes["region"]:
                part = filled[{"process": process, "variation": variation, "region": region}]
                if np.any(part.variances(flow=True)):
                    suffix = "" if variation == "nominal" else f"_{variation}"
                    values[f"{region}_{process}{suffix}"] = part.values(flow=True).tolist()
    return {"events": output["events"], "cpu_s": time.process_time(), "values": values}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--chunk-size", type=int, default=100_000)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--leptons-once", action="store_true", help="select leptons once, not for each variation")
    options = parser.parse_args()
    result = run(options.directory, options.chunk_size, leptons_once=options.leptons_once)
    if options.out:
        options.out.write_text(json.dumps(result))
    print(result["events"], "events,", len(result["values"]), "histograms,", result["cpu_s"], "s CPU")


if __name__ == "__main__":
    main()
