"""A typical GPU stage: all muon pairs, 50 variations of the momenta, a histogram of the mass for each.

    python benchmarks/bench_gpu.py                             with a GPU: 10 M events, all four variants
    python benchmarks/bench_gpu.py --events 100000 --cpu       without a GPU: the two variants for the CPU

The four variants compute the same numbers: the op in this file with `cuda.jit` on one CPU core, a hand-written loop for
one core, the op with `gpu.preload` and `cuda.jit`, and a hand-written kernel for the GPU, with copies on two streams.
Muons are in host memory at the start. Copies to and from the GPU are included, reading is not. Everything is compiled
before the measurement.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

os.environ["NUMBA_NUM_THREADS"] = "1"  # one core; numba reads it when it is imported

import awkward as ak
import numpy as np

from fasthep_parsl import float64, kernel, lists, op
from fasthep_parsl.interfaces import Call
from fasthep_parsl.kernels.physics import mass_of_two
from fasthep_parsl.modifiers.cuda_jit import CudaJit
from fasthep_parsl.modifiers.gpu_preload import GpuPreload, why_not
from fasthep_parsl.ops import device
from fasthep_parsl.ops.stream import Events

FIELDS = ("Muon_pt", "Muon_eta", "Muon_phi", "Muon_mass")
VARIATIONS, BINS, LOW, HIGH = 50, 60, 60.0, 120.0
SLOTS = BINS + 2  # with underflow and overflow
GROUPS = 2048
"""Groups of events. Each group has its own histogram per variation, so no two threads add to the same bin."""
PASS = 1_000_000
"""Events per pass."""
BAR = 1.3
"""Maximum time of the op, as a multiple of the hand-written kernel."""


# --- the op -----------------------------------------------------------------------------------------------


def slot_of(mass):
    z = (mass - LOW) / (HIGH - LOW)
    if z >= 1.0:
        return BINS + 1
    return int(z * BINS) + 1 if z >= 0.0 else 0


@kernel
def fill(i, events, offsets, pt, eta, phi, mass, scale, slope, found):
    # Neighbouring threads process the same events with different variations, so their reads are shared.
    group, variation = i // VARIATIONS, i % VARIATIONS
    for event in range(group * events // GROUPS, (group + 1) * events // GROUPS):
        for a in range(offsets[event], offsets[event + 1]):
            pt_a = float64(pt[a]) * (scale[variation] + slope[variation] * float64(eta[a]))
            for b in range(a + 1, offsets[event + 1]):
                pt_b = float64(pt[b]) * (scale[variation] + slope[variation] * float64(eta[b]))
                value = mass_of_two(
                    pt_a, float64(eta[a]), float64(phi[a]), float64(mass[a]),
                    pt_b, float64(eta[b]), float64(phi[b]), float64(mass[b]),
                )  # fmt: skip
                found[i, slot_of(value)] += 1


@op("bench.variations", reads=list(FIELDS), product="counts", merge=np.add)
def variations(events: Any) -> Any:
    """Return counts, shape (variations, bins + 2)."""
    offsets, pt, eta, phi, mass = lists(events, *FIELDS)
    scale, slope = (np.asarray(values, like=pt) for values in shifts())
    found = np.zeros((GROUPS * VARIATIONS, SLOTS), np.int32, like=pt)
    fill(GROUPS * VARIATIONS, len(events), offsets, pt, eta, phi, mass, scale, slope, found)
    total = found.reshape(GROUPS, VARIATIONS, SLOTS).sum(axis=0, dtype=np.int64)
    return device.download(total) if device.on_gpu(total) else total


def shifts() -> tuple[Any, Any]:
    """Return for each variation a scale of the momenta and its slope in η. The first is nominal."""
    numbers = np.arange(VARIATIONS)
    return 1 + 0.0005 * numbers * (-1.0) ** numbers, 0.0002 * numbers


# --- by hand ----------------------------------------------------------------------------------------------


def core_by_hand() -> Callable[[Any], Any]:
    """Return a loop over events for one core."""
    import numba

    mass_of, slot = numba.njit(mass_of_two), numba.njit(slot_of)

    @numba.njit
    def loop(offsets, pt, eta, phi, mass, scale, slope, found):
        for event in range(len(offsets) - 1):
            for a in range(offsets[event], offsets[event + 1]):
                for b in range(a + 1, offsets[event + 1]):
                    for v in range(VARIATIONS):
                        pt_a = np.float64(pt[a]) * (scale[v] + slope[v] * np.float64(eta[a]))
                        pt_b = np.float64(pt[b]) * (scale[v] + slope[v] * np.float64(eta[b]))
                        value = mass_of(
                            pt_a, np.float64(eta[a]), np.float64(phi[a]), np.float64(mass[a]),
                            pt_b, np.float64(eta[b]), np.float64(phi[b]), np.float64(mass[b]),
                        )  # fmt: skip
                        found[v, slot(value)] += 1

    def run(columns: Any) -> Any:
        found = np.zeros((VARIATIONS, SLOTS), np.int64)
        loop(*columns, *shifts(), found)
        return found

    return run


def view(array: Any) -> Any:
    """Return a CuPy array as a numba array. Otherwise numba would wait for the stream at each call."""
    from numba import cuda

    return cuda.as_cuda_array(array, sync=False)


def gpu_by_hand() -> Callable[[list[Any]], Any]:
    """Return a function that processes all passes. One stream copies while the other computes."""
    import cupy
    from numba import cuda, int32
    from numba import float64 as double

    mass_of, slot = cuda.jit(device=True)(mass_of_two), cuda.jit(device=True)(slot_of)
    threads, size = 256, VARIATIONS * SLOTS

    @cuda.jit
    def count(offsets, pt, eta, phi, mass, scale, slope, found):
        block = cuda.shared.array(size, int32)
        for n in range(cuda.threadIdx.x, size, cuda.blockDim.x):
            block[n] = 0
        cuda.syncthreads()
        # a warp per event, a thread per variation
        for work in range(cuda.grid(1), (len(offsets) - 1) * 32, cuda.gridsize(1)):
            event = work // 32
            for v in range(work % 32, VARIATIONS, 32):
                for a in range(offsets[event], offsets[event + 1]):
                    pt_a = double(pt[a]) * (scale[v] + slope[v] * double(eta[a]))
                    for b in range(a + 1, offsets[event + 1]):
                        pt_b = double(pt[b]) * (scale[v] + slope[v] * double(eta[b]))
                        value = mass_of(pt_a, double(eta[a]), double(phi[a]), double(mass[a]),
                                        pt_b, double(eta[b]), double(phi[b]), double(mass[b]))  # fmt: skip
                        cuda.atomic.add(block, v * SLOTS + slot(value), 1)
        cuda.syncthreads()
        for n in range(cuda.threadIdx.x, size, cuda.blockDim.x):
            cuda.atomic.add(found, n, block[n])

    streams = [cupy.cuda.Stream(non_blocking=True) for _ in range(2)]

    def run(passes: list[Any]) -> Any:
        total = np.zeros(size, np.int64)
        scale, slope = (view(cupy.asarray(values)) for values in shifts())
        founds = [cupy.zeros(size, cupy.int32) for _ in passes]
        cupy.cuda.Device().synchronize()
        kept = []
        for number, columns in enumerate(passes):
            stream = streams[number % 2]
            with stream:
                kept.append([view(cupy.asarray(column)) for column in columns])
                count[1056, threads, cuda.external_stream(stream.ptr)](*kept[-1], scale, slope, view(founds[number]))
        for stream in streams:
            stream.synchronize()
        for found in founds:
            total += found.get()
        return total.reshape(VARIATIONS, SLOTS)

    return run


# --- events -----------------------------------------------------------------------------------------------


def muons(events: int) -> list[Any]:
    """Return passes of (offsets, pt, eta, phi, mass): usually two muons of a Z-like resonance, and a few more."""
    rng = np.random.default_rng(1)
    return [list(_pass(rng, min(PASS, events - first))) for first in range(0, events, PASS)]


def _pass(rng: Any, events: int) -> Iterator[Any]:
    counts = rng.choice([0, 1, 2, 3, 4], events, p=[0.1, 0.2, 0.5, 0.15, 0.05])
    offsets = np.zeros(events + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    number = int(offsets[-1])
    yield offsets
    yield (45 + 8 * rng.standard_normal(number)).clip(3).astype(np.float32)
    yield rng.uniform(-2.4, 2.4, number).astype(np.float32)
    yield rng.uniform(-np.pi, np.pi, number).astype(np.float32)
    yield np.full(number, 0.10566, np.float32)


def stream_of(columns: list[Any]) -> Events:
    """Return columns in the form that ops receive."""
    offsets, *contents = columns
    index = ak.index.Index64(offsets)
    made = {
        name: ak.Array(ak.contents.ListOffsetArray(index, ak.contents.NumpyArray(content)))
        for name, content in zip(FIELDS, contents, strict=True)
    }
    return Events(made, len(offsets) - 1)


# --- the measurement --------------------------------------------------------------------------------------


def as_stage(*modifiers: Any) -> tuple[Callable[[list[Any]], Any], Counter[str]]:
    """Return a function that processes all passes with the op and its modifiers, and the notes of ``gpu.preload``."""
    noted: Counter[str] = Counter()

    def note(seen: Any) -> None:
        noted.update({key: value for key, value in seen.items() if isinstance(value, int)})

    def ignore(_seen: Any) -> None:
        pass

    call = Call(variations.op.call, variations.op, "Variations", "gpu", FIELDS)
    for modifier in reversed(modifiers):
        call = modifier.wrap(replace(call, note=note if isinstance(modifier, GpuPreload) else ignore))

    def run(passes: list[Any]) -> Any:
        return sum(call(stream_of(columns)) for columns in passes)

    return run, noted


def timed(run: Callable[[list[Any]], Any], passes: list[Any], repeats: int) -> tuple[float, Any]:
    """Return the shortest time in seconds, and the result. The first call compiles and is not counted."""
    found = run(passes[:1])
    best = float("inf")
    for _ in range(repeats):
        began = time.perf_counter()
        found = run(passes)
        best = min(best, time.perf_counter() - began)
    return best, found


def bandwidth(size: int = 1 << 28) -> float:
    """Return bytes per second of a copy from pinned memory to the GPU."""
    import cupy
    import cupyx

    pinned, there, stream = cupyx.empty_pinned(size, np.uint8), cupy.empty(size, np.uint8), cupy.cuda.Stream()
    pinned[...] = 1
    best = float("inf")
    for _ in range(5):
        stream.synchronize()
        began = time.perf_counter()
        there.set(pinned, stream)
        stream.synchronize()
        best = min(best, time.perf_counter() - began)
    return size / best


def apart(one: Any, other: Any) -> int:
    """Return the number of pairs in different bins. On a GPU, the last bit of a mass may differ."""
    return int(np.abs(one - other).sum()) // 2


def main() -> int:
    """Measure and print a table. Return 1 if results differ, 2 if the bar is missed, 3 without a GPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cpu", action="store_true", help="only the ways that need no GPU")
    options = parser.parse_args()
    if not options.cpu and (missing := why_not()):
        print(f"no GPU here: {missing}\n`--cpu --events 100000` compares the two ways that need none", file=sys.stderr)
        return 3
    passes = muons(options.events)
    pairs = sum(int((n * (n - 1) // 2).sum()) for n in (np.diff(columns[0]) for columns in passes))
    print(f"{options.events:,} events, {pairs:,} pairs, {VARIATIONS} variations: {pairs * VARIATIONS:,} masses")
    core, _ = as_stage(CudaJit(target="cpu"))
    loop = core_by_hand()
    seconds, expected = timed(core, passes, 1)
    print(f"  op with cuda.jit, one CPU core  {seconds:9.3f} s")
    by_hand, found = timed(lambda some: sum(map(loop, some)), passes, 1)
    print(f"  by hand, one CPU core           {by_hand:9.3f} s")
    if expected.sum() != pairs * VARIATIONS or apart(expected, found):
        print("the two ways on the CPU differ", file=sys.stderr)
        return 1
    return 0 if options.cpu else _on_gpu(passes, options.repeats, seconds, expected)


def _on_gpu(passes: list[Any], repeats: int, core: float, expected: Any) -> int:
    stage, noted = as_stage(GpuPreload(), CudaJit())
    stage(passes[:1])
    noted.clear()
    stage(passes)
    moved = dict(noted)
    seconds, found = timed(stage, passes, repeats)
    by_hand, other = timed(gpu_by_hand(), passes, repeats)
    copy, rate = bandwidth(), moved["bytes_up"] / seconds
    print(f"  by hand, GPU                    {by_hand:9.3f} s  {core / by_hand:6.1f} x the core")
    print(f"  op, gpu.preload and cuda.jit    {seconds:9.3f} s  {core / seconds:6.1f} x the core")
    print(f"  the op takes {seconds / by_hand:.2f} x what the kernel by hand takes; at most {BAR} wanted")
    print(f"  moved up {moved['bytes_up'] / 1e9:.3f} GB in {moved['copies_up']} copies, down "
          f"{moved.get('bytes_down', 0) / 1e6:.3f} MB in {moved.get('copies_down', 0)}; {moved.get('waits', 0)} waits")  # fmt: skip
    print(f"  {rate / 1e9:.2f} GB/s from host to GPU over the whole stage: {rate / copy:.1%} of the {copy / 1e9:.1f} GB/s "
          "that a copy from pinned memory reaches")  # fmt: skip
    print("  in other bins than on the CPU:", apart(expected, found), "by the op,", apart(expected, other), "by hand")
    agree = max(apart(expected, found), apart(expected, other)) <= 1e-6 * expected.sum()
    return 1 if not agree else 0 if seconds <= BAR * by_hand else 2


if __name__ == "__main__":
    sys.exit(main())
