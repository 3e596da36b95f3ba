"""The kernels by hand: their source run as plain C++, and compiled for GPUs where a compiler is, without a device."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import fake_cupy
from fasthep_parsl.ops.collections.pairs import pair_mass
from fasthep_parsl.ops.gpu import cuda_kernels

TESTS = Path(fake_cupy.__file__).parent
SOURCE = cuda_kernels.SOURCE.read_text()
REQUIRED = os.environ.get("FASTHEP_REQUIRE_SERVICES") == "1"
ARCHITECTURES = (75, 80, 90, 100)
C_TYPES = {"int32": ctypes.c_int, "int64": ctypes.c_int64, "float64": ctypes.c_double}
GRIDS = [(1, 1), (1, 4), (3, 4)]


def parameters(name):
    """Return the parameters of a kernel as its source has them."""
    found = re.search(rf"__global__ void {name}\((.*?)\)", SOURCE, re.DOTALL)
    return [" ".join(part.split()) for part in found[1].split(",")]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Call ``run(name, blocks, threads, *arguments)``: the source, compiled as C++."""
    compiler = shutil.which("g++")
    if compiler is None and not REQUIRED:
        pytest.skip("no g++")
    folder = tmp_path_factory.mktemp("cpp")
    text = f'#include "{TESTS / "cuda_as_cpp.h"}"\n{SOURCE}\n'
    for name in cuda_kernels.NAMES:
        given = ", ".join(part.split()[-1] for part in parameters(name))
        head = f"int blocks, int threads, {', '.join(parameters(name))}"
        text += f'extern "C" void run_{name}({head}) {{ launch(blocks, threads, [=] {{ {name}({given}); }}); }}\n'
    (folder / "cuda_kernels.cpp").write_text(text)
    target = folder / "cuda_kernels.so"
    command = [compiler, "-std=c++20", "-O1", "-ffp-contract=off", "-shared", "-fPIC", "-pthread", "-o", target]
    done = subprocess.run([*command, folder / "cuda_kernels.cpp"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    library = ctypes.CDLL(str(target))

    def call(name, blocks, threads, *arguments):
        given = [
            ctypes.c_void_p(part.ctypes.data) if isinstance(part, np.ndarray) else C_TYPES[part.dtype.name](part)
            for part in arguments
        ]
        getattr(library, f"run_{name}")(blocks, threads, *given)

    return call


def numbers(dtype, number, rng):
    """Return numbers of a type, with its extremes and what is no number."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.random(number) < 0.3
    if dtype.kind == "f":
        special = [
            np.nan,
            np.inf,
            -np.inf,
            -0.0,
            0.0,
            10.0,
            np.nextafter(dtype.type(10), dtype.type(0)),
            2.5,
            1e30,
            -1e30,
        ]
        return np.concatenate([rng.normal(5, 5, number), special]).astype(dtype)
    limits = np.iinfo(dtype)
    plain = rng.integers(max(limits.min, -5), min(limits.max, 15), number)
    return np.concatenate([plain.astype(dtype), np.array([limits.min, limits.max], dtype)])


def both(run, name, grid, arguments, out):
    """Return the results of the source and of the stand-in."""
    found, expected = out.copy(), out.copy()
    run(name, *grid, *arguments, found)
    fake_cupy.RAW[name](*arguments, expected)
    return found, expected


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("dtype", cuda_kernels.TYPES)
def test_bins_are_those_of_boost_histogram(run, dtype, grid):
    import boost_histogram as bh

    entries = numbers(dtype, 300, np.random.default_rng(1))
    known, n = np.int32(cuda_kernels.TYPES.index(dtype)), np.int64(len(entries))
    before = np.arange(len(entries)) % 3
    given = (entries, known, n, np.float64(0), np.float64(10), np.int64(20), np.int64(22))
    found, expected = both(run, "regular_bins", grid, given, before)
    axis = bh.axis.Regular(20, 0, 10)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(found, before * 22 + axis.index(entries.astype("f8")) + 1)
    edges = np.array([-1.0, 0.0, 0.1, 2.5, 10.0])
    given = (entries, known, n, edges, np.int64(len(edges)), np.int64(len(edges) + 1))
    found, expected = both(run, "variable_bins", grid, given, before)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(found, before * 6 + bh.axis.Variable(edges).index(entries.astype("f8")) + 1)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("size", [1, 60, 1024, 1025, 3000])
def test_sums_of_bins(run, size, grid):
    rng = np.random.default_rng(size)
    flat = rng.integers(0, size, 2000)
    weights = rng.normal(1, 2, 2000)
    n, many = np.int64(2000), np.int64(size)
    found, expected = both(run, "count_bins", grid, (flat, n, many), np.zeros(size, np.int64))
    np.testing.assert_array_equal(found, expected)
    for squares in (0, 1):
        given = (flat, weights, n, many, np.int32(squares))
        found, expected = both(run, "sum_bins", grid, given, np.zeros((1 + squares, size)))
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("number", [1, 2, 31, 5000])
def test_counts_of_bools(run, number, grid):
    mask = np.random.default_rng(number).random(number) < 0.4
    found, expected = both(run, "count_true", grid, (mask, np.int64(number)), np.zeros((), np.int64))
    assert found == expected == np.count_nonzero(mask)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
def test_pairs_and_their_masses(run, dtype, grid):
    rng = np.random.default_rng(5)
    counts = rng.integers(0, 6, 40)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    pair_offsets = np.concatenate([[0], np.cumsum(counts * (counts - 1) // 2)])
    out = [np.full(pair_offsets[-1], -1) for _ in range(3)]
    run("list_pairs", *grid, offsets, pair_offsets, np.int64(40), *out)
    expected = [
        (i, a, b) for i in range(40) for a in range(offsets[i], offsets[i + 1]) for b in range(a + 1, offsets[i + 1])
    ]
    assert list(zip(*(each.tolist() for each in out), strict=True)) == expected
    size = offsets[-1]
    fields = [
        rng.exponential(40, size),
        rng.normal(0, 1.5, size),
        rng.uniform(-3.2, 3.2, size),
        rng.choice([0, 0.106], size),
    ]
    fields = [each.astype(dtype) for each in fields]
    if dtype[0] == "f":
        for each in fields:
            each[rng.integers(0, size, 3)] = [np.nan, np.inf, 0]
        fields[1][1] = fields[1][0] + 1e-4  # nearly the same direction
    known = np.int32(cuda_kernels.TYPES.index(dtype))
    typed = [part for each in fields for part in (each, known)]
    masses = np.zeros(len(expected))
    run("pair_mass", *grid, out[1], out[2], np.int64(len(masses)), *typed, masses)
    wanted = np.zeros(len(expected))
    pair_mass(len(wanted), out[1], out[2], *fields, wanted)  # compiled by numba
    np.testing.assert_allclose(masses, wanted, rtol=1e-15)


@pytest.fixture
def nvrtc():
    """NVIDIA's compiler, which needs no device."""
    if importlib.util.find_spec("cuda") is None or importlib.util.find_spec("cuda.bindings") is None:
        if REQUIRED:
            pytest.fail("cuda-bindings is not installed (extra `ptx` or `gpu`)")
        pytest.skip("cuda-bindings is not installed (extra `ptx` or `gpu`)")
    from cuda.bindings import nvrtc

    return nvrtc


def compiled(nvrtc, architecture):
    """Return the machine code of the kernels for GPUs of one kind."""
    _, program = nvrtc.nvrtcCreateProgram(SOURCE.encode(), b"cuda_kernels.cu", 0, [], [])
    options = [
        option.encode() for option in (f"-arch=sm_{architecture}", "-std=c++17", "-ftz=true", *cuda_kernels.OPTIONS)
    ]
    (status,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
    # one more than needed: it is written to, and Python has but one object for all bytes of length 1
    log = bytes(nvrtc.nvrtcGetProgramLogSize(program)[1] + 1)
    nvrtc.nvrtcGetProgramLog(program, log)
    assert status == nvrtc.nvrtcResult.NVRTC_SUCCESS, log.decode().rstrip(chr(0))
    code = b" " * nvrtc.nvrtcGetCUBINSize(program)[1]
    nvrtc.nvrtcGetCUBIN(program, code)
    return code


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_they_compile_for_gpus(nvrtc, architecture):
    code = compiled(nvrtc, architecture)
    assert all(name.encode() in code for name in cuda_kernels.NAMES)
