"""``cuda.jit``: kernels are compiled, results stay, and what happened is noted."""

import json

import awkward as ak
import numpy as np
import pytest
from pydantic import ValidationError

from fasthep_parsl.errors import OpError
from fasthep_parsl.interfaces import Call
from fasthep_parsl.kernels import launch
from fasthep_parsl.modifiers import cuda_jit
from fasthep_parsl.modifiers.cuda_jit import CudaJit
from fasthep_parsl.ops.clean import clean
from fasthep_parsl.ops.combinations import build_combinations, build_pairs
from fasthep_parsl.ops.stream import Events

CPU = CudaJit(target="cpu")


def events(size=3000, seed=3):
    rng = np.random.default_rng(seed)
    columns = {}
    for name in ("Muon", "Electron", "Jet"):
        counts = rng.integers(0, 6, size)
        values = {
            "pt": rng.exponential(30, counts.sum()), "eta": rng.normal(0, 1.5, counts.sum()),
            "phi": rng.uniform(-np.pi, np.pi, counts.sum()), "mass": rng.choice([0, 0.10566], counts.sum()),
        }  # fmt: skip
        columns |= {f"{name}_{k}": ak.unflatten(v.astype(np.float32), counts) for k, v in values.items()}
        columns[f"{name}_charge"] = ak.unflatten(rng.choice([-1, 1], counts.sum()).astype(np.int32), counts)
    return Events(columns, size)


def keywords(op, **params):
    return op.op.keywords(op.op.params(**params))


def both(op, given, modifier=CPU, **params):
    """Return what an op gives without the modifier and with it, and the notes."""
    notes = []
    call = Call(op, op.op, "Stage", "gpus", note=notes.append)
    plain = op(given, **keywords(op, **params))
    return plain, modifier.wrap(call)(given, **keywords(op, **params)), notes


def assert_same(plain, found):
    assert list(plain) == list(found)
    for name in plain:
        expected, values = ak.Array(plain[name]), ak.Array(found[name])
        assert expected.type == values.type, name
        if values.ndim > 1:
            assert ak.num(expected).tolist() == ak.num(values).tolist(), name
            expected, values = ak.flatten(expected), ak.flatten(values)
        if name.endswith("mass"):
            np.testing.assert_allclose(values, expected, rtol=1e-12, err_msg=name)
        else:
            np.testing.assert_array_equal(values, expected, err_msg=name)


PAIRS = {
    "all": {},
    "opposite": {"selection": {"pair": ["lepton_1_charge * lepton_2_charge < 0"], "candidate": ["mass > 10"]}},
    "nearest": {"sort": {"by": "abs(mass - 91.2)", "order": "ascending"}, "take": 1, "keep": {"constituents": ["pt"]}},
    "fixed mass": {"mass": 0.00051},
}


@pytest.mark.parametrize("params", PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize("collections", [["Muon"], ["Muon", "Electron"]])
def test_pairs(params, collections):
    plain, found, notes = both(build_pairs, events(), collections=collections, output="ll", **params)
    assert_same(plain, found)
    assert ak.sum(plain["nll_Z"]) > 1000
    kernels = notes[0]["kernels"]
    assert kernels["pair_mass (cpu)"]["events"] > 1000


@pytest.mark.parametrize("size", [0, 1, 2])
def test_few_events(size):
    for given in (events(size), events(50).filter(slice(4, 4 + size))):
        assert_same(*both(build_pairs, given, collections=["Muon"], output="ll")[:2])
        assert_same(*both(clean, given, source="Jet", clean_against=["Muon"])[:2])


def test_three_objects_take_the_way_without_kernels():
    params = {"collection": "Muon", "n": 3, "output": "mmm"}
    plain, found, notes = both(build_combinations, events(), **params)
    assert_same(plain, found)
    assert notes[0]["kernels"] == {}


@pytest.mark.parametrize("limit", [0.0, 0.4, 1.3, 4.0])
def test_overlap_removal_chooses_the_same_objects(limit):
    params = {"source": "Jet", "clean_against": ["Muon", "Electron"], "min_delta_r": limit, "sort_by": "pt"}
    plain, found, notes = both(clean, events(), **params)
    assert_same(plain, found)
    assert bool(ak.sum(plain["nremoved_cleaned_Jet"])) == (limit > 0)
    assert notes[0]["kernels"]["mark_overlaps (cpu)"]["calls"] == 2


def test_missing_values_count_as_nan():
    given = Events({"J_eta": ak.Array([[None, 0.1]]), "J_phi": ak.Array([[0.1, None]]), "M_eta": ak.Array([[0.1]]),
                    "M_phi": ak.Array([[0.1]])}, 1)  # fmt: skip
    plain, found, _ = both(clean, given, source="J", clean_against=["M"])
    assert plain["ncleaned_J"].tolist() == found["ncleaned_J"].tolist() == [2]


def test_an_edge_that_lies_exactly_at_the_limit():
    """Rounding decides here: both must round alike."""
    rng = np.random.default_rng(8)
    phi = rng.uniform(-np.pi, np.pi, 4000).astype(np.float32)
    other = rng.choice(phi, 4000)
    other[::2] = -other[::2]
    limits = np.abs(np.subtract(phi, other, dtype=float))
    for limit in limits[:20]:
        one = {"eta": np.zeros(4000, np.float32), "phi": phi}
        two = {"eta": np.zeros(4000, np.float32), "phi": other}
        columns = {f"J_{k}": ak.unflatten(v, 1) for k, v in one.items()}
        columns |= {f"M_{k}": ak.unflatten(v, 1) for k, v in two.items()}
        assert_same(*both(clean, Events(columns, 4000), source="J", clean_against=["M"], min_delta_r=limit)[:2])


# --- workers without a GPU --------------------------------------------------------------------------------


@pytest.fixture
def no_gpu(monkeypatch):
    cuda_jit._gpu.cache_clear()
    monkeypatch.setattr(launch, "missing", lambda: "no driver")
    yield
    cuda_jit._gpu.cache_clear()


def test_without_a_gpu_it_fails_and_says_where(no_gpu):
    with pytest.raises(OpError, match=r"worker \S+ \(process \d+\) of pool `gpus` has no usable GPU: no driver .*cpu`"):
        both(clean, events(10), CudaJit(), source="Jet", clean_against=["Muon"])


def test_or_falls_back_if_told_and_notes_it(no_gpu):
    plain, found, notes = both(clean, events(10), CudaJit(on_missing="cpu"), source="Jet", clean_against=["Muon"])
    assert_same(plain, found)
    [note] = notes
    assert note["fallback"] == ["pool `gpus`: no driver"]
    assert note["devices"] == ["cpu"]


def test_compiling_for_the_cpu_is_no_fallback(no_gpu):
    assert CPU.works_without_gpu  # the compiler does not ask for a GPU
    assert "fallback" not in both(clean, events(10), CPU, source="Jet", clean_against=["Muon"])[2][0]


def test_parameters():
    assert CudaJit.needs_gpu
    with pytest.raises(ValidationError):
        CudaJit(target="tpu")
    with pytest.raises(ValidationError):
        CudaJit(threads=3)


# --- notes ------------------------------------------------------------------------------------------------


def note(devices, fallback=(), **kernels):
    rows = {k: {"calls": n, "events": 10 * n, "compiled": 1} for k, n in kernels.items()}
    found = {"calls": 1, "devices": devices, "kernels": rows}
    return found | ({"fallback": list(fallback)} if fallback else {})


def test_notes_are_joined_and_written(tmp_path):
    a, b, c = note(["cpu"], ["x"], f=1), note(["H200"], f=2, g=3), note(["cpu"], ["y", "x"])
    left, right = CudaJit.merge(CudaJit.merge(a, b), c), CudaJit.merge(a, CudaJit.merge(b, c))
    assert left == right
    assert left == {
        "calls": 3, "devices": ["H200", "cpu"], "fallback": ["x", "y"],
        "kernels": {"f": {"calls": 3, "events": 30, "compiled": 2}, "g": {"calls": 3, "events": 30, "compiled": 1}},
    }  # fmt: skip
    CudaJit.write({"Pairs": left}, tmp_path / "cuda.jit")
    assert json.loads((tmp_path / "cuda.jit" / "kernels.json").read_text()) == {"Pairs": left}


# --- on a GPU ---------------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize("preloaded", [False, True], ids=["columns on the host", "columns on the GPU"])
@pytest.mark.parametrize(
    ("op", "params"),
    [
        (build_pairs, {"collections": ["Muon"], "output": "ll", **PAIRS["opposite"]}),
        (build_pairs, {"collections": ["Muon", "Electron"], "output": "ll", **PAIRS["nearest"]}),
        (clean, {"source": "Jet", "clean_against": ["Muon"], "output": "Clean", "sort_by": "pt"}),
    ],
)
def test_ops_on_a_gpu(op, params, preloaded):
    if launch.missing() or launch.simulated():
        pytest.skip(f"no GPU: {launch.missing() or 'only the simulator'}")
    cuda_jit._gpu.cache_clear()
    given = events(50_000)
    call = CudaJit().wrap(Call(op, op.op, "Stage", reads=("*",)))
    if preloaded:
        from fasthep_parsl.modifiers.gpu_preload import GpuPreload

        call = GpuPreload().wrap(call)
    plain, found = op(given, **keywords(op, **params)), call(given, **keywords(op, **params))
    found = given.with_columns(found)
    found = {name: found[name] for name in plain}  # outside of the view, columns lie in host memory
    for name, values in plain.items():
        a, b = ak.Array(values), ak.Array(found[name])
        assert ak.backend(b) == "cpu"
        assert a.type == b.type
        flat = (ak.flatten(x) if x.ndim > 1 else x for x in (b, a))
        np.testing.assert_allclose(*flat, rtol=1e-12, err_msg=name)
