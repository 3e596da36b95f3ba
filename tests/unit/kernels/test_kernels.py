import math

import awkward as ak
import numpy as np
import pytest

import kernel_cases
from fasthep_parsl import jagged, lists
from fasthep_parsl.errors import OpError
from fasthep_parsl.kernels import CompileTarget, active, compiling_for, float64, kernel
from fasthep_parsl.kernels.launch import geometry
from fasthep_parsl.ops.stream import Events


def same_bits(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("case", kernel_cases.CASES)
def test_compiled_and_plain_python_agree_to_the_bit(case):
    expected, found = (kernel_cases.run(case, call) for call in (kernel_cases.plain, kernel_cases.compiled))
    for name, values in expected.items():
        assert same_bits(found[name], values), name
    if case in ("many", "later"):
        assert expected["passed"].any()
        assert expected["overlaps"].any()
        assert (expected["pairs"] > 0).all()


@kernel(reference=lambda n, x, out: out.__setitem__(slice(None), 2 * x))
def doubled(i, x, out):
    out[i] = 3.0 * float64(x[i])  # unlike its reference, so that one sees which of them ran


def test_without_a_modifier_the_reference_is_used():
    out = np.zeros(3)
    doubled(3, np.ones(3), out)
    assert out.tolist() == [2, 2, 2]
    assert not active()
    with compiling_for(CompileTarget("cpu")):
        assert active()
        doubled(3, np.ones(3), out)
    assert out.tolist() == [3, 3, 3]
    assert not active()


def test_the_target_is_told_of_each_call():
    seen = []
    with compiling_for(CompileTarget("cpu", seen.append)):
        for _ in range(2):
            doubled(2, np.ones(2, np.int16), np.zeros(2))
    assert [usage.kernel for usage in seen] == ["doubled", "doubled"]
    assert seen[0].ready in ("loaded", "compiled")
    assert seen[0].compiling > 0
    assert (seen[1].ready, seen[1].compiling, seen[1].events, seen[1].device) == ("known", 0, 2, "cpu")


@kernel
def totals(i, offsets, x, factor, out):
    total = 0.0
    for a in range(offsets[i], offsets[i + 1]):
        total += float64(x[a])
    out[i] = total * factor


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8, np.uint16, np.int64, np.uint64, bool])
def test_all_plain_types(dtype):
    x = np.array([1, 0, 3, 1, 7], dtype=dtype)
    found, expected = np.zeros(3), np.zeros(3)
    offsets = np.array([0, 2, 2, 5], dtype=np.int32)
    totals(3, offsets, x, 2, found)
    totals.python(3, offsets, x, 2, expected)
    assert same_bits(found, expected)


def test_read_only_strided_and_swapped_columns():
    x = np.arange(10, dtype=">f8")
    view = np.arange(20.0)[::2]
    frozen = np.arange(10.0)
    frozen.flags.writeable = False
    offsets = np.array([0, 10])
    for column, total in ((x, 45.0), (view, 90.0), (frozen, 45.0)):
        out = np.zeros(1)
        totals(1, offsets, column, 1.0, out)
        assert out[0] == total


def test_division_by_zero_is_as_on_a_gpu():
    out = np.zeros(2)
    inverse(2, np.array([0.0, 4.0]), out)
    assert out.tolist() == [math.inf, 0.25]


@kernel
def inverse(i, x, out):
    out[i] = 1.0 / x[i]


def test_lists_are_the_memory_of_the_columns():
    pt = ak.Array([[1.0, 2.0], [], [3.0]])
    events = Events({"Muon_pt": pt, "Muon_eta": pt + 1, "Jet_pt": ak.Array([[1.0], [2.0], []])}, 3)
    offsets, its_pt, its_eta = lists(events, "Muon_pt", "Muon_eta")
    assert offsets.tolist() == [0, 2, 2, 3]
    assert its_eta.tolist() == [2, 3, 4]
    assert np.shares_memory(its_pt, pt.layout.content.data)
    assert np.shares_memory(offsets, pt.layout.offsets.data)
    again = jagged(offsets, its_pt)
    assert again.tolist() == pt.tolist()
    assert np.shares_memory(again.layout.content.data, its_pt)
    sliced_offsets, content = lists({"x": pt[1:]}, "x")
    assert np.shares_memory(content, its_pt)
    assert (sliced_offsets.tolist(), content.tolist()) == ([0, 0, 1], [3])
    for array in (offsets, its_pt, its_eta):  # others use this memory
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 7
    with (
        compiling_for(CompileTarget("cpu")),
        pytest.raises(OpError, match=r"`out` is written to: it must be .* writable"),
    ):
        doubled(3, its_eta, its_pt)
    with pytest.raises(OpError, match="`Muon_pt` and `Jet_pt` have different numbers of objects"):
        lists(events, "Muon_pt", "Jet_pt")
    with pytest.raises(OpError, match="has missing values"):
        lists({"x": ak.Array([[1, None], [2]])}, "x")
    with pytest.raises(OpError, match="one value per event"):
        lists({"x": np.ones(3)}, "x")


@pytest.mark.parametrize(
    ("events", "multiprocessors", "expected"),
    [
        (1, 132, (1, 32)),
        (132 * 32, 132, (132, 32)),
        (132 * 128, 132, (132, 128)),
        (132 * 128 * 4, 132, (528, 128)),
        (100_000_000, 132, (132 * 32, 128)),
        (100_000_000, 1, (32, 128)),
    ],
)
def test_launch_geometry(events, multiprocessors, expected):
    blocks, threads = geometry(events, multiprocessors)
    assert (blocks, threads) == expected
    assert blocks * threads >= min(events, multiprocessors * 32 * 128)
