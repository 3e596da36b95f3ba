"""Kernels against array functions: the dimuon selection and pair mass, and the ops that have kernels, in one process.

All variants must select the same events and give the same masses. Reading and filling are not measured. Kernels are
compiled before the measurement; the time of compilation is a separate row.
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import awkward as ak
import numpy as np
import uproot
from setting import BenchmarkError, Options, Row, data_folder, middle

from fasthep_parsl import float64, kernel, lists
from fasthep_parsl.kernels import CompileTarget, cache, compiling_for
from fasthep_parsl.kernels.physics import mass_of_two
from fasthep_parsl.ops.clean import clean
from fasthep_parsl.ops.combinations import build_pairs
from fasthep_parsl.ops.define import define
from fasthep_parsl.ops.objects import select_objects
from fasthep_parsl.ops.selection import select
from fasthep_parsl.ops.stream import Events

EVENTS = 200_000
REPEATS = 15
MUON = ("pt", "eta", "phi", "mass", "charge", "tightId", "pfRelIso04_all")
COMPILED = CompileTarget("cpu")


# --- one kernel -------------------------------------------------------------------------------------------


def is_good(pt, eta, tight, isolation):
    # `&`, not `and`: computing all four conditions is cheaper than mispredicted branches.
    return (pt > 20.0) & (abs(eta) < 2.4) & tight & (isolation < 0.15)


@kernel
def best_pair(i, offsets, pt, eta, phi, mass, charge, tight, isolation, vertices, out):
    leading, best = 0.0, math.inf
    for a in range(offsets[i], offsets[i + 1]):
        if is_good(pt[a], eta[a], tight[a], isolation[a]):
            leading = max(leading, float64(pt[a]))
            for b in range(a + 1, offsets[i + 1]):
                if (charge[a] * charge[b] < 0) & is_good(pt[b], eta[b], tight[b], isolation[b]):
                    found = mass_of_two(
                        float64(pt[a]), float64(eta[a]), float64(phi[a]), float64(mass[a]),
                        float64(pt[b]), float64(eta[b]), float64(phi[b]), float64(mass[b]),
                    )  # fmt: skip
                    if abs(found - 91.2) < abs(best - 91.2):
                        best = found
    passed = (vertices[i] > 0) & (leading > 26.0) & (best > 60.0) & (best < 120.0)
    out[i] = best if passed else math.nan


def with_kernel(events: Events) -> Any:
    offsets, *fields = lists(events, *(f"Muon_{name}" for name in MUON))
    out = np.empty(len(events))
    best_pair(len(events), offsets, *fields, events.PV_npvsGood, out)
    return out[~np.isnan(out)]


# --- array functions --------------------------------------------------------------------------------------


def four_momentum(muon: Any) -> Sequence[Any]:
    pt, eta, phi, mass = (ak.values_astype(muon[name], np.float64) for name in ("pt", "eta", "phi", "mass"))
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    return px, py, pz, np.sqrt(px**2 + py**2 + pz**2 + mass**2)


def with_awkward(events: Events) -> Any:
    """Evaluate the expressions of ``handwritten.py``. Drop events as soon as they fail a cut."""
    columns = {f"Muon_{name}": events[f"Muon_{name}"] for name in MUON}
    kept = events.PV_npvsGood > 0
    columns = {name: values[kept] for name, values in columns.items()}
    good = (
        (columns["Muon_pt"] > 20) & (abs(columns["Muon_eta"]) < 2.4) & columns["Muon_tightId"]
        & (columns["Muon_pfRelIso04_all"] < 0.15)
    )  # fmt: skip
    enough = ak.sum(good, axis=1) >= 2
    good = good[enough]
    muons = ak.zip({name: columns[f"Muon_{name}"][enough][good] for name in MUON[:5]})
    muons = muons[ak.any(muons.pt > 26, axis=1)]
    first, second = ak.unzip(ak.combinations(muons, 2))
    opposite = first.charge * second.charge < 0
    some = ak.any(opposite, axis=1)
    first, second = first[opposite][some], second[opposite][some]
    px, py, pz, energy = (a + b for a, b in zip(four_momentum(first), four_momentum(second), strict=True))
    mass = np.sqrt(np.maximum(energy**2 - px**2 - py**2 - pz**2, 0))
    best = ak.to_numpy(mass[ak.argmin(abs(mass - 91.2), axis=1, keepdims=True)][:, 0])
    return best[(best > 60) & (best < 120)]


def called(function: Any, events: Events, **params: Any) -> Events:
    model = function.op.params(**params)
    result = function(events, **function.op.keywords(model))
    return result if isinstance(result, Events) else events.with_columns(result)


def with_ops(events: Events) -> Any:
    """Run the stages of ``configs/dimuon.yaml``."""
    events = called(
        select_objects, events, collection="Muon", output="Good", keep=list(MUON[:5]), sort=False,
        selection=["pt > 20", "abs(eta) < 2.4", "tightId", "pfRelIso04_all < 0.15"],
    )  # fmt: skip
    cuts = {"All": ["PV_npvsGood > 0", "nGood >= 2", "max(Good_pt) > 26"]}
    events = called(select, events, selection=cuts)
    pairs = {"selection": {"pair": ["lepton_1_charge * lepton_2_charge < 0"]}, "keep": {"candidate": ["mass"]}}
    nearest = {"by": "abs(mass - 91.2)", "order": "ascending"}
    events = called(build_pairs, events, collections=["Good"], output="mumu", sort=nearest, **pairs)
    events = called(define, events, variables=[{"name": "mass", "expr": "leading(mumu_Z_mass)"}])
    events = called(select, events, selection={"All": ["nmumu_Z >= 1", "mass > 60", "mass < 120"]})
    return ak.to_numpy(events.mass)


# --- measuring --------------------------------------------------------------------------------------------


def read(events: int) -> Events:
    folder = data_folder(events)
    names = [f"Muon_{name}" for name in MUON] + ["Jet_pt", "Jet_eta", "Jet_phi", "PV_npvsGood"]
    parts = [
        uproot.open(path)["Events"].arrays(names, library="ak")
        for dataset in ("data", "dy", "ttbar", "zz")
        for path in sorted(folder.glob(f"{dataset}_*.root"))
    ]
    whole = ak.concatenate(parts)
    columns = {name: ak.to_packed(whole[name]) for name in names}
    columns["PV_npvsGood"] = ak.to_numpy(columns["PV_npvsGood"])
    return Events(columns, len(whole))


def alternating(ways: Sequence[Callable[[], Any]], repeats: int) -> list[float]:
    """Return the median time of each variant in ms. Calls alternate, so all variants run under the same conditions."""
    times: list[list[float]] = [[] for _ in ways]
    for number in range(repeats + 2):
        for way, taken in zip(ways, times, strict=True):
            start = time.perf_counter()
            way()
            if number >= 2:  # after two calls, caches are warm and code is compiled
                taken.append(1000 * (time.perf_counter() - start))
    return [middle(taken) for taken in times]


def compiled(function: Callable[[], Any]) -> Callable[[], Any]:
    def call() -> Any:
        with compiling_for(COMPILED):
            return function()

    return call


def check(events: Events) -> None:
    expected = with_awkward(events)
    for way in (with_kernel, with_ops, compiled(lambda: with_ops(events))):
        found = way(events) if way in (with_kernel, with_ops) else way()
        if len(found) != len(expected) or not np.allclose(found, expected, rtol=1e-9, atol=0):
            raise BenchmarkError(f"{len(found)} events are selected instead of {len(expected)}, or masses differ")


def kernels(options: Options) -> list[Row]:
    """Compare one kernel with awkward expressions and with our ops, and ops with and without ``cuda.jit`` on the CPU."""
    del options
    events = read(EVENTS)
    with tempfile.TemporaryDirectory() as folder:  # an empty kernel cache
        os.environ[cache.VARIABLE] = folder
        cache.folder.cache_clear()
        usages: list[Any] = []
        with compiling_for(CompileTarget("cpu", usages.append)):
            with_kernel(events)
        check(events)
        by_kernel, by_awkward, by_ops = alternating(
            [lambda: with_kernel(events), lambda: with_awkward(events), lambda: with_ops(events)], REPEATS
        )
        pairs = {"collections": ["Muon"], "output": "mumu", "keep": {"candidate": ["mass"]}}
        jets = {"source": "Jet", "clean_against": ["Muon"], "fields": ["pt"]}
        rows = []
        for name, op, params in (("hep.build_pairs", build_pairs, pairs), ("hep.clean", clean, jets)):

            def call(op: Any = op, params: Any = params) -> Any:
                return called(op, events, **params)

            with_jit, without = alternating([compiled(call), call], REPEATS)
            rows.append(
                Row(f"{name}, compiled", with_jit, "ms", with_jit / without, 1.0, reference=without, note="without it")
            )
    size = f"{len(events) // 1000} k events"
    return [
        Row(f"dimuon selection and mass, {size}", by_kernel, "ms", by_awkward / by_kernel, 2.0, ">=", by_awkward,
            "one kernel, awkward"),
        Row(f"dimuon selection and mass, {size}", by_kernel, "ms", by_ops / by_kernel, 1.0, ">=", by_ops,
            "one kernel, our ops"),
        *rows,
        Row("compiling that kernel", usages[0].compiling, "s", usages[0].compiling, 10.0, note="once per node"),
    ]  # fmt: skip
