"""Demo data for the Analysis Grand Challenge: its samples, with the branches of CMS Open Data of 2015 that it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fasthep_parsl.demo.generator import ELECTRON_MASS, MUON_MASS, Objects, concatenate
from fasthep_parsl.demo.nanoaod import EVENTS_PER_LUMI, MC_RUN, collection_of
from fasthep_parsl.demo.top_quarks import TopProcess, draw_particles, measure
from fasthep_parsl.ops.arrays import np

if TYPE_CHECKING:
    from numpy.random import Generator

AGC_PROCESSES: Final[dict[str, TopProcess]] = {
    "ttbar_nominal": TopProcess(tops=2, negative=0.004, weight=225_892.453125),
    "ttbar_scaledown": TopProcess(tops=2, jets=1.75),
    "ttbar_scaleup": TopProcess(tops=2, jets=1.3),
    "ttbar_ME_var": TopProcess(tops=2, scale=1.05),
    "ttbar_PS_var": TopProcess(tops=2, scale=0.97, jets=1.7),
    "single_top_s_chan": TopProcess(tops=1, bottoms=1, leptonic=1.0),
    "single_top_t_chan": TopProcess(tops=1, bottoms=1, jets=2.0),
    "single_top_tW": TopProcess(tops=1, bosons=1, jets=1.7),
    "wjets": TopProcess(bosons=1, jets=3.0, leptonic=1.0, bottom_share=0.15, negative=0.16, weight=140_000.0),
}
"""Sample → what is generated. W+jets has more jets and more b quarks than in nature, so that small files fill all
histograms."""

AGC_SHARES: Final[dict[str, float]] = {
    "ttbar_nominal": 0.30, "ttbar_scaledown": 0.06, "ttbar_scaleup": 0.06, "ttbar_ME_var": 0.06, "ttbar_PS_var": 0.06,
    "single_top_s_chan": 0.06, "single_top_t_chan": 0.12, "single_top_tW": 0.06, "wjets": 0.22,
}  # fmt: skip
"""Sample → fraction of the events."""

AGC_BRANCHES: Final[dict[str, str]] = {
    "run": "uint32",
    "luminosityBlock": "uint32",
    "event": "uint64",
    "genWeight": "float32",
}
"""Branches with one value per event and their types, as in NanoAOD."""

_MOMENTUM: Final = dict.fromkeys(("pt", "eta", "phi", "mass"), "float32")
AGC_COLLECTIONS: Final[dict[str, dict[str, str]]] = {
    "Electron": {**_MOMENTUM, "charge": "int32", "cutBased": "int32", "sip3d": "float32"},
    "Muon": {**_MOMENTUM, "charge": "int32", "tightId": "bool", "sip3d": "float32", "pfRelIso04_all": "float32"},
    "Jet": {**_MOMENTUM, "jetId": "int32", "btagCSVV2": "float32", "qgl": "float32"},
}
"""Jagged branches: collection → field → type."""


def draw_agc_columns(rng: Generator, sample: str, size: int, first: int, norm: float) -> dict[str, Any]:
    """Generate `size` events of a sample and return their branches for ``extend`` of uproot.

    Parameters
    ----------
    rng : numpy.random.Generator
        Random number generator.
    sample : str
        Name in `AGC_PROCESSES`.
    size : int
        Number of events.
    first : int
        Number of the first event in all samples together. It makes (run, lumi, event) unique.
    norm : float
        Absolute value of ``genWeight``.

    Returns
    -------
    dict
        Branch → numpy array, collection → awkward record array.
    """
    process = AGC_PROCESSES[sample]
    particles = draw_particles(rng, process, size)
    electrons = measure(rng, particles.electrons, lowest=5, acceptance=2.5, resolution=0.018, efficiency=0.95)
    muons = measure(rng, particles.muons, lowest=3, acceptance=2.4, resolution=0.011, efficiency=0.97)
    # An electron is also clustered as a jet. Its charge marks it, as 5 marks a b quark.
    doubles = electrons.take(electrons.prompt)
    doubles.charge = np.full(len(doubles.pt), 11, np.int64)
    sources = concatenate([particles.jets, doubles])
    jets = measure(rng, sources, lowest=15, acceptance=4.7, resolution=0.11, efficiency=0.98)
    number = first + np.arange(size)
    columns = {
        "run": np.full(size, MC_RUN),
        "luminosityBlock": 1 + number // EVENTS_PER_LUMI,
        "event": 1 + number,
        "genWeight": norm * np.where(rng.random(size) < process.negative, -1, 1),
    }
    fields = {
        "Electron": (electrons, _electron_fields(rng, electrons)),
        "Muon": (muons, _muon_fields(rng, muons)),
        "Jet": (jets, _jet_fields(rng, jets)),
    }
    return {name: np.asarray(column).astype(AGC_BRANCHES[name]) for name, column in columns.items()} | {
        name: collection_of(AGC_COLLECTIONS[name], objects, size, more) for name, (objects, more) in fields.items()
    }


def _significance(rng: Generator, leptons: Objects) -> Any:
    """Return the significance of the impact parameter: near 1 for prompt leptons, large for those in jets."""
    return np.where(leptons.prompt, 0.9, 6.0) * np.sqrt(rng.chisquare(3, len(leptons.pt)) / 3)


def _electron_fields(rng: Generator, electrons: Objects) -> dict[str, Any]:
    quality = 4 - np.minimum(rng.poisson(np.where(electrons.prompt, 0.3, 2.2)), 4)
    mass = np.full(len(electrons.pt), ELECTRON_MASS)
    return {"mass": mass, "charge": electrons.charge, "cutBased": quality, "sip3d": _significance(rng, electrons)}


def _muon_fields(rng: Generator, muons: Objects) -> dict[str, Any]:
    size = len(muons.pt)
    isolation = np.where(muons.prompt, 0.035, 0.9) * rng.standard_exponential(size)
    return {
        "mass": np.full(size, MUON_MASS),
        "charge": muons.charge,
        "tightId": rng.random(size) < np.where(muons.prompt, 0.965, 0.45),
        "sip3d": _significance(rng, muons),
        "pfRelIso04_all": isolation,
    }


def _jet_fields(rng: Generator, jets: Objects) -> dict[str, Any]:
    """Return mass, identification (bits: 2 tight, 4 no lepton), b tag (-10: none) and quark-gluon likelihood."""
    size = len(jets.pt)
    mass = jets.pt * np.clip(0.15 + 0.05 * rng.standard_normal(size), 0.03, None)
    good = np.where(rng.random(size) < 0.97, 6, rng.choice([0, 2], size))
    draw = rng.random(size)
    tag = np.where(jets.charge == 5, 1 - draw**3, draw**9)
    return {
        "mass": mass,
        "jetId": np.where(jets.charge == 11, 2, good),
        "btagCSVV2": np.where(rng.random(size) < 0.04, -10.0, tag),
        "qgl": rng.beta(2.2, 1.4, size),
    }
