"""Branches of the demo data: convert generated particles to the branches of a NanoAOD `Events` tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from fasthep_parsl.demo.generator import ELECTRON_MASS, MUON_MASS, Objects, draw_chunk
from fasthep_parsl.ops.arrays import ak, np

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

BRANCHES: Final[dict[str, str]] = {
    "run": "uint32",
    "luminosityBlock": "uint32",
    "event": "uint64",
    "HLT_IsoMu24": "bool",
    "genWeight": "float32",
    "MET_pt": "float32",
    "MET_phi": "float32",
    "PV_npvs": "int32",
    "PV_npvsGood": "int32",
}
"""Branches with one value per event and their types, as in NanoAOD."""

COLLECTIONS: Final[dict[str, dict[str, str]]] = {
    "Muon": {
        "pt": "float32",
        "eta": "float32",
        "phi": "float32",
        "mass": "float32",
        "charge": "int32",
        "tightId": "bool",
        "pfRelIso04_all": "float32",
    },
    "Electron": {
        "pt": "float32",
        "eta": "float32",
        "phi": "float32",
        "mass": "float32",
        "charge": "int32",
        "cutBased": "int32",
        "pfRelIso03_all": "float32",
    },
    "Jet": {"pt": "float32", "eta": "float32", "phi": "float32", "mass": "float32", "btagDeepFlavB": "float32"},
}
"""Jagged branches: collection → field → type. The counter of a collection is ``n<collection>``, int32."""

MC_RUN: Final = 1
DATA_RUN: Final = 362_433
EVENTS_PER_LUMI: Final = 250


def draw_columns(
    rng: Generator, process: NDArray[np.int8], weights: NDArray[np.float32], *, first: int, is_data: bool
) -> dict[str, Any]:
    """Generate ``len(process)`` events and return their branches for ``extend`` of uproot.

    Parameters
    ----------
    rng : numpy.random.Generator
        Random number generator.
    process : ndarray of int8, shape (events,)
        Physics process of each event, see `generator.draw_chunk`.
    weights : ndarray of float32, shape (events,)
        Branch ``genWeight``.
    first : int
        Number of the first event in all datasets together. It makes (run, lumi, event) unique.
    is_data : bool
        Use run numbers of data.

    Returns
    -------
    dict
        Branch → numpy array, collection → awkward record array.
    """
    n = len(process)
    chunk = draw_chunk(rng, process)
    number = first + np.arange(n)
    vertices = 1 + rng.poisson(32, n)
    missing = chunk.missing
    columns = {
        "run": (DATA_RUN + number // 400_000) if is_data else np.full(n, MC_RUN),
        "luminosityBlock": 1 + number // EVENTS_PER_LUMI,
        "event": 1 + number,
        "HLT_IsoMu24": _trigger(rng, chunk.muons, n),
        "genWeight": weights,
        "MET_pt": round_off(np.hypot(missing[:, 0], missing[:, 1])),
        "MET_phi": round_off(np.arctan2(missing[:, 1], missing[:, 0])),
        "PV_npvs": vertices,
        "PV_npvsGood": vertices - rng.binomial(vertices, 0.08),
    }
    typed = {name: np.asarray(column).astype(BRANCHES[name]) for name, column in columns.items()}
    muons, electrons, jets = chunk.muons, chunk.electrons, chunk.jets
    return typed | {
        "Muon": collection_of(COLLECTIONS["Muon"], muons, n, _muon_fields(rng, muons)),
        "Electron": collection_of(COLLECTIONS["Electron"], electrons, n, _electron_fields(rng, electrons)),
        "Jet": collection_of(COLLECTIONS["Jet"], jets, n, _jet_fields(rng, jets, chunk.jet_is_b)),
    }


def _trigger(rng: Generator, muons: Objects, events: int) -> NDArray[np.bool_]:
    """Return the events in which a prompt muon fires a 24 GeV trigger with a turn-on of 1 GeV."""
    efficiency = 0.91 / (1 + np.exp(np.clip(24.0 - muons.pt, -50, 50)))
    fires = muons.prompt & (rng.random(len(muons.pt)) < efficiency)
    return np.bincount(muons.event[fires], minlength=events) > 0


def _isolation(rng: Generator, leptons: Objects) -> NDArray[np.float64]:
    """Return the relative isolation: small for prompt leptons, large for leptons in jets."""
    n = len(leptons.pt)
    return np.where(leptons.prompt, 0.035, 0.9) * rng.standard_exponential(n) * (rng.random(n) < 0.8)


def _muon_fields(rng: Generator, muons: Objects) -> dict[str, Any]:
    tight = rng.random(len(muons.pt)) < np.where(muons.prompt, 0.965, 0.45)
    mass = np.full(len(muons.pt), MUON_MASS)
    return {"mass": mass, "charge": muons.charge, "tightId": tight, "pfRelIso04_all": _isolation(rng, muons)}


def _electron_fields(rng: Generator, electrons: Objects) -> dict[str, Any]:
    n = len(electrons.pt)
    quality = 4 - np.minimum(rng.poisson(np.where(electrons.prompt, 0.35, 2.2)), 4)
    mass = np.full(n, ELECTRON_MASS)
    isolation = _isolation(rng, electrons)
    return {"mass": mass, "charge": electrons.charge, "cutBased": quality, "pfRelIso03_all": isolation}


def _jet_fields(rng: Generator, jets: Objects, is_b: NDArray[np.bool_]) -> dict[str, Any]:
    n = len(jets.pt)
    draw = rng.random(n)
    mass = jets.pt * (0.06 + 0.05 * rng.standard_exponential(n))
    return {"mass": mass, "btagDeepFlavB": np.where(is_b, 1 - draw**3, draw**8)}


def collection_of(types: Mapping[str, str], objects: Objects, events: int, more: Mapping[str, Any]) -> Any:
    """Return the objects as an awkward array with one list of records per event.

    Parameters
    ----------
    types : mapping
        Field → type, in the order of the record.
    objects : Objects
        The objects, ordered by event.
    events : int
        Number of events.
    more : mapping
        Field → values, in addition to pt, eta and phi.
    """
    fields = {"pt": objects.pt, "eta": objects.eta, "phi": objects.phi, **more}
    flat = [
        round_off(fields[key]) if types[key] == "float32" else np.asarray(fields[key]).astype(types[key])
        for key in types
    ]
    offsets = np.zeros(events + 1, np.int64)
    np.cumsum(np.bincount(objects.event, minlength=events), out=offsets[1:])
    record = ak.contents.RecordArray([ak.contents.NumpyArray(column) for column in flat], list(types))
    return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(offsets), record))


def round_off(values: NDArray[Any], bits: int = 12) -> NDArray[np.float32]:
    """Return float32 rounded to `bits` bits of mantissa, as in NanoAOD, so that files compress better."""
    drop = 23 - bits
    raw = np.asarray(values, dtype=np.float32).view(np.uint32)
    rounded = (raw + np.uint32(1 << (drop - 1))) & np.uint32(0xFFFFFFFF << drop & 0xFFFFFFFF)
    return rounded.view(np.float32)
