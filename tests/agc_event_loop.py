"""The tt̄ analysis of the Analysis Grand Challenge as a plain loop over events, written from its description.

It shares no code with the package: files are read with uproot, everything else is arithmetic on numbers of one event.
Only the random numbers follow the definition in the documentation of the package, computed here with Python integers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import uproot

LUMINOSITY = 3378.0
"""Integrated luminosity, 1/pb."""

XSEC = {
    "ttbar": 396.87 + 332.97,
    "single_top_s_chan": 2.0268 + 1.2676,
    "single_top_t_chan": (36.993 + 22.175) / 0.252,
    "single_top_tW": 37.936 + 37.906,
    "wjets": 61457 * 0.252,
}
"""Process → cross-section, pb."""

TTBAR_SAMPLES = ("scaledown", "scaleup", "ME_var", "PS_var")
BINS, LOW, HIGH = 25, 50.0, 550.0
BRANCHES = [
    "run", "luminosityBlock", "event",
    "Electron_pt", "Electron_eta", "Electron_cutBased", "Electron_sip3d",
    "Muon_pt", "Muon_eta", "Muon_tightId", "Muon_sip3d", "Muon_pfRelIso04_all",
    "Jet_pt", "Jet_eta", "Jet_phi", "Jet_mass", "Jet_jetId", "Jet_btagCSVV2",
]  # fmt: skip


@dataclass(frozen=True)
class Cuts:
    """The numbers of the selection, to be loosened for files in which nothing passes."""

    pt: float = 30.0
    jets: int = 4
    leptons: int = 1


@dataclass
class Counts:
    """A histogram with underflow and overflow: entries, sums of weights and of their squares, shape (27,)."""

    entries: list[int] = field(default_factory=lambda: [0] * (BINS + 2))
    weights: list[float] = field(default_factory=lambda: [0.0] * (BINS + 2))
    squares: list[float] = field(default_factory=lambda: [0.0] * (BINS + 2))

    def fill(self, value: float, weight: float) -> None:
        position = math.floor((value - LOW) / (HIGH - LOW) * BINS)
        place = 0 if position < 0 else BINS + 1 if position >= BINS else position + 1
        self.entries[place] += 1
        self.weights[place] += weight
        self.squares[place] += weight * weight

    def add(self, other: Counts, factor: float = 1.0) -> None:
        for i in range(BINS + 2):
            self.entries[i] += other.entries[i]
            self.weights[i] += factor * other.weights[i]
            self.squares[i] += factor * factor * other.squares[i]


def philox(counter: list[int], key: list[int]) -> list[int]:
    """Return four words of 32 bits of Philox-4x32-10 (Salmon et al., SC11), with integers of Python."""
    for _ in range(10):
        one, two = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = [
            (two >> 32) ^ counter[1] ^ key[0],
            two & 0xFFFFFFFF,
            (one >> 32) ^ counter[3] ^ key[1],
            one & 0xFFFFFFFF,
        ]
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return counter


def normal(seed: int, run: int, block: int, event: int, position: int) -> float:
    """Return the number of ``random_normal(seed, run, luminosityBlock, event, objects)`` for an object."""
    words = philox([event & 0xFFFFFFFF, event >> 32, block, run], [seed, position + 1])
    return NormalDist().inv_cdf(((words[2] << 20 | words[3] >> 12) + 0.5) / 2**52)


def smeared(event: dict[str, Any]) -> list[float]:
    """Return the momenta of the jets with a resolution that is worse by 5 %."""
    place = [int(event[name]) for name in ("run", "luminosityBlock", "event")]
    return [float(pt) * (1 + 0.05 * normal(1, *place, i)) for i, pt in enumerate(event["Jet_pt"])]


def leptons_of(event: dict[str, Any], cuts: Cuts) -> int:
    """Return the number of electrons and muons that are selected."""
    leptons = 0
    for pt, eta, quality, sip in zip(
        *(event[f"Electron_{x}"] for x in ("pt", "eta", "cutBased", "sip3d")), strict=True
    ):
        leptons += bool(pt > cuts.pt and abs(eta) < 2.1 and quality == 4 and sip < 4)
    muon = ("pt", "eta", "tightId", "sip3d", "pfRelIso04_all")
    for pt, eta, tight, sip, isolation in zip(*(event[f"Muon_{x}"] for x in muon), strict=True):
        leptons += bool(pt > cuts.pt and abs(eta) < 2.1 and tight and sip < 4 and isolation < np.float32(0.15))
    return leptons


def one_event(event: dict[str, Any], pts: Sequence[Any], cuts: Cuts) -> tuple[str, float, list[float]] | None:
    """Return region, observable and pt of the selected jets of an event, with jet momenta `pts`; None if rejected."""
    jets = []
    for i, pt in enumerate(pts):
        tight_lepton_veto = int(event["Jet_jetId"][i]) & 4
        if pt > cuts.pt and abs(event["Jet_eta"][i]) < np.float32(2.4) and tight_lepton_veto:
            others = (float(event[f"Jet_{x}"][i]) for x in ("eta", "phi", "mass"))
            jets.append((float(pt), *others, bool(event["Jet_btagCSVV2"][i] > 0.5)))
    tagged = sum(jet[4] for jet in jets)
    if len(jets) < cuts.jets or tagged == 0:
        return None
    momenta = [jet[0] for jet in jets]
    if tagged == 1:
        return "4j1b", math.fsum(momenta), momenta
    return "4j2b", trijet_mass(jets), momenta


def trijet_mass(jets: list[tuple[float, float, float, float, bool]]) -> float:
    """Return the mass of the three jets, with a b tag among them, whose momenta sum to the largest pt; NaN if none."""
    vectors = []
    for pt, eta, phi, mass, _ in jets:
        x, y, z = pt * math.cos(phi), pt * math.sin(phi), pt * math.sinh(eta)
        vectors.append((x, y, z, math.sqrt(x * x + y * y + z * z + mass * mass)))
    best, found = -1.0, math.nan
    for triple in combinations(range(len(jets)), 3):
        if any(jets[i][4] for i in triple):
            x, y, z, energy = (math.fsum(vectors[i][k] for i in triple) for k in range(4))
            if x * x + y * y > best:
                best, found = x * x + y * y, math.sqrt(max(energy * energy - x * x - y * y - z * z, 0.0))
    return found


def variations(process: str, momenta: list[float]) -> Iterator[tuple[str, float]]:
    """Yield the weight variations of a nominal event and their factors."""
    for i, pt in enumerate(momenta[:4]):
        for direction, sign in (("up", 1), ("down", -1)):
            yield f"_btag_var_{i}_{direction}", 1 + sign * 0.075 * pt / 50
    if process == "wjets":
        yield "_scale_var_up", 1.025
        yield "_scale_var_down", 0.975


def events_of(files: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Yield the events of all files as branch → value or array."""
    for path in files:
        columns = uproot.open(path)["Events"].arrays(BRANCHES, library="np")
        for i in range(len(columns["run"])):
            yield {name: column[i] for name, column in columns.items()}


def analyse(samples: dict[str, Sequence[Path]], cuts: Cuts = Cuts()) -> dict[str, Counts]:
    """Return all histograms by name, without empty ones.

    Parameters
    ----------
    samples : dict
        Process, or ``ttbar_<variation>`` for the other samples of tt̄ → files.
    cuts : Cuts
        Numbers of the selection.
    """
    found: dict[str, Counts] = {}
    for sample, files in samples.items():
        nominal = sample in XSEC
        process = sample if nominal else "ttbar"
        total = sum(uproot.open(path)["Events"].num_entries for path in files)
        weight = XSEC[process] * LUMINOSITY / total if total else 0.0
        for event in events_of(files):
            if leptons_of(event, cuts) != cuts.leptons:
                continue
            plain = event["Jet_pt"]  # float32
            result = one_event(event, plain, cuts)
            suffix = "" if nominal else f"_{sample.removeprefix('ttbar_')}"
            if result is not None:
                region, value, momenta = result
                found.setdefault(f"{region}_{process}{suffix}", Counts()).fill(value, weight)
                for name, factor in variations(process, momenta) if nominal else ():
                    found.setdefault(f"{region}_{process}{name}", Counts()).fill(value, weight * factor)
            if nominal:
                for name, pts in (("pt_scale_up", plain * np.float32(1.03)), ("pt_res_up", smeared(event))):
                    result = one_event(event, pts, cuts)
                    if result is not None:
                        found.setdefault(f"{result[0]}_{process}_{name}", Counts()).fill(result[1], weight)
    for region in ("4j1b", "4j2b"):
        pseudodata = Counts()
        for name, factor in (("ttbar_ME_var", 0.5), ("ttbar_PS_var", 0.5), ("wjets", 1.0)):
            pseudodata.add(found.get(f"{region}_{name}", Counts()), factor)
        if any(pseudodata.entries):
            found[f"{region}_pseudodata"] = pseudodata
    return found


def samples_in(folder: Path) -> dict[str, list[Path]]:
    """Return the files of all samples that ``demo-data --like agc`` has written."""
    names = {process: "ttbar_nominal" if process == "ttbar" else process for process in XSEC}
    names |= {f"ttbar_{each}": f"ttbar_{each}" for each in TTBAR_SAMPLES}
    return {sample: sorted(folder.glob(f"{name}_[0-9]*.root")) for sample, name in names.items()}


def names_of_the_reference() -> set[str]:
    """Return the names of the 124 histograms."""
    names = set()
    for region in ("4j1b", "4j2b"):
        for process in XSEC:
            suffixes = ["", "_pt_scale_up", "_pt_res_up"]
            suffixes += [f"_btag_var_{i}_{direction}" for i in range(4) for direction in ("up", "down")]
            suffixes += [f"_{sample}" for sample in TTBAR_SAMPLES] if process == "ttbar" else []
            suffixes += ["_scale_var_up", "_scale_var_down"] if process == "wjets" else []
            names |= {f"{region}_{process}{suffix}" for suffix in suffixes}
        names.add(f"{region}_pseudodata")
    return names
