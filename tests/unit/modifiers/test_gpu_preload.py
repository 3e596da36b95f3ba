"""gpu.preload: results are those without it, columns go up once, nothing comes back that does not leave.

Without a GPU on a stand-in for CuPy, whose arrays NumPy cannot look into; with one on the real thing.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import awkward as ak
import numpy as np
import pytest

import fake_cupy
from fasthep_parsl.errors import OpError
from fasthep_parsl.interfaces import Call, Context, DatasetInfo
from fasthep_parsl.modifiers import gpu_preload
from fasthep_parsl.modifiers.gpu_preload import GpuMemoryError, GpuPreload
from fasthep_parsl.ops import device, kinematics
from fasthep_parsl.ops.clean import clean
from fasthep_parsl.ops.columns.value_types import MissingError
from fasthep_parsl.ops.combinations import build_combinations, build_pairs
from fasthep_parsl.ops.cutflow import cutflow
from fasthep_parsl.ops.define import define
from fasthep_parsl.ops.expressions import expression
from fasthep_parsl.ops.expressions.functions import FUNCTIONS
from fasthep_parsl.ops.histogram import histogram
from fasthep_parsl.ops.objects import merge_collections, select_objects
from fasthep_parsl.ops.selection import flag, select
from fasthep_parsl.ops.stream import Events
from fasthep_parsl.ops.write import write

REAL = importlib.util.find_spec("cupy") is not None
DATASETS = (DatasetInfo("dy", meta={"xsec": 2.0, "blinded": False}), DatasetInfo("data", eventtype="data"))
CONTEXT = Context("Sel", DATASETS[0], DATASETS, "dy-0", Path())


@pytest.fixture(autouse=True)
def _forget(monkeypatch):
    monkeypatch.setattr(gpu_preload, "_found", [])
    monkeypatch.setattr(device, "_streams", {})
    gpu_preload._failed.clear()
    device.pop_counts()
    yield
    device.pop_counts()


@pytest.fixture(params=["fake", pytest.param("cupy", marks=pytest.mark.gpu)])
def gpu(request):
    """A GPU: the stand-in, or the one of this machine."""
    if request.param == "cupy":
        if gpu_preload.why_not():
            pytest.skip(f"no GPU: {gpu_preload.why_not()}")
        yield "cupy"
        return
    if REAL:
        pytest.skip("CuPy is installed here: the stand-in would be mixed with it")
    with fake_cupy.installed(), fake_cupy.kernels_in_python():
        yield "fake"


def make(number=400, seed=3):
    rng = np.random.default_rng(seed)
    muons, jets = rng.poisson(1.5, number), rng.poisson(2, number)

    def objects(counts):
        offsets = ak.index.Index64(np.concatenate([[0], np.cumsum(counts)]))
        return lambda content: ak.Array(ak.contents.ListOffsetArray(offsets, ak.contents.NumpyArray(content)))

    muon, jet, number_of_jets = objects(muons), objects(jets), int(jets.sum())
    total = int(muons.sum())
    pt = rng.exponential(30, total).astype("f4")
    met = rng.exponential(40, number).astype("f4")
    met[::17] = np.nan
    columns = {
        "nMuon": muons.astype("u4"),
        "Muon_pt": muon(pt),
        "Muon_eta": muon(rng.normal(0, 1.5, total).astype("f4")),
        "Muon_phi": muon(rng.uniform(-np.pi, np.pi, total)),
        "Muon_charge": muon(rng.choice([-1, 1], total).astype("i4")),
        "Muon_tight": muon(rng.random(total) > 0.3),
        "Jet_pt": jet(rng.exponential(40, number_of_jets)),
        "Jet_eta": jet(rng.normal(0, 1.5, number_of_jets)),
        "Jet_phi": jet(rng.uniform(-np.pi, np.pi, number_of_jets)),
        "MET_pt": met,
        "n": rng.integers(-3, 9, number).astype("i4"),
        "w": rng.normal(1, 0.3, number),
        "small": rng.integers(0, 255, number).astype("u1"),
        "flag": rng.random(number) > 0.5,
        "maybe": ak.mask(ak.Array(rng.normal(0, 1, number)), rng.random(number) > 0.3),
    }
    return Events(columns, number)


EVENTS = make()
EMPTY = make(0)
FIELDS = tuple(EVENTS)


def same(got, expected, exact):
    """Whether two columns are equal, to the last bit if `exact`."""
    assert len(got) == len(expected)
    assert str(ak.type(ak.Array(got))) == str(ak.type(ak.Array(expected)))
    if ak.Array(expected).ndim > 1:
        assert ak.to_list(ak.num(got)) == ak.to_list(ak.num(expected))
    got, expected = ak.flatten(got, axis=None), ak.flatten(expected, axis=None)
    assert ak.to_list(ak.is_none(got)) == ak.to_list(ak.is_none(expected))
    got, expected = ak.to_numpy(ak.drop_none(got)), ak.to_numpy(ak.drop_none(expected))
    if exact or expected.dtype.kind != "f":
        np.testing.assert_array_equal(got, expected)
    else:
        np.testing.assert_allclose(got, expected, rtol=1e-5 if expected.dtype == np.float32 else 1e-12)


EXPRESSIONS = [
    "Muon_pt", "MET_pt", "maybe", "nMuon >= 2", "nMuon - 3", "n // 2", "n % 3", "n ** 2", "n ** -1", "-n", "~flag",
    "not flag", "flag + flag", "MET_pt * 2.5", "MET_pt > 30 and flag", "(n > 1) | flag", "0 < n < 5", "flag ^ (n > 2)",
    "w / n", "Muon_pt * Muon_eta", "Muon_pt * w", "Muon_pt > MET_pt", "abs(Muon_eta) < 2.4", "Muon_pt ** 2",
    "sqrt(Muon_pt)", "log(MET_pt)", "exp(-n)", "hypot(MET_pt, w)", "arctan2(w, MET_pt)", "round(w)", "sign(n)",
    "minimum(MET_pt, 50)", "maximum(Muon_pt, w)", "isnan(MET_pt)", "isfinite(MET_pt)", "where(flag, MET_pt, -1)",
    "where(Muon_tight, Muon_pt, 0)", "delta_phi(Muon_phi, 1)", "delta_r(Muon_eta, Muon_phi, w, n)",
    "sum(Muon_pt)", "sum(Muon_charge)", "sum(Muon_tight)", "mean(Muon_pt)", "std(Muon_pt)", "min(Muon_pt)",
    "max(Muon_pt)", "min(Muon_charge)", "max(Muon_tight)", "argmin(Muon_pt)", "argmax(Muon_pt)", "any(Muon_pt > 30)",
    "all(Muon_tight)", "num(Muon_pt)", "count(Muon_pt)", "count_nonzero(Muon_tight)", "sum(Muon_pt[Muon_tight])",
    "Muon_pt[Muon_pt > 20]", "Muon_eta[(Muon_pt > 20) & Muon_tight]", "Muon_eta[argmax(Muon_pt)]",
    "Muon_eta[argsort(Muon_pt)]", "leading(Muon_pt)", "subleading(Muon_pt)", "first(Muon_pt, 0)", "nth(Muon_pt, -1)",
    "nth(Muon_pt, 2, -1)", "nth(Muon_pt, n)", "leading(Muon_pt) + w", "leading(Muon_pt) > 20", "take(Muon_pt, 2)",
    "take(Muon_pt, -1)", "sort(Muon_pt)", "sort(Muon_pt, False)", "argsort(Muon_charge)", "argsort(Muon_charge, False)",
    "local_index(Muon_pt)", "fill_none(leading(Muon_pt), -1)", "is_none(leading(Muon_pt))", "is_none(w)",
    "is_none(Muon_pt)", "fill_none(maybe, 0)", "maybe + leading(Muon_pt)", "fill_none(maybe, leading(Jet_pt))",
    "maybe > 0", "dataset.xsec * w", "sum(Muon_pt) / sum(Jet_pt)", "max(sqrt(Muon_pt))", "3", "pi * n",
    "num(Muon_pt[Muon_pt > 10][Muon_charge[Muon_pt > 10] > 0])", "small > 300", "small < -1", "small + 300", "small == n",
    "where(True, MET_pt, n)", "where(dataset.blinded, Muon_pt, 0)", "where(0, w, leading(Muon_pt))", "w + where(flag, 1, 2)",
    "w % 0.1", "Muon_pt // 0.1", "Muon_pt % w", "maybe // 0.1", "leading(Muon_pt) % MET_pt", "n % w",
    "prod(Muon_pt)", "prod(Muon_charge)", "random(1, n, small, nMuon)", "random_normal(7, 1, small, nMuon, Muon_pt)",
]  # fmt: skip


@pytest.mark.parametrize("text", EXPRESSIONS)
@pytest.mark.parametrize("events", ["some", "none"])
def test_an_expression_is_computed_on_the_gpu(gpu, text, events):
    expected = expression(text)({"some": EVENTS, "none": EMPTY}[events], CONTEXT)
    fresh = make(400 if events == "some" else 0)
    names = sorted(expression(text).names)
    got = expression(text)(fresh.on_gpu(FIELDS), CONTEXT)
    assert device.on_gpu(got) or not names  # constants are made by the host
    moved = device.pop_counts()
    if gpu == "fake":
        assert {key: fake_cupy.stats[key] for key in moved} == moved  # nothing moves that is not counted
        assert fake_cupy.stats["kernels"] == 0
    offsets = {name.split("_")[0] for name in names if name.split("_")[0] in ("Muon", "Jet")}
    assert moved.get("copies_up", 0) == len(names) + len(offsets) + ("maybe" in names)
    reduces = any(f"{name}(" in text for name in ("sum", "prod", "mean", "std", "min", "max", "argmin", "argmax"))
    assert moved.get("copies_down", 0) <= 2 * reduces  # the number of events of each multiplicity
    same(Events({"x": got}, len(fresh))["x"], expected, exact=gpu == "fake")


def test_every_function_is_tried():
    used = (
        " ".join(EXPRESSIONS)
        + " pad_none( log10( log2( log1p( expm1( cos( sin( tan( cosh( sinh( tanh( arccos( arcsin( "
    )
    used += "arctan( arcsinh( arccosh( arctanh( floor( ceil( isinf("  # as sqrt is
    assert [name for name in FUNCTIONS if f"{name}(" not in used] == []


def test_a_constant_condition_goes_with_missing_values():
    columns = {"maybe": ak.Array([1, None, 2]), "lists": ak.Array([[1.0, 2.0], [], [3.0]])}
    assert ak.to_list(expression("where(True, lists, maybe)")(columns)) == [[1, 2], [], [3]]
    assert ak.to_list(expression("where(0, lists, maybe)")(columns)) == [[1, 1], [], [2]]


def test_nan_counts_as_on_the_cpu(gpu):
    content = np.array([np.nan, 3, 3, np.nan, 1, np.nan, np.inf, -np.inf, np.nan, 5])
    column = ak.unflatten(content, [2, 3, 1, 0, 4])
    for text in (
        "min(x)",
        "max(x)",
        "argmin(x)",
        "argmax(x)",
        "sort(x)",
        "sort(x, False)",
        "argsort(x)",
        "argsort(x, False)",
    ):
        expected = expression(text)(Events({"x": column}, 5))
        got = expression(text)(Events({"x": column}, 5).on_gpu(["x"]))
        same(Events({"y": got}, 5)["y"], expected, exact=True)


SPECIAL = [0.0, -0.0, 0.1, -0.1, 0.3, 1.0, -1.0, 2.5, -7.0, 1e300, 5e-324, np.inf, -np.inf, np.nan, 3.0, 1e-3]


@pytest.mark.parametrize("kinds", [("f8", "f8"), ("f4", "f4"), ("f4", "f8"), ("i4", "f8"), ("f4", "i8"), ("u1", "f4")])
def test_division_with_rest_is_that_of_numpy(gpu, kinds):
    rng = np.random.default_rng(5)
    values = np.concatenate([SPECIAL, rng.normal(0, 3, 40), 0.1 * np.arange(40)])
    a, b = (part.ravel() for part in np.meshgrid(values, values))
    with np.errstate(all="ignore"):
        columns = {"a": a.astype(kinds[0]), "b": b.astype(kinds[1])}
    events = Events(columns, len(a))
    texts = [
        "a // b",
        "a % b",
        *(f"{text} {sign}{x}" for text in ("a //", "a %") for sign in ("", "-") for x in (0.1, 0.0, 2.5)),
    ]
    for text in (*texts, "0.1 // b", "1 % b", "-1.0 % b", "(a > 0) % 0.3"):
        got, expected = expression(text)(events.on_gpu(["a", "b"])), expression(text)(events)
        if isinstance(expected, ak.Array):  # of integers, missing where the divisor is 0
            same(Events({"x": got}, len(a)).on_host()["x"], expected, exact=True)
            continue
        got = got.get()
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected, err_msg=text)
        number = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(got[number]), np.signbit(expected[number]), err_msg=text)


# --- ops --------------------------------------------------------------------------------------------------

REGULAR = {"name": "met", "source": "MET_pt", "type": "regular", "bins": {"nbins": 7, "low": 0, "high": 100}}
VARIABLE = {"name": "pt", "source": "Muon_pt", "type": "variable", "bins": [0, 10, 25, 60]}
CASES = {
    "define": (define, {"variables": [
        {"name": "ht", "reduce": {"op": "sum", "over": "Jet_pt"}},
        {"name": "twice", "expr": "ht * 2", "dtype": "float32"},
        {"name": "good", "expr": "Muon_pt[Muon_tight]", "dtype": "float64"},
        {"name": "lead", "expr": "leading(good)", "dtype": "float32"},
        {"name": "one", "expr": "1"},
    ]}),
    "select": (select, {"selection": ["MET_pt > 10", "nMuon >= 1"]}),
    "select_all": (select, {"selection": ["nMuon >= 0"]}),
    "select_any": (select, {"selection": {"Any": ["flag", {"All": ["n > 2", "w > 1"]}]}}),
    "flag": (flag, {"selection": ["any(Muon_pt > 30)", "True"], "output": "chosen"}),
    "cutflow": (cutflow, {"selection": {"a": ["MET_pt > 10", "n > 1"], "b": {"Any": ["flag", "n > 4"], "from": "a[0]"}},
                          "weights": "w", "output_field": "both"}),
    "cutflow_plain": (cutflow, {"selection": ["leading(Muon_pt) > 20", "True"], "filter": "none"}),
    "cutflow_number": (cutflow, {"selection": ["flag"], "weights": "2.5"}),
    "hist": (histogram, {"axes": [REGULAR], "dataset_axis": True}),
    "hist_plain": (histogram, {"axes": [REGULAR | {"source": "Muon_pt"}]}),
    "hist_weighted": (histogram, {"axes": [REGULAR | {"source": "Muon_pt"}], "weights": "w", "dataset_axis": True}),
    "hist_double": (histogram, {"axes": [VARIABLE], "weights": "w", "storage": "double"}),
    "hist_2d": (histogram, {"axes": [VARIABLE, REGULAR], "weights": "w * 2"}),
    "hist_missing": (histogram, {"axes": [REGULAR | {"source": "leading(Muon_pt)"}], "weights": "fill_none(maybe, 1)"}),
    "hist_number": (histogram, {"axes": [REGULAR | {"source": "42"}, VARIABLE], "weights": "3"}),
    "hist_variations": (histogram, {"axes": [REGULAR], "variations": {"weights": {"nominal": "w", "up": "w * 2"}}}),
    "hist_bool": (histogram, {"axes": [REGULAR, {"name": "flag", "type": "bool"}], "weights": "w"}),
    "hist_int": (histogram, {"axes": [{"name": "n", "type": "int", "bins": {"low": -1, "high": 5}}, REGULAR]}),
    "hist_ints": (histogram, {"axes": [{"name": "n", "type": "int", "bins": [4, -2, 7]}], "weights": "w"}),
    "hist_int_of_floats": (histogram, {"axes": [{"name": "m", "source": "MET_pt / 0", "type": "int", "bins": {"low": 0, "high": 5}},
                                                {"name": "h", "source": "MET_pt", "type": "int", "bins": {"low": 0, "high": 20}}]}),
    "hist_int_number": (histogram, {"axes": [{"name": "n", "source": "3", "type": "int", "bins": {"low": 0, "high": 5}}, REGULAR]}),
    "hist_byte": (histogram, {"axes": [{"name": "small", "type": "category", "bins": [1, 250]}]}),
    "hist_grows": (histogram, {"axes": [{"name": "n", "type": "int"}]}),
    "select_objects": (select_objects, {"collection": "Muon", "output": "Good", "selection": ["pt > 15", "tight", "w > 0.5"],
                                        "keep": ["pt", "eta", "charge", "x"], "derived": {"x": "pt * 2"}}),
    "select_objects_by": (select_objects, {"collection": "Muon", "output": "Good", "keep": ["pt"],
                                           "sort": {"by": "abs(eta)", "order": "ascending"}}),
    "select_objects_unsorted": (select_objects, {"collection": "Muon", "output": "Good", "keep": ["pt"], "sort": False,
                                                 "selection": ["leading(Jet_pt) > 10"]}),
    "build_pairs": (build_pairs, {"collections": ["Muon"], "output": "Z", "mass": 0.1057,
                                  "selection": {"pair": ["lepton_1_charge * lepton_2_charge < 0"]},
                                  "sort": {"by": "abs(mass - 91.2)", "order": "ascending"}}),
    "combinations": (build_combinations, {"collection": "Muon", "n": 3, "output": "Tri", "mass": 0.1057, "take": 2,
                                          "selection": ["mass > 20"], "sort": {"by": "pt"}}),
    "combinations_of_two": (build_combinations, {"collections": ["Muon", "Jet"], "output": "MuJet", "mass": 0.1057}),
    "clean": (clean, {"source": "Jet", "clean_against": ["Muon"], "diagnostics": {"keep_removed": True}}),
    "merge_collections": (merge_collections, {"inputs": ["Muon", "Jet"], "output": "Any", "keep": ["pt"], "sort": {"by": "pt"}}),
}  # fmt: skip


class Stage:
    """A stage with the modifier."""

    def __init__(self, function, params, **modifier):
        model = function.op.params(**params)
        self.keywords = function.op.keywords(model) | {"context": CONTEXT}
        if not function.op.takes_context:
            self.keywords.pop("context")
        schema = {name: () if ak.Array(EVENTS[name]).ndim == 1 else (f"n{name.split('_')[0]}",) for name in EVENTS}
        self.function = function
        self.reads = tuple(function.op.analyse(model, schema).reads)
        self.notes = []
        call = Call(function.op.call, function.op, "S", "gpu", self.reads, self.notes.append)
        self.call = GpuPreload(**modifier).wrap(call)

    def __call__(self, events):
        return self.call(events, **self.keywords)

    def plain(self, events):
        return self.function.op.call(events, **self.keywords)

    @property
    def note(self):
        found = self.notes[0]
        for other in self.notes[1:]:
            found = GpuPreload.merge(found, other)
        return found


def parts(result):
    """Return the stream and the product of an op."""
    stream = next(
        (r for r in (result if isinstance(result, tuple) else (result,)) if isinstance(r, Events | dict)), None
    )
    product = next(
        (r for r in (result if isinstance(result, tuple) else (result,)) if not isinstance(r, Events | dict)), None
    )
    return stream, product


def equal_products(got, expected):
    if hasattr(expected, "hist"):
        assert got.hist.axes == expected.hist.axes
        assert (got.none, got.nan) == (expected.none, expected.nan)
        a, b = np.asarray(got.hist.view(flow=True)), np.asarray(expected.hist.view(flow=True))
        assert a.dtype == b.dtype
        for name in a.dtype.names or (...,):
            np.testing.assert_allclose(a[name], b[name], rtol=1e-12 if a.dtype != np.int64 else 0)
        return
    assert got.rows.keys() == expected.rows.keys()
    for rows, others in zip(got.rows.values(), expected.rows.values(), strict=True):
        for row, other in zip(rows, others, strict=True):
            assert (row.selection, row.index, row.label, row.n_in, row.n_out) == (
                other.selection, other.index, other.label, other.n_in, other.n_out,
            )  # fmt: skip
            sums = [(r.sumw_in, r.sumw_out, r.sumw2_in, r.sumw2_out) for r in (row, other)]
            np.testing.assert_allclose(*sums, rtol=1e-12)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("events", ["some", "none", "filtered"])
def test_an_op_yields_what_it_yields_without(gpu, case, events):
    chosen = {"some": EVENTS, "none": EMPTY, "filtered": EVENTS.filter(EVENTS["w"] > 0.9)}[events]
    given = {"some": make, "none": lambda: make(0), "filtered": lambda: make().filter(EVENTS["w"] > 0.9)}[events]()
    stage = Stage(*CASES[case])
    expected = parts(stage.plain(chosen))
    got = parts(stage(given))
    assert stage.note.get("fallbacks", 0) == 0
    if expected[1] is not None:
        equal_products(got[1], expected[1])
    if expected[0] is not None:
        stream = got[0] if isinstance(got[0], Events) else given.with_columns(got[0])
        for name in expected[0]:
            same(stream[name], expected[0][name], exact=gpu == "fake" and not name.endswith("Z_mass"))  # a kernel's


@pytest.mark.parametrize("case", CASES)
def test_each_field_goes_up_once_and_nothing_else_comes_back(gpu, case):
    stage = Stage(*CASES[case])
    stage(make())
    note = stage.note
    jagged = {name.split("_")[0] for name in stage.reads if ak.Array(EVENTS[name]).ndim > 1}
    made = dict.fromkeys(
        ("hist_double", "hist_2d", "hist_number", "flag", "cutflow_plain"), 1
    )  # edges, the mask `True`
    made["combinations"] = 5  # tables: how many, where, and one for each member
    assert note.get("copies_up", 0) == len(stage.reads) + len(jagged) + ("maybe" in stage.reads) + made.get(case, 0)
    function = CASES[case][0]
    if function is histogram and case != "hist_grows":
        assert note["copies_down"] <= 2  # the bins, once per weight
        assert note["bytes_down"] < 2000
    elif function is cutflow:
        assert note["copies_down"] == 1
        assert note["bytes_down"] < 300
    elif function in (select, flag):
        assert note.get("copies_down", 0) == 0
    if gpu == "fake":
        assert {
            key: fake_cupy.stats[key] for key in ("copies_up", "copies_down", "bytes_up", "bytes_down", "waits")
        } == {key: note.get(key, 0) for key in ("copies_up", "copies_down", "bytes_up", "bytes_down", "waits")}
        assert fake_cupy.Stream.entered == 0


def test_bins_on_every_edge_are_those_of_the_cpu(gpu):
    low, high, number = -2.4, 2.4, 48
    edges = np.linspace(low, high, number + 1)
    values = np.concatenate([edges, np.nextafter(edges, -9), np.nextafter(edges, 9), [np.nan, np.inf, -np.inf]])
    for kind in ("f8", "f4"):
        events = Events({"x": values.astype(kind)}, len(values))
        for axis in ({"type": "regular", "bins": {"nbins": number, "low": low, "high": high}},
                     {"type": "variable", "bins": [float(edge) for edge in edges]}):  # fmt: skip
            params = histogram.op.params(axes=[{"name": "x", **axis}])
            expected = histogram.op.call(events, axes=params.axes).hist.view(flow=True)
            got = histogram.op.call(events.on_gpu(["x"]), axes=params.axes).hist.view(flow=True)
            np.testing.assert_array_equal(got, expected)


# --- stages one after the other ---------------------------------------------------------------------------


def test_columns_stay_on_the_gpu_from_stage_to_stage(gpu):
    events = make()
    chain = [
        Stage(define, {"variables": [{"name": "lead", "expr": "leading(Muon_pt)"}]}),
        Stage(cutflow, {"selection": ["nMuon >= 1", "MET_pt > 10"], "weights": "w"}),
        Stage(select, {"selection": ["any(abs(Muon_eta) < 1)"]}),
        Stage(histogram, {"axes": [REGULAR | {"source": "Muon_pt"}], "weights": "w"}),
    ]
    plain, stream = events, events
    for stage in chain:
        expected, product = parts(stage.plain(plain))
        got, result = parts(stage(stream))
        if product is not None:
            equal_products(result, product)
        plain, stream = expected or plain, got or stream
    assert [stage.note.get("copies_up", 0) for stage in chain] == [2, 3, 1, 0]
    assert [stage.note.get("copies_down", 0) for stage in chain] == [0, 1, 0, 1]
    device.pop_counts()
    same(stream["lead"], plain["lead"], exact=gpu == "fake")  # it leaves: values and where they are valid
    assert device.pop_counts()["copies_down"] in (1, 2)


def test_other_columns_stay_in_host_memory_and_are_filtered_there(gpu):
    events = Events({name: EVENTS[name] for name in EVENTS}, len(EVENTS), np.arange(len(EVENTS)))
    stage = Stage(select, {"selection": ["MET_pt > 30"]})
    kept, expected = stage(events), stage.plain(events)
    device.pop_counts()
    for name in ("Jet_pt", "n", "Muon_pt", "Muon_eta", "maybe"):
        same(kept[name], expected[name], exact=True)
    assert kept.owners.tolist() == expected.owners.tolist()
    moved = device.pop_counts()
    assert moved["copies_down"] == 1  # the positions of the events, once for all of them
    twice, expected = (Stage(select, {"selection": ["w > 1"]}).call(e, selection=["w > 1"]) for e in (kept, expected))
    same(twice["Jet_pt"], expected["Jet_pt"], exact=True)
    same(twice["MET_pt"], expected["MET_pt"], exact=True)


def test_host_and_gpu_columns_meet_in_one_expression(gpu):
    stage = Stage(define, {"variables": [{"name": "x", "expr": "Muon_pt * w + n"}, {"name": "y", "expr": "MET_pt > w"}]},
                  fields=("Muon_pt",))  # fmt: skip
    got, expected = stage(EVENTS), stage.plain(EVENTS)
    for name in ("x", "y"):
        same(got[name], expected[name], exact=gpu == "fake")


MIXED = ["Muon_eta[argmax(Muon_pt)]", "Muon_eta[argsort(Muon_pt)]", "Muon_pt[Muon_tight]", "Muon_pt[Muon_eta > 0]", "Muon_eta[Muon_pt > 20]",
         "nth(Muon_pt, n)", "nth(Muon_eta, where(MET_pt > 40, 1, 0))", "Muon_tight & (Muon_pt > 20)", "(Muon_eta > w) & (Muon_pt > 20)", "Muon_eta * MET_pt",
         "leading(Muon_eta) + MET_pt", "maybe * leading(Muon_pt)", "fill_none(leading(Muon_eta), MET_pt)", "where(Muon_tight, Muon_pt, 0)",
         "fill_none(leading(Muon_pt), maybe)", "sum((Muon_eta + 1) * (Muon_pt + Muon_eta))", "take(Muon_eta, argsort(Muon_pt))"]  # fmt: skip


@pytest.mark.parametrize("text", MIXED)
def test_what_stayed_in_host_memory_goes_up_where_it_is_needed(gpu, text):
    view = make().on_gpu(["Muon_pt", "MET_pt"])
    _ = view["Muon_pt"], view["MET_pt"]
    got = expression(text)(view)
    assert device.on_gpu(got)
    moved = device.pop_counts()
    if gpu == "fake":
        assert {key: fake_cupy.stats[key] for key in moved} == moved
    same(Events({"x": got}, 400)["x"], expression(text)(EVENTS), exact=gpu == "fake")


INSIDE = ["nth(pad_none(Muon_pt, 2), 0)", "nth(pad_none(Muon_pt, 2), -1)", "nth(pad_none(Muon_pt, 2), n)", "pad_none(Muon_pt, 2) % 0.1",
          "pad_none(Muon_pt, 2) // w", "w % pad_none(Muon_eta, 3)", "7 // pad_none(Muon_charge, 1)", "Muon_pt % leading(Muon_eta)"]  # fmt: skip


@pytest.mark.parametrize("text", INSIDE)
def test_values_missing_inside_lists(gpu, text):
    got = expression(text)(make().on_gpu(FIELDS))
    assert device.on_gpu(got)
    same(Events({"x": got}, 400)["x"], expression(text)(EVENTS), exact=gpu == "fake")


def test_missing_values_become_nan_where_they_lie(gpu):
    found = kinematics.float64(EVENTS.on_gpu(["maybe"])["maybe"])
    assert device.on_gpu(found)
    np.testing.assert_array_equal(found.get(), kinematics.float64(EVENTS["maybe"]))
    assert device.on_gpu(kinematics.float64(ak.Array(EVENTS.on_gpu(["small"])["small"])))


def test_a_filter_from_the_host_reaches_columns_on_the_gpu(gpu):
    view = make().on_gpu(FIELDS)
    _ = view["Muon_pt"], view["MET_pt"]
    device.pop_counts()
    mask = EVENTS["n"] > 2
    kept, expected = view.filter(mask).filter(slice(1, None, 2)), EVENTS.filter(mask).filter(slice(1, None, 2))
    assert device.on_gpu(kept["Muon_pt"])
    assert device.on_gpu(kept["MET_pt"])
    assert device.pop_counts()["copies_up"] == 2  # the positions, of both filters
    for name in FIELDS:
        same(kept.on_host()[name], expected[name], exact=True)


def test_text_stays_where_it_is(gpu):
    events = Events({"name": ak.Array(["a", "b", "c"]), "x": np.arange(3.0)}, 3)
    view = events.on_gpu(["name", "x"])
    kept = view.filter(view["x"] > 0)
    assert device.on_gpu(kept["x"])
    assert ak.to_list(kept["name"]) == ["b", "c"]


def test_a_skim_is_written_from_host_memory(gpu, tmp_path):
    call = Stage(write, {"format": "parquet", "fields": ["Muon_pt", "MET_pt", "maybe"], "path": str(tmp_path)})
    manifest = call(make())
    found = ak.from_parquet(tmp_path / manifest.files[0].path)
    for name in found.fields:
        same(found[name], EVENTS[name], exact=True)
    assert "copies_up" not in call.note


# --- what goes wrong --------------------------------------------------------------------------------------


def deep(events, **_params):
    """An op that needs what a GPU lacks."""
    return {"x": np.interp(events["MET_pt"], np.arange(3.0), np.arange(3.0)), "y": np.asarray(events["w"])}


@pytest.fixture
def lacking(gpu):
    def wrap(function=deep, **modifier):
        notes = []
        call = Call(function, define.op, "S", "gpu", ("MET_pt", "w"), notes.append)
        return GpuPreload(**modifier).wrap(call), notes

    return wrap


def test_what_is_missing_is_named(lacking):
    call, _ = lacking()
    with pytest.raises(
        OpError,
        match=r"gpu.preload: op hep.define cannot run on the GPU: NotImplementedError: Only int or ndarray .*on_missing: cpu",
    ):
        call(EVENTS)


def test_just_that_op_goes_back_to_the_cpu(lacking):
    call, notes = lacking(on_missing="cpu")
    got = call(EVENTS)
    assert isinstance(got["y"], np.ndarray)
    note = GpuPreload.merge(*notes) if len(notes) == 2 else notes[0]
    assert note["fallbacks"] == 1
    assert next(iter(note["reasons"])).startswith("hep.define: NotImplementedError: Only int or ndarray ")


def test_the_stand_in_refuses_as_cupy_does(gpu):
    """Types of errors decide what is told and what goes back to the CPU."""
    there = device.cupy().asarray(np.arange(4.0))
    for missing in (
        lambda: np.interp(there, np.arange(3.0), np.arange(3.0)),
        lambda: np.searchsorted(np.arange(3.0), there),
        lambda: np.maximum.reduce(there),
        lambda: np.subtract.accumulate(there),
        lambda: np.logical_and.at(there, 0, 1),
    ):
        with pytest.raises(NotImplementedError):
            missing()
    for mixed in (lambda: there + np.arange(4.0), lambda: np.asarray(there)):
        with pytest.raises(TypeError):
            mixed()
    assert float(np.add.reduce(there)) == 6
    assert float(np.multiply.reduce(there)) == 0


def test_the_function_and_the_expression_are_named(gpu, monkeypatch):
    def broken(*_args):
        raise NotImplementedError("no such kernel")

    monkeypatch.setattr("fasthep_parsl.ops.columns.ordering.argsort_content", broken)
    stage = Stage(define, {"variables": [{"name": "x", "expr": "leading(sort(Muon_pt))"}]})
    with pytest.raises(
        OpError, match=r"op hep.define: in `leading\(sort\(Muon_pt\)\)`: sort\(\) cannot run on the GPU: "
    ):
        stage(EVENTS)
    with pytest.raises(MissingError):
        expression("sort(Muon_pt)")(EVENTS.on_gpu(["Muon_pt"]))


def test_a_mistake_of_the_op_is_no_lack_of_the_gpu(lacking):
    def wrong(_events, **_params):
        raise OpError("wrong weights")

    with pytest.raises(OpError, match=r"^wrong weights$"):
        lacking(wrong)[0](EVENTS)
    call, notes = lacking(wrong, on_missing="cpu")
    with pytest.raises(OpError, match=r"^wrong weights$"):
        call(EVENTS)
    assert not any("fallbacks" in note for note in notes)


def test_no_gpu_is_told_with_worker_and_pool(monkeypatch):
    monkeypatch.setattr(gpu_preload, "_found", ["CuPy is not installed (pip …)"])
    stage = Stage(*CASES["define"])
    with pytest.raises(
        OpError, match=r"worker \S+ \(process \d+\) of pool `gpu` has no usable GPU: CuPy is not installed"
    ):
        stage(EVENTS)
    stage = Stage(*CASES["define"], on_missing="cpu")
    got, expected = stage(EVENTS), stage.plain(EVENTS)
    same(got["ht"], expected["ht"], exact=True)
    assert stage.note == {"calls": 1, "without_gpu": 1, "reasons": {"pool `gpu`: CuPy is not installed (pip …)": 1}}


@pytest.mark.skipif(REAL, reason="CuPy is installed here")
def test_why_a_worker_has_no_gpu(monkeypatch):
    assert "CuPy is not installed" in gpu_preload.why_not()
    with fake_cupy.installed() as cupy:

        def none():
            raise RuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient")

        monkeypatch.setattr(cupy, "is_available", lambda: False)
        monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", none)
        monkeypatch.setattr(cupy.cuda.runtime, "driverGetVersion", lambda: 12080, raising=False)
        monkeypatch.setattr(cupy.cuda, "get_local_runtime_version", lambda: 13000, raising=False)
        found = gpu_preload._look()
        assert "cudaErrorInsufficientDriver" in found
        assert "built for CUDA 13, the driver supports CUDA 12" in found
        monkeypatch.setattr(cupy.cuda.runtime, "driverGetVersion", lambda: 0)
        assert "this machine has no NVIDIA driver" in gpu_preload._look()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "CUDA_VISIBLE_DEVICES is empty" in gpu_preload._look()


@pytest.mark.skipif(REAL, reason="CuPy is installed here")
def test_a_device_that_runs_no_kernel_is_not_usable(monkeypatch):
    with fake_cupy.installed() as cupy:
        assert gpu_preload._look() == ""

        def broken(*_args):
            raise RuntimeError("catastrophic error: cannot open source file cuda_fp16.h\n1 error detected")

        monkeypatch.setattr(cupy, "arange", broken, raising=False)
        monkeypatch.setattr(cupy.cuda.runtime, "driverGetVersion", lambda: 13000, raising=False)
        monkeypatch.setattr(cupy.cuda, "get_local_runtime_version", lambda: 13000, raising=False)
        found = gpu_preload._look()
        assert found.startswith("CuPy 14.2.0 cannot run a kernel: RuntimeError: catastrophic error: cannot open")
        assert "\n" not in found
        fake_cupy.Memory.most = 0
        monkeypatch.delattr(cupy, "arange")
        assert gpu_preload._look() == ""  # usable, but full


def test_compiled_kernels_of_cupy_lie_in_a_private_folder(tmp_path):
    (tmp_path / "modules").mkdir()
    (tmp_path / "home").write_text("no folder")
    (tmp_path / "modules" / "cupy.py").write_text(
        "import os\n"
        "os.makedirs(os.environ.get('CUPY_CACHE_DIR', os.path.expanduser('~/.cupy/kernel_cache')), exist_ok=True)\n"
        "raise ImportError('far enough')\n"
    )
    script = "from fasthep_parsl.modifiers.gpu_preload import why_not; print(why_not())"
    kernels = str(tmp_path / "kernels")
    surroundings = {
        key: value for key, value in os.environ.items() if key not in ("CUPY_CACHE_DIR", "CUDA_VISIBLE_DEVICES")
    }
    surroundings |= {"HOME": str(tmp_path / "home"), "FASTHEP_KERNEL_CACHE": kernels}
    surroundings |= {"PYTHONPATH": os.pathsep.join([str(tmp_path / "modules"), *sys.path])}

    def look(**more):
        command = [sys.executable, "-c", script]
        return subprocess.run(command, env=surroundings | more, capture_output=True, text=True, check=True).stdout

    assert look().startswith("CuPy cannot be loaded: far enough")
    assert (tmp_path / "kernels" / "cupy").is_dir()
    found = look(CUPY_CACHE_DIR=str(tmp_path / "home" / "here"))  # what is given is used
    assert found.startswith("CuPy cannot create its cache folder: ")
    assert "set CUPY_CACHE_DIR" in found


@pytest.mark.skipif(REAL, reason="CuPy is installed here")
def test_out_of_memory_frees_it_and_names_sizes():
    with fake_cupy.installed():
        stage = Stage(define, {"variables": [{"name": "x", "expr": "sum(Muon_pt * Muon_pt)"}]})
        events = make()
        device.clear_uploads()  # of other tests
        before, freed, freed_pinned = fake_cupy.Memory.used, fake_cupy.pool.freed, fake_cupy.pinned_pool.freed
        fake_cupy.Memory.most = before + 9000
        with pytest.raises(
            GpuMemoryError, match=r"ran out of GPU memory: 400 events, .* in use .* free: Out of memory"
        ):
            stage(events)
        assert fake_cupy.pool.freed == freed + 1
        assert fake_cupy.pinned_pool.freed == freed_pinned + 1
        assert fake_cupy.Memory.used == before
        fake_cupy.Memory.most = None
        stage(events)
        assert stage.note["out_of_memory"] == 1


@pytest.mark.skipif(REAL, reason="CuPy is installed here")
def test_a_sort_that_finds_no_memory_is_out_of_memory_too():
    with fake_cupy.installed():
        stage = Stage(define, {"variables": [{"name": "x", "expr": "sort(Muon_pt)"}]}, on_missing="cpu")
        device.clear_uploads()
        fake_cupy.Memory.most = fake_cupy.Memory.used + 9000
        with pytest.raises(GpuMemoryError, match=r"ran out of GPU memory: 400 events, .* free: std::bad_alloc"):
            stage(make())
        assert stage.notes == []


@pytest.mark.skipif(REAL, reason="CuPy is installed here")
def test_too_little_memory_of_the_host_is_no_matter_of_the_gpu(lacking):
    calls = []

    def large(events, **_params):
        calls.append(events)
        return np.empty(1 << 55)

    with pytest.raises(MemoryError, match="Unable to allocate") as raised:
        lacking(large, on_missing="cpu")[0](EVENTS)
    assert not isinstance(raised.value, GpuMemoryError)
    assert len(calls) == 1  # the CPU has no more than that


@pytest.mark.skipif(REAL, reason="CuPy is installed here")
def test_orders_of_lists_are_freed_too():
    with fake_cupy.installed():
        column = make().on_gpu(["Muon_pt"])["Muon_pt"]
        before = fake_cupy.Memory.used
        expression("sum(Muon_pt)")({"Muon_pt": column})
        assert fake_cupy.Memory.used > before
        gpu_preload._free(None)
        assert fake_cupy.Memory.used <= before
