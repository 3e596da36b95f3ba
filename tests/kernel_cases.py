"""Kernels and events for tests of kernels; also run by a second process, under numba's CUDA simulator.

python tests/kernel_cases.py RESULTS.npz      run all cases on the (simulated) GPU
"""

import json
import math
import sys

import numpy as np

from fasthep_parsl.kernels import CompileTarget, compiling_for, float64, kernel
from fasthep_parsl.ops.clean import mark_overlaps
from fasthep_parsl.ops.collections.pairs import list_pairs, pair_mass

LIMIT = 20.0
WINDOW = (60.0, 120.0)


def squared(x):
    return x * x


def angle_between(phi_1, phi_2):
    """A function of the author that a kernel calls, and that calls another one."""
    return math.sqrt(squared(phi_1 - phi_2))


@kernel
def leading_mass(i, offsets, pt, eta, phi, charge, weight, out, passed):
    out[i] = math.nan
    lo, hi = offsets[i], offsets[i + 1]
    for a in range(lo, hi):
        if float64(pt[a]) < LIMIT:
            continue
        for b in range(a + 1, hi):
            if charge[a] != charge[b]:
                cosh = math.cosh(float64(eta[a]) - float64(eta[b]))
                cos = math.cos(angle_between(float64(phi[a]), float64(phi[b])))
                mass = math.sqrt(2.0 * float64(pt[a]) * float64(pt[b]) * (cosh - cos)) * weight
                out[i] = mass
                passed[i] = WINDOW[0] < mass < WINDOW[1]
                return


def events(case):
    """Return offsets and flat columns: float32, int32."""
    rng = np.random.default_rng(5)
    counts = {
        "many": rng.integers(0, 5, 200), "none": np.zeros(0, int), "empty": np.zeros(7, int), "one": np.array([3]),
        "later": rng.integers(0, 4, 50),
    }[case]  # fmt: skip
    start = 11 if case == "later" else 0  # a slice of longer columns
    offsets = np.concatenate([[start], start + np.cumsum(counts)]).astype(np.int64)
    size = int(offsets[-1]) + start
    pt, eta, phi = rng.exponential(30, size), rng.normal(0, 1.5, size), rng.uniform(-math.pi, math.pi, size)
    return offsets, *(x.astype(np.float32) for x in (pt, eta, phi)), rng.choice([-1, 1], size).astype(np.int32)


CASES = ("many", "none", "empty", "one", "later")


def run(case, call):
    """Return the results of all kernels; ``call(kernel, events, …)`` runs one."""
    offsets, pt, eta, phi, charge = events(case)
    n = len(offsets) - 1
    mass, passed = np.zeros(n), np.zeros(n, bool)
    call(leading_mass, n, offsets, pt, eta, phi, charge, 1.5, mass, passed)
    counts = np.diff(offsets)
    pair_offsets = np.concatenate([[0], np.cumsum(counts * (counts - 1) // 2)])
    parents, first, second = (np.full(pair_offsets[-1], -1) for _ in range(3))
    call(list_pairs, n, offsets, pair_offsets, parents, first, second)
    pairs = np.zeros(len(first))
    muon = np.full(len(pt), 0.10566)
    muon[::3] = 0
    call(pair_mass, len(first), first, second, pt, eta, phi, muon, pairs)
    overlaps = np.zeros(len(pt), bool)
    call(mark_overlaps, n, offsets, eta, phi, offsets, eta + np.float32(0.2), -phi, 0.8, overlaps)
    return {
        "mass": mass, "passed": passed, "parents": parents, "first": first, "second": second, "pairs": pairs,
        "overlaps": overlaps,
    }  # fmt: skip


def plain(kernel, n, *arguments):
    kernel.python(n, *arguments)


def compiled(kernel, n, *arguments):
    with compiling_for(CompileTarget("cpu")):
        kernel(n, *arguments)


def on_gpu(kernel, n, *arguments):
    with compiling_for(CompileTarget("gpu")):
        kernel(n, *arguments)


def cleaned(modifier, note):
    """Return what ``hep.clean`` gives with a modifier."""
    import awkward as ak

    from fasthep_parsl.interfaces import Call
    from fasthep_parsl.ops.clean import Clean, clean
    from fasthep_parsl.ops.stream import Events

    offsets, pt, eta, phi, _ = events("many")
    counts = np.diff(offsets)
    jets = {"pt": pt, "eta": eta, "phi": phi}
    columns = {f"Jet_{name}": ak.unflatten(values, counts) for name, values in jets.items()}
    columns |= {f"Muon_{name}": ak.unflatten(values[::-1].copy(), counts) for name, values in jets.items()}
    call = Call(clean, clean.op, "Jets", note=note.update)
    call = modifier.wrap(call) if modifier else call
    params = Clean(source="Jet", clean_against=["Muon"], min_delta_r=1.0, fields=["pt"])
    return call(Events(columns, len(counts)), params=params)


if __name__ == "__main__":
    from fasthep_parsl.modifiers.cuda_jit import CudaJit

    results = {f"{case}/{name}": found for case in CASES for name, found in run(case, on_gpu).items()}
    noted = {}
    results["cleaned"] = cleaned(CudaJit(), noted)["nremoved_cleaned_Jet"]
    np.savez(sys.argv[1], **results)
    print(json.dumps(noted))
