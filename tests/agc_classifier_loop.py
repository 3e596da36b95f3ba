"""The classifier of the Analysis Grand Challenge as loops over events and assignments, written from its description.

It shares no code with the package. Features are arithmetic on numbers of one event; the models are evaluated by
XGBoost itself, with the assignments of one event at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import numpy as np
import uproot
import xgboost

import agc_event_loop as plain

ROLES = ("w1", "w2", "btophad", "btoplep")
BINNING = (
    dict.fromkeys(("deltar_leptonbtoplep", "deltar_w1w2", "deltar_w1btophad", "deltar_w2btophad"), (0.0, 6.0))
    | {"mass_leptonbtoplep": (50.0, 300.0), "mass_w1w2": (50.0, 300.0)}
    | {"mass_w1w2btophad": (50.0, 550.0), "pt_w1w2btophad": (50.0, 550.0)}
    | {f"pt_{role}": (25.0, 300.0) for role in ROLES}
    | {f"btag_{role}": (0.0, 1.0) for role in ROLES}
    | {f"qgl_{role}": (-1.0, 1.0) for role in ROLES}
)
"""Feature → edges of its histogram, in the order of the models."""

BRANCHES = [*plain.BRANCHES, "Electron_phi", "Electron_mass", "Muon_phi", "Muon_mass", "Jet_qgl"]
Jet = tuple[float, float, float, float, float, float]
"""pt, eta, phi, mass, b tag, quark-gluon likelihood."""


@dataclass
class Counts:
    """A histogram of 25 bins with underflow and overflow: sums of weights and of their squares, shape (27,)."""

    low: float
    high: float
    weights: list[float] = field(default_factory=lambda: [0.0] * 27)
    squares: list[float] = field(default_factory=lambda: [0.0] * 27)

    def fill(self, value: float, weight: float) -> None:
        position = math.floor((value - self.low) / (self.high - self.low) * 25)
        place = 0 if position < 0 else 26 if position >= 25 else position + 1
        self.weights[place] += weight
        self.squares[place] += weight * weight

    def add(self, other: Counts, factor: float) -> None:
        for i in range(27):
            self.weights[i] += factor * other.weights[i]
            self.squares[i] += factor * factor * other.squares[i]


def four_vector(pt: float, eta: float, phi: float, mass: float) -> tuple[float, float, float, float]:
    x, y, z = pt * math.cos(phi), pt * math.sin(phi), pt * math.sinh(eta)
    return x, y, z, math.sqrt(x * x + y * y + z * z + mass * mass)


def mass_and_pt(objects: Sequence[Sequence[float]]) -> tuple[float, float]:
    x, y, z, energy = (math.fsum(each) for each in zip(*(four_vector(*o[:4]) for o in objects), strict=True))
    return math.sqrt(max(energy * energy - x * x - y * y - z * z, 0.0)), math.hypot(x, y)


def distance(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the distance in (eta, phi), with the smaller of the two angles between the objects."""
    angle = abs(a[2] - b[2])
    return math.hypot(a[1] - b[1], min(angle, 2 * math.pi - angle))


def features(lepton: Sequence[float], w1: Jet, w2: Jet, btophad: Jet, btoplep: Jet) -> list[float]:
    """Return the 20 features of an assignment, in the order of `BINNING`."""
    top, pt = mass_and_pt([w1, w2, btophad])
    jets = (w1, w2, btophad, btoplep)
    return [
        distance(lepton, btoplep), distance(w1, w2), distance(w1, btophad), distance(w2, btophad),
        mass_and_pt([lepton, btoplep])[0], mass_and_pt([w1, w2])[0], top, pt,
        *(jet[0] for jet in jets), *(jet[4] for jet in jets), *(jet[5] for jet in jets),
    ]  # fmt: skip


def lepton_of(event: dict[str, Any]) -> Sequence[float]:
    """Return pt, eta, phi and mass of the lepton that is selected."""
    for kind in ("Electron", "Muon"):
        for i in range(len(event[f"{kind}_pt"])):
            alone = {
                name: [value[i]] if name.startswith(kind) else [] if name.startswith(("Electron", "Muon")) else value
                for name, value in event.items()
            }
            if plain.leptons_of(alone, plain.Cuts()):
                return [float(event[f"{kind}_{x}"][i]) for x in ("pt", "eta", "phi", "mass")]
    raise ValueError("no lepton")


def jets_of(event: dict[str, Any], pts: Sequence[Any]) -> list[Jet]:
    """Return the first six jets that are selected, in the order of the file."""
    fields = ("eta", "phi", "mass", "btagCSVV2", "qgl")
    return [
        (float(pt), *(float(event[f"Jet_{x}"][i]) for x in fields))  # type: ignore[misc]
        for i, pt in enumerate(pts)
        if pt > 30 and abs(event["Jet_eta"][i]) < np.float32(2.4) and int(event["Jet_jetId"][i]) & 4
    ][:6]


def best_features(event: dict[str, Any], pts: Sequence[Any], models: dict[str, xgboost.Booster]) -> list[float]:
    """Return the features of the assignment with the largest output, of equal ones the first."""
    lepton, jets = lepton_of(event), jets_of(event, pts)
    rows = []
    for four in combinations(jets, 4):
        for w2, w1, btophad, btoplep in permutations(range(4)):
            if w2 < w1:  # the jets of the W boson are alike
                rows.append(features(lepton, four[w1], four[w2], four[btophad], four[btoplep]))
    model = models["odd" if int(event["event"]) % 2 == 0 else "even"]  # trained on the other events
    data = xgboost.DMatrix(np.array(rows, np.float32), feature_names=list(BINNING), nthread=1)
    return rows[int(np.argmax(model.predict(data, output_margin=True)))]


def filled(event: dict[str, Any], sample: str, weight: float) -> Iterator[tuple[str, Sequence[Any], float]]:
    """Yield (name of process and variation, pt of jets, weight) of what an event fills in the region 4j2b."""
    pts, cuts = event["Jet_pt"], plain.Cuts()
    nominal = sample in plain.XSEC
    result = plain.one_event(event, pts, cuts)
    if result is not None and result[0] == "4j2b":
        yield sample, pts, weight
        for name, factor in plain.variations(sample, result[2]) if nominal else ():
            yield f"{sample}{name}", pts, weight * factor
    if nominal:
        for name, varied in (("pt_scale_up", pts * np.float32(1.03)), ("pt_res_up", plain.smeared(event))):
            result = plain.one_event(event, varied, cuts)
            if result is not None and result[0] == "4j2b":
                yield f"{sample}_{name}", varied, weight


def analyse(samples: dict[str, Sequence[Path]], folder: Path) -> dict[str, Counts]:
    """Return the histograms of all features by name, without empty ones; the models are in `folder`."""
    models = {
        which: xgboost.Booster({"nthread": 1}, model_file=str(folder / f"bdt_trained_on_{which}.json"))
        for which in ("even", "odd")
    }
    found: dict[str, Counts] = {}
    for sample, files in samples.items():
        process = sample if sample in plain.XSEC else "ttbar"
        total = sum(uproot.open(path)["Events"].num_entries for path in files)
        for path in files:
            columns = uproot.open(path)["Events"].arrays(BRANCHES, library="np")
            for i in range(len(columns["run"])):
                event = {name: column[i] for name, column in columns.items()}
                if plain.leptons_of(event, plain.Cuts()) != 1:
                    continue
                known: dict[int, list[float]] = {}
                for name, pts, weight in filled(event, sample, plain.XSEC[process] * plain.LUMINOSITY / total):
                    if id(pts) not in known:
                        known[id(pts)] = best_features(event, pts, models)
                    for feature, value in zip(BINNING, known[id(pts)], strict=True):
                        found.setdefault(f"{feature}_{name}", Counts(*BINNING[feature])).fill(value, weight)
    for feature, edges in BINNING.items():
        sum_of_samples = found.setdefault(f"{feature}_pseudodata", Counts(*edges))
        for name, factor in (("ttbar_ME_var", 0.5), ("ttbar_PS_var", 0.5), ("wjets", 1.0)):
            sum_of_samples.add(found.get(f"{feature}_{name}", Counts(*edges)), factor)
    return found


def names_of_the_reference() -> set[str]:
    """Return the names of the 20 × 62 histograms."""
    region = "4j2b_"
    suffixes = {name.removeprefix(region) for name in plain.names_of_the_reference() if name.startswith(region)}
    return {f"{feature}_{suffix}" for feature in BINNING for suffix in suffixes}
