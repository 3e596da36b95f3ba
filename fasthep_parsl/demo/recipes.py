"""Recipes of demo data: which datasets there are, which branches they have, and how events are drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

from fasthep_parsl.demo.agc import AGC_BRANCHES, AGC_COLLECTIONS, AGC_PROCESSES, AGC_SHARES, draw_agc_columns
from fasthep_parsl.demo.agc_corrections import CORRECTIONS_FILE, agc_corrections
from fasthep_parsl.demo.agc_models import MODEL_FILES, agc_model
from fasthep_parsl.demo.generator import PROCESSES
from fasthep_parsl.demo.nanoaod import BRANCHES, COLLECTIONS, draw_columns
from fasthep_parsl.ops.arrays import np

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

Like = Literal["dimuon", "agc"]
"""Analysis for which data are written."""

DATASETS: Final[dict[str, float]] = {"data": 0.30, "dy": 0.45, "ttbar": 0.17, "zz": 0.08}
"""Dataset of the dimuon analysis → fraction of the events."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How data for one analysis are made.

    Attributes
    ----------
    shares : mapping
        Dataset → fraction of the events, as the default.
    branches, collections : mapping
        Branch → type; collection → field → type.
    norms : callable
        Takes dataset → number of events, returns dataset → absolute value of ``genWeight``.
    draw : callable
        Takes ``(rng, dataset, size, first, norm)`` and returns `size` events as arguments of ``extend`` of uproot.
        `first` is the number of the first event in all datasets together.
    documents : mapping
        Name of a further file → function that returns its JSON content.
    """

    shares: Mapping[str, float]
    branches: Mapping[str, str]
    collections: Mapping[str, Mapping[str, str]]
    norms: Callable[[Mapping[str, int]], Mapping[str, float]]
    draw: Callable[[Generator, str, int, int, float], dict[str, Any]]
    documents: Mapping[str, Callable[[], Mapping[str, Any]]] = field(default_factory=dict)


def _dimuon_norms(sizes: Mapping[str, int]) -> dict[str, float]:
    """Normalise simulation to the events of ``data``, or without ``data`` to all events."""
    observed = sizes.get("data", sum(sizes.values()))
    return {
        name: observed * PROCESSES[name].share / (size * (1 - 2 * PROCESSES[name].negative))
        if name in PROCESSES
        else 1.0
        for name, size in sizes.items()
    }


def _draw_dimuon(rng: Generator, dataset: str, size: int, first: int, norm: float) -> dict[str, Any]:
    names = list(PROCESSES)
    process: NDArray[np.int8]
    if dataset in PROCESSES:
        process = np.full(size, names.index(dataset), np.int8)
        sign = np.where(rng.random(size) < PROCESSES[dataset].negative, -1, 1)
    else:
        process = rng.choice(len(names), size, p=[kind.share for kind in PROCESSES.values()]).astype(np.int8)
        sign = np.ones(size)
    weights = (norm * sign).astype(np.float32)
    return draw_columns(rng, process, weights, first=first, is_data=dataset not in PROCESSES)


RECIPES: Final[dict[Like, Recipe]] = {
    "dimuon": Recipe(DATASETS, BRANCHES, COLLECTIONS, _dimuon_norms, _draw_dimuon),
    "agc": Recipe(
        AGC_SHARES,
        AGC_BRANCHES,
        AGC_COLLECTIONS,
        lambda sizes: {name: AGC_PROCESSES[name].weight for name in sizes},
        draw_agc_columns,
        {CORRECTIONS_FILE: agc_corrections}
        | {name: partial(agc_model, parity) for parity, name in MODEL_FILES.items()},
    ),
}
"""All recipes by the name of their analysis."""
