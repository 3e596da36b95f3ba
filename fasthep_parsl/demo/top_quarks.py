"""Event generator of the demo data for the Analysis Grand Challenge: top quarks and W bosons with jets.

Heavy particles get a transverse momentum and a rapidity and decay isotropically in two bodies. Leptons and quarks are
smeared. So the masses of two and three jets peak at those of the W boson and the top quark. This is not a simulation.

All momenta and masses are in GeV, all angles in radians. Momenta are arrays of shape (4, n): px, py, pz, energy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fasthep_parsl.demo.generator import Objects, concatenate, pt_order
from fasthep_parsl.ops.arrays import np

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from fasthep_parsl.demo.generator import Floats, Ints

TOP_MASS: Final = 172.5
W_MASS: Final = 80.4
B_MASS: Final = 4.8


@dataclass(frozen=True, slots=True)
class TopProcess:
    """A physics process with top quarks or W bosons.

    Attributes
    ----------
    tops, bosons, bottoms : int
        Number of top quarks, and of W bosons and b quarks that do not come from top quarks.
    jets : float
        Mean number of additional jets.
    scale : float
        Factor of all transverse momenta.
    leptonic : float
        Fraction of W bosons that decay to an electron, a muon or a tau.
    bottom_share : float
        Fraction of additional jets with a b quark.
    weight : float
        Absolute value of ``genWeight``.
    negative : float
        Fraction of events with a negative ``genWeight``.
    """

    tops: int = 0
    bosons: int = 0
    bottoms: int = 0
    jets: float = 1.5
    scale: float = 1.0
    leptonic: float = 0.324
    bottom_share: float = 0.03
    weight: float = 1.0
    negative: float = 0.0


@dataclass(slots=True)
class Particles:
    """Particles before detector effects.

    Attributes
    ----------
    electrons, muons : Objects
        Leptons; `Objects.prompt` is false for those in jets.
    jets : Objects
        Quarks and gluons; `Objects.charge` is 5 for b quarks and 0 for others.
    """

    electrons: Objects
    muons: Objects
    jets: Objects


def draw_heavy(rng: Generator, size: int, mass: float, scale: float) -> Floats:
    """Return the momenta of `size` heavy particles with a mean transverse momentum of about ``1.1 * scale`` GeV."""
    pt = scale * np.sqrt(-2 * np.log1p(-rng.random(size))) * (0.6 + 0.5 * rng.random(size))
    phi = rng.uniform(-np.pi, np.pi, size)
    return _momentum(pt, 0.95 * rng.standard_normal(size), phi, mass)


def _momentum(pt: Floats, rapidity: Floats, phi: Floats, mass: float) -> Floats:
    transverse = np.hypot(pt, mass)
    return np.stack(
        [pt * np.cos(phi), pt * np.sin(phi), transverse * np.sinh(rapidity), transverse * np.cosh(rapidity)]
    )


def decay(
    rng: Generator, parent: Floats, mass: float, first: float = 0.0, second: float = 0.0
) -> tuple[Floats, Floats]:
    """Return the momenta of two particles of masses `first` and `second` from isotropic decays of `parent`.

    The momentum in the rest frame is ``sqrt((M² - (m1 + m2)²) (M² - (m1 - m2)²)) / 2M``.
    """
    size = parent.shape[1]
    momentum = np.sqrt((mass**2 - (first + second) ** 2) * (mass**2 - (first - second) ** 2)) / (2 * mass)
    cosine, angle = rng.uniform(-1, 1, size), rng.uniform(-np.pi, np.pi, size)
    sine = np.sqrt(1 - cosine**2)
    rest = momentum * np.stack([sine * np.cos(angle), sine * np.sin(angle), cosine])
    energy = np.sqrt(momentum**2 + first**2)
    along = np.sum(rest * parent[:3], axis=0)
    one = np.empty_like(parent)
    one[:3] = rest + parent[:3] * ((along / (parent[3] + mass) + energy) / mass)
    one[3] = (parent[3] * energy + along) / mass
    return one, parent - one


def draw_particles(rng: Generator, process: TopProcess, size: int) -> Particles:
    """Generate the particles of `size` events of a process."""
    events = np.arange(size)
    bosons, bottoms = [], []
    tops = [draw_heavy(rng, size, TOP_MASS, 85.0 * process.scale) for _ in range(process.tops)]
    for top in tops[1:]:  # balances the first one
        top[:2] = 18.0 * rng.standard_normal((2, size)) - tops[0][:2]
        top[3] = np.sqrt(np.sum(top[:3] ** 2, axis=0) + TOP_MASS**2)
    for top in tops:
        boson, bottom = decay(rng, top, TOP_MASS, W_MASS, B_MASS)
        bosons.append(boson)
        bottoms.append(_objects(events, bottom, 5))
    bosons += [draw_heavy(rng, size, W_MASS, 60.0 * process.scale) for _ in range(process.bosons)]
    bottoms += [_soft_jets(rng, events, 26.0 * process.scale, 5) for _ in range(process.bottoms)]
    leptons, quarks = _decay_bosons(rng, bosons, events, process.leptonic)
    radiated = _soft_jets(rng, np.repeat(events, rng.poisson(process.jets, size)), 30.0 * process.scale, 0)
    radiated.charge[rng.random(len(radiated.event)) < process.bottom_share] = 5
    pileup = _soft_jets(rng, np.repeat(events, rng.poisson(1.4, size)), 4.0, 0)
    electrons, muons = leptons
    for found, mean, slope in ((electrons, 0.15, 4.5), (muons, 0.2, 3.0)):
        found.append(_leptons_in_jets(rng, np.repeat(events, rng.poisson(mean, size)), slope))
    jets = concatenate([*quarks, *bottoms, radiated, pileup])
    return Particles(concatenate(electrons), concatenate(muons), jets)


def _decay_bosons(
    rng: Generator, bosons: list[Floats], events: Ints, leptonic: float
) -> tuple[tuple[list[Objects], list[Objects]], list[Objects]]:
    """Return electrons and muons, and quarks, from W bosons. A tau is lost, or a soft electron or muon."""
    electrons, muons, quarks = [], [], []
    for boson in bosons:
        one, two = decay(rng, boson, W_MASS)
        draw = rng.random(len(events)) / leptonic
        kind = np.where(draw < 1, np.minimum(draw * 3, 2).astype(int), 3)  # electron, muon, tau, quarks
        fate = rng.random(len(events))
        soft = np.where(kind == 2, 0.2 + 0.5 * rng.random(len(events)), 1.0)
        lepton = _objects(events, one * soft, 1)
        lepton.charge = 2 * rng.integers(0, 2, len(events)) - 1
        electrons.append(lepton.take((kind == 0) | ((kind == 2) & (fate < 0.18))))
        muons.append(lepton.take((kind == 1) | ((kind == 2) & (fate > 0.82))))
        hadronic = kind == 3
        quarks += [_objects(events, quark, 0).take(hadronic) for quark in (one, two)]
    return (electrons, muons), quarks


def _objects(event: Ints, momentum: Floats, charge: int) -> Objects:
    pt = np.maximum(np.hypot(momentum[0], momentum[1]), 1e-3)
    eta, phi = np.arcsinh(momentum[2] / pt), np.arctan2(momentum[1], momentum[0])
    return Objects(event, pt, eta, phi, np.full(len(event), charge, np.int64), np.ones(len(event), bool))


def _soft_jets(rng: Generator, event: Ints, slope: float, flavour: int) -> Objects:
    size = len(event)
    pt, eta = 15 - slope * np.log1p(-rng.random(size)), 1.7 * rng.standard_normal(size)
    phi = rng.uniform(-np.pi, np.pi, size)
    return Objects(event, pt, eta, phi, np.full(size, flavour, np.int64), np.ones(size, bool))


def _leptons_in_jets(rng: Generator, event: Ints, slope: float) -> Objects:
    size = len(event)
    pt, eta = 5 - slope * np.log1p(-rng.random(size)), 1.3 * rng.standard_normal(size)
    phi, charge = rng.uniform(-np.pi, np.pi, size), 2 * rng.integers(0, 2, size) - 1
    return Objects(event, pt, eta, phi, charge, np.zeros(size, bool))


def measure(
    rng: Generator, objects: Objects, *, lowest: float, acceptance: float, resolution: float, efficiency: float
) -> Objects:
    """Return what is reconstructed of `objects`: smeared, within acceptance, by event and falling pt."""
    size = len(objects.pt)
    smeared = np.abs(objects.pt * (1 + resolution * rng.standard_normal(size)))
    seen: NDArray[np.bool_] = (smeared > lowest) & (np.abs(objects.eta) < acceptance) & (rng.random(size) < efficiency)
    found = objects.take(seen)
    found.pt = smeared[seen]
    return found.take(pt_order(found))
