"""Hand-written loop: the analysis of ``configs/dimuon.yaml`` with uproot, awkward and hist.

The benchmarks use it as the reference: one process, a file opened per chunk of events, only the needed branches read,
events dropped as soon as a cut fails. It must give the same numbers as the workflow.

    python benchmarks/handwritten.py DATA_DIR [--chunk-size 100000] [--out result.json]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import awkward as ak
import hist
import numpy as np
import uproot

BRANCHES = [
    "Muon_pt", "Muon_eta", "Muon_phi", "Muon_mass", "Muon_charge", "Muon_tightId", "Muon_pfRelIso04_all",
    "MET_pt", "PV_npvsGood", "genWeight",
]  # fmt: skip
CUTS = ["PV_npvsGood > 0", "nGoodMuon >= 2", "leading_pt > 26", "ndimuon_Z >= 1", "(mass > 60) & (mass < 120)"]
DATASETS = ["data", "dy", "ttbar", "zz"]


def book() -> dict[str, hist.Hist]:
    def new(name: str, bins: int, low: float, high: float) -> hist.Hist:
        return hist.Hist(
            hist.axis.StrCategory(DATASETS, name="dataset"),
            hist.axis.Regular(bins, low, high, name=name),
            storage=hist.storage.Weight(),
        )

    return {
        "DimuonMass": new("mass", 60, 60, 120),
        "DimuonPt": new("pt", 50, 0, 200),
        "LeadingMuonPt": new("pt", 60, 20, 140),
        "SubleadingMuonPt": new("pt", 60, 20, 140),
        "MuonEta": new("eta", 48, -2.4, 2.4),
        "MissingPt": new("met", 50, 0, 200),
    }


def chunks(directory: Path, size: int) -> Iterator[tuple[str, Path, int, int]]:
    """Divide all files into chunks of at most `size` events."""
    for dataset in DATASETS:
        for path in sorted(directory.glob(f"{dataset}_*.root")):
            with uproot.open(path) as file:
                entries = file["Events"].num_entries
            for start in range(0, entries, size):
                yield dataset, path, start, min(start + size, entries)


def four_momentum(muon: ak.Array) -> tuple[ak.Array, ...]:
    pt, eta, phi, mass = (ak.values_astype(muon[name], np.float64) for name in ("pt", "eta", "phi", "mass"))
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    return px, py, pz, np.sqrt(px**2 + py**2 + pz**2 + mass**2)


def process(events: ak.Array, dataset: str, hists: dict[str, hist.Hist], cutflow: np.ndarray) -> None:
    """Fill the histograms and add up the cutflow, shape (cut, [events, sum of weights])."""
    step = 0

    def count() -> None:
        nonlocal step
        weights = ak.to_numpy(events.genWeight)
        cutflow[step] += len(weights), weights.sum(dtype=np.float64)
        step += 1

    events = events[events.PV_npvsGood > 0]
    count()
    good = (
        (events.Muon_pt > 20) & (abs(events.Muon_eta) < 2.4) & events.Muon_tightId & (events.Muon_pfRelIso04_all < 0.15)
    )
    enough = ak.sum(good, axis=1) >= 2
    events, good = events[enough], good[enough]
    count()
    muons = ak.zip({name: events[f"Muon_{name}"][good] for name in ("pt", "eta", "phi", "mass", "charge")})
    muons = muons[ak.argsort(muons.pt, axis=1, ascending=False, stable=True)]
    hard = muons.pt[:, 0] > 26
    events, muons = events[hard], muons[hard]
    count()
    first, second = ak.unzip(ak.combinations(muons, 2))
    opposite = first.charge * second.charge < 0
    some = ak.any(opposite, axis=1)
    events, muons = events[some], muons[some]
    first, second = first[opposite][some], second[opposite][some]
    count()
    px, py, pz, energy = (a + b for a, b in zip(four_momentum(first), four_momentum(second), strict=True))
    mass, pt = np.sqrt(np.maximum(energy**2 - px**2 - py**2 - pz**2, 0)), np.sqrt(px**2 + py**2)
    best = ak.argmin(abs(mass - 91.2), axis=1, keepdims=True)
    mass, pt = ak.to_numpy(mass[best][:, 0]), ak.to_numpy(pt[best][:, 0])
    window = (mass > 60) & (mass < 120)
    events, muons, mass, pt = events[window], muons[window], mass[window], pt[window]
    count()

    weight = ak.to_numpy(events.genWeight)
    hists["DimuonMass"].fill(dataset, mass, weight=weight)
    hists["DimuonPt"].fill(dataset, pt, weight=weight)
    hists["LeadingMuonPt"].fill(dataset, ak.to_numpy(muons.pt[:, 0]), weight=weight)
    hists["SubleadingMuonPt"].fill(dataset, ak.to_numpy(muons.pt[:, 1]), weight=weight)
    per_muon = np.repeat(weight, ak.to_numpy(ak.num(muons)))
    hists["MuonEta"].fill(dataset, ak.to_numpy(ak.flatten(muons.eta)), weight=per_muon)
    hists["MissingPt"].fill(dataset, ak.to_numpy(events.MET_pt), weight=weight)


def run(directory: Path, chunk_size: int) -> dict[str, object]:
    """Analyse all files of `directory`; return histograms, cutflow and CPU seconds spent reading and computing."""
    hists, cutflow = book(), {name: np.zeros((len(CUTS), 2)) for name in DATASETS}
    total = pieces = 0
    reading = computing = 0.0
    for dataset, path, start, stop in chunks(directory, chunk_size):
        begin = time.process_time()
        with uproot.open(path) as file:
            events = file["Events"].arrays(BRANCHES, entry_start=start, entry_stop=stop)
        middle = time.process_time()
        process(events, dataset, hists, cutflow[dataset])
        reading, computing = reading + middle - begin, computing + time.process_time() - middle
        total, pieces = total + stop - start, pieces + 1
    return {
        "events": total,
        "chunks": pieces,
        "cpu_read_s": reading,
        "cpu_compute_s": computing,
        "cpu_total_s": time.process_time(),
        "sums": {
            name: {d: float(h[{"dataset": d}].sum(flow=True).value) for d in DATASETS} for name, h in hists.items()
        },
        "values": {name: h.values(flow=True).tolist() for name, h in hists.items()},
        "cutflow": {name: table.tolist() for name, table in cutflow.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--chunk-size", type=int, default=100_000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    begin = time.perf_counter()
    result = run(options.directory, options.chunk_size)
    result["wall_s"] = time.perf_counter() - begin
    if options.out:
        options.out.write_text(json.dumps(result))
    for key in ("events", "chunks", "cpu_read_s", "cpu_compute_s", "cpu_total_s", "wall_s", "sums", "cutflow"):
        print(key, result[key])


if __name__ == "__main__":
    main()
