"""Kernels for GPUs: compiled to PTX where the compiler is installed, without a device; run where there is one."""

import importlib.util
import os

import numpy as np
import pytest

import kernel_cases
from fasthep_parsl.errors import OpError
from fasthep_parsl.kernels import build, cache, kernel, launch
from fasthep_parsl.kernels.complaint import complaint
from fasthep_parsl.kernels.generate import ArgumentKind, generate
from fasthep_parsl.ops.clean import mark_overlaps
from fasthep_parsl.ops.collections.pairs import list_pairs, pair_mass

ARCHITECTURES = ((7, 5), (8, 0), (9, 0), (10, 0))
COMPILER = importlib.util.find_spec("numba_cuda") is not None
REQUIRED = os.environ.get("FASTHEP_REQUIRE_SERVICES") == "1"
needs_compiler = pytest.mark.skipif(
    not COMPILER and not REQUIRED, reason="numba-cuda is not installed (extra `ptx` or `gpu`)"
)


@pytest.mark.gpu
def test_a_gpu_agrees_with_the_cpu():
    reason = launch.missing()
    if reason or launch.simulated():
        pytest.skip(f"no GPU: {reason or 'only the simulator'}")
    for case in kernel_cases.CASES:
        found = kernel_cases.run(case, kernel_cases.on_gpu)
        for name, values in kernel_cases.run(case, kernel_cases.compiled).items():
            if values.dtype.kind == "f":  # products and sums may be fused, functions differ in the last bits
                np.testing.assert_allclose(found[name], values, rtol=1e-13)
            else:
                np.testing.assert_array_equal(found[name], values)


I8, F4 = ArgumentKind("int64", 1), ArgumentKind("float32", 1)
OUT, ROWS, FLAGS = ArgumentKind("float64", 1, True), ArgumentKind("int64", 1, True), ArgumentKind("bool", 1, True)
KERNELS = [
    (list_pairs, (I8, I8, ROWS, ROWS, ROWS)),
    (pair_mass, (I8, I8, F4, F4, F4, F4, OUT)),
    (mark_overlaps, (I8, F4, F4, I8, F4, F4, ArgumentKind("float64"), FLAGS)),
    (kernel_cases.leading_mass, (I8, F4, F4, F4, ArgumentKind("int32", 1), ArgumentKind("float64"), OUT, FLAGS)),
]


def ptx(made, kinds, architecture, monkeypatch):
    """Return the PTX of a kernel; as a device it has one that is not there."""
    import numba.cuda.dispatcher
    from numba import cuda
    from numba.core import types

    class Device:
        compute_capability = architecture

    monkeypatch.setattr(numba.cuda.dispatcher, "get_current_device", lambda: Device)
    module = generate(made.source, "gpu", kinds)
    path = cache.store(module.text, f"{made.name}_gpu")
    signature = types.void(types.int64, *(eval(kind.numba, {"_t": types}) for kind in kinds))
    try:
        return cuda.compile_ptx(build._imported(path).py_func, signature, cc=architecture)[0]
    except Exception as error:
        raise complaint(error, made.name, "gpu", path.name, module.places) from error


@needs_compiler
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("made", "kinds"), KERNELS, ids=[made.name for made, _ in KERNELS])
def test_kernels_compile_for_all_gpus(made, kinds, architecture, monkeypatch):
    text = ptx(made, kinds, architecture, monkeypatch)
    assert f".target sm_{architecture[0]}{architecture[1]}" in text
    assert "loop" in text


@kernel
def appends(i, out):
    out[i] = np.append(out, 1.0)[0]


@needs_compiler
def test_what_only_a_gpu_refuses_is_told_with_its_line(monkeypatch):
    with pytest.raises(
        OpError, match=r"does not compile for the GPU: test_kernels_for_gpus.py:\d+: `out\[i\] = np.append"
    ):
        ptx(appends, (OUT,), (9, 0), monkeypatch)
