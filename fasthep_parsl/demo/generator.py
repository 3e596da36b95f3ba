"""Event generator of the demo data: plausible collision events from random numbers, equal for equal seeds.

This is not a simulation. The masses of Z bosons follow a Breit-Wigner distribution. They get a transverse momentum and a
rapidity, decay isotropically, and their leptons are boosted and smeared. Top pairs give two independent leptons, b jets
and missing momentum. The dimuon mass peaks because of the Z decay; the rest looks like background.

All momenta and masses are in GeV, all angles in radians.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fasthep_parsl.ops.arrays import np

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

Z_MASS: Final = 91.1876
Z_WIDTH: Final = 2.4952
MUON_MASS: Final = 0.1056584
ELECTRON_MASS: Final = 0.000511


@dataclass(frozen=True, slots=True)
class PhysicsProcess:
    """A physics process.

    Attributes
    ----------
    z_bosons : int
        Number of Z bosons that may decay to leptons.
    top_pair : bool
        Whether the event has two W bosons, which give leptons and neutrinos, and two b jets.
    jets : float
        Mean number of additional jets above 20 GeV.
    jet_scale : float
        Slope of the transverse momentum of jets, GeV.
    negative : float
        Fraction of simulated events with a negative weight.
    share : float
        Fraction of events in data.
    """

    z_bosons: int = 0
    top_pair: bool = False
    jets: float = 1.3
    jet_scale: float = 22.0
    negative: float = 0.0
    share: float = 0.0


PROCESSES: Final = {
    "dy": PhysicsProcess(z_bosons=1, negative=0.15, share=0.90),
    "ttbar": PhysicsProcess(top_pair=True, jets=2.8, jet_scale=38.0, negative=0.004, share=0.085),
    "zz": PhysicsProcess(z_bosons=2, jets=1.1, jet_scale=28.0, share=0.015),
}


@dataclass(slots=True)
class Objects:
    """Particles of a chunk as flat arrays, with the number of their event."""

    event: Ints
    pt: Floats
    eta: Floats
    phi: Floats
    charge: Ints
    prompt: NDArray[np.bool_]

    def take(self, index: Any) -> Objects:
        """Return the particles at `index` (positions or mask)."""
        return Objects(*(getattr(self, name)[index] for name in _FIELDS))


_FIELDS = ("event", "pt", "eta", "phi", "charge", "prompt")


def concatenate(parts: list[Objects]) -> Objects:
    """Return all particles of `parts`."""
    return Objects(*(np.concatenate([getattr(part, name) for part in parts]) for name in _FIELDS))


def pt_order(objects: Objects) -> Ints:
    """Return positions that sort particles by event, then by decreasing transverse momentum."""
    # One float key sorts faster than two keys. 53 bits have room for the event number and a fraction below 0.5.
    return np.argsort(objects.event - np.minimum(objects.pt, 1e4) / 2e4)


def draw_z_decays(rng: Generator, event: Ints) -> tuple[Objects, Objects, Floats]:
    """Generate one Z boson that decays to two leptons in each of `event`.

    Returns
    -------
    leptons : pair of Objects
        The two leptons, with opposite charges, before detector effects.
    recoil : ndarray, shape (len(event), 2)
        Transverse momentum of the Z, GeV.
    """
    n = len(event)
    low, high = (np.arctan(2 * (edge - Z_MASS) / Z_WIDTH) for edge in (40.0, 250.0))
    mass = Z_MASS + 0.5 * Z_WIDTH * np.tan(low + (high - low) * rng.random(n))
    photon = rng.random(n) < 0.06  # continuum, decreasing with the mass
    mass = np.where(photon, 30.0 / np.sqrt(1 - 0.97 * rng.random(n)), mass)
    pt = 9.0 * np.sqrt(np.maximum(rng.random(n), 1e-7) ** -0.55 - 1)
    phi = rng.uniform(-np.pi, np.pi, n)
    rapidity = 1.7 * rng.standard_normal(n)
    boson = np.stack([pt * np.cos(phi), pt * np.sin(phi), np.hypot(mass, pt) * np.sinh(rapidity)])
    energy = np.sqrt(mass**2 + np.sum(boson**2, axis=0))

    cosine = rng.uniform(-1, 1, n)
    angle = rng.uniform(-np.pi, np.pi, n)
    sine = np.sqrt(1 - cosine**2)
    half = 0.5 * mass  # leptons are massless at this scale
    lepton = half * np.stack([sine * np.cos(angle), sine * np.sin(angle), cosine])
    along = np.sum(lepton * boson, axis=0)
    first = lepton + boson * ((along / (energy + mass) + half) / mass)
    second = boson - first
    charge = 2 * rng.integers(0, 2, n) - 1
    return _from_momenta(event, first, charge), _from_momenta(event, second, -charge), boson[:2].T


def _from_momenta(event: Ints, momentum: Floats, charge: Ints) -> Objects:
    pt = np.maximum(np.hypot(momentum[0], momentum[1]), 1e-3)
    return Objects(
        event,
        pt,
        np.arcsinh(momentum[2] / pt),
        np.arctan2(momentum[1], momentum[0]),
        charge,
        np.ones(len(event), bool),
    )


def draw_single_leptons(rng: Generator, event: Ints, charge: Ints, *, scale: float, prompt: bool) -> Objects:
    """Generate one lepton in each of `event` with a mean transverse momentum of ``2 * scale`` [GeV]."""
    n = len(event)
    pt = -scale * np.log(np.maximum(rng.random(n) * rng.random(n), 1e-12))
    eta = (1.1 if prompt else 1.6) * rng.standard_normal(n)
    return Objects(event, pt, eta, rng.uniform(-np.pi, np.pi, n), charge, np.full(n, prompt))


def measure_leptons(
    rng: Generator, leptons: Objects, *, lowest: float, acceptance: float, resolution: float
) -> Objects:
    """Return the reconstructed leptons, sorted: smeared, within acceptance, with an efficiency of 97 %."""
    n = len(leptons.pt)
    width = resolution * (1 + 0.25 * np.abs(leptons.eta))
    smeared = np.abs(leptons.pt * (1 + width * rng.standard_normal(n)))
    seen = (smeared > lowest) & (np.abs(leptons.eta) < acceptance) & (rng.random(n) < 0.97)
    found = leptons.take(seen)
    found.pt = smeared[seen]
    return found.take(pt_order(found))


@dataclass(slots=True)
class Chunk:
    """Particles of a number of events, before conversion to branches."""

    muons: Objects
    electrons: Objects
    jets: Objects
    jet_is_b: NDArray[np.bool_]
    missing: Floats


def draw_chunk(rng: Generator, process: NDArray[np.int8]) -> Chunk:
    """Generate the particles of ``len(process)`` events.

    Parameters
    ----------
    rng : numpy.random.Generator
        Random number generator.
    process : ndarray of int8, shape (events,)
        Position in `PROCESSES` of the process of each event.
    """
    kinds = list(PROCESSES.values())
    n = len(process)
    events = np.arange(n)
    muons, electrons = [], []
    missing = 13.0 * rng.standard_normal((n, 2))  # detector resolution

    bosons = np.array([kind.z_bosons for kind in kinds])[process]
    for number, muon_share in ((1, 0.48), (2, 0.12)):
        chosen = events[bosons >= number]
        lucky = rng.random(len(chosen))
        to_muons, to_electrons = lucky < muon_share, (lucky >= muon_share) & (lucky < 2 * muon_share)
        first, second, momentum = draw_z_decays(rng, chosen)
        muons += [first.take(to_muons), second.take(to_muons)]
        electrons += [first.take(to_electrons), second.take(to_electrons)]
        missing[chosen] += 0.08 * momentum

    tops = events[np.array([kind.top_pair for kind in kinds])[process]]
    sign = 2 * rng.integers(0, 2, len(tops)) - 1
    for charge in (sign, -sign):
        lucky = rng.random(len(tops))
        to_muon, to_electron = lucky < 0.25, (lucky >= 0.25) & (lucky < 0.5)
        lepton = draw_single_leptons(rng, tops, charge, scale=24.0, prompt=True)
        muons.append(lepton.take(to_muon))
        electrons.append(lepton.take(to_electron))
        angle, size = rng.uniform(-np.pi, np.pi, len(tops)), -26.0 * np.log1p(-rng.random((2, len(tops)))).sum(axis=0)
        missing[tops] += np.stack([size * np.cos(angle), size * np.sin(angle)], axis=1) * (lucky < 0.5)[:, None]

    for leptons, mean, scale in ((muons, 0.22, 3.0), (electrons, 0.18, 4.5)):
        soft = np.repeat(events, rng.poisson(mean, n))
        leptons.append(draw_single_leptons(rng, soft, 2 * rng.integers(0, 2, len(soft)) - 1, scale=scale, prompt=False))
    jets, is_b = _draw_jets(rng, process, tops)
    return Chunk(
        measure_leptons(rng, concatenate(muons), lowest=3.0, acceptance=2.4, resolution=0.011),
        measure_leptons(rng, concatenate(electrons), lowest=5.0, acceptance=2.5, resolution=0.018),
        jets,
        is_b,
        missing,
    )


def _draw_jets(rng: Generator, process: NDArray[np.int8], tops: Ints) -> tuple[Objects, NDArray[np.bool_]]:
    """Generate jets above 20 GeV. Events of `tops` have two additional b jets, most of them within acceptance."""
    kinds = list(PROCESSES.values())
    n = len(process)
    light = np.repeat(np.arange(n), rng.poisson(np.array([kind.jets for kind in kinds])[process]))
    bottom = np.repeat(tops, 2)
    event = np.concatenate([light, bottom])
    is_b = np.arange(len(event)) >= len(light)
    is_b |= rng.random(len(event)) < 0.02  # gluon splitting
    scale = np.array([kind.jet_scale for kind in kinds])[process][event]
    width = np.where(np.arange(len(event)) >= len(light), 1.1, 2.0)
    size = len(event)
    jets = Objects(
        event,
        20 - scale * np.log1p(-rng.random(size)),
        np.clip(width * rng.standard_normal(size), -4.7, 4.7),
        rng.uniform(-np.pi, np.pi, size),
        np.zeros(size, np.int64),
        np.ones(size, bool),
    )
    order = pt_order(jets)
    return jets.take(order), is_b[order]
