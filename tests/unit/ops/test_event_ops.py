"""define, select, flag, cutflow and hist: against plain loops, on empty events, merged in any grouping."""

import pickle
from dataclasses import replace
from pathlib import Path

import awkward as ak
import boost_histogram as bh
import numpy as np
import pytest
from pydantic import ValidationError

from fasthep_parsl.errors import OpError
from fasthep_parsl.interfaces import Context, DatasetInfo
from fasthep_parsl.ops.cutflow import cutflow
from fasthep_parsl.ops.define import define
from fasthep_parsl.ops.histogram import histogram
from fasthep_parsl.ops.selection import flag, select
from fasthep_parsl.ops.stream import Events

DATASETS = (DatasetInfo("dy", meta={"xsec": 2.0}), DatasetInfo("data", eventtype="data"))
CONTEXT = Context("Sel", DATASETS[0], DATASETS, "dy-0", Path())
SCHEMA = {"Muon_pt": ("nMuon",), "Muon_eta": ("nMuon",), "Jet_pt": ("nJet",), "met": (), "w": (), "n": (), "tag": ()}
RNG = np.random.default_rng(7)


def jagged(counts):
    content = RNG.exponential(30, counts.sum()).astype(np.float32)
    return ak.unflatten(content, counts)


def make(number):
    muons, jets = RNG.poisson(2, number), RNG.poisson(1, number)
    columns = {
        "Muon_pt": jagged(muons),
        "Muon_eta": jagged(muons),
        "Jet_pt": jagged(jets),
        "met": RNG.exponential(40, number),
        "w": RNG.normal(1, 0.3, number),
        "n": muons.astype(np.int32),
        "tag": RNG.random(number) > 0.5,
    }
    return Events(columns, number)


EVENTS = make(60)


def run(function, events=EVENTS, context=CONTEXT, **params):
    model = function.op.params(**params)
    return function.op.call(events, **function.op.keywords(model), context=context)


def analyse(function, **params):
    return function.op.analyse(function.op.params(**params), SCHEMA)


def problems(function, **params):
    return [(p.path, p.message, str(p.hint)) for p in analyse(function, **params).problems]


# --- what every op must do --------------------------------------------------------------------------------

REGULAR = {"name": "met", "type": "regular", "bins": {"nbins": 5, "low": 0, "high": 100}}
CASES = {
    "define": (define, {"variables": [{"name": "ht", "reduce": {"op": "sum", "over": "Jet_pt"}}]}),
    "select": (select, {"selection": ["met > 30"]}),
    "flag": (flag, {"selection": ["met > 30"]}),
    "cutflow": (cutflow, {"selection": {"a": ["met > 30", "n > 1"], "b": {"Any": ["tag"]}}, "weights": "w"}),
    "hist": (histogram, {"axes": [REGULAR], "dataset_axis": True}),
    "hist_weighted": (histogram, {"axes": [REGULAR | {"source": "Muon_pt"}], "weights": "w"}),
    "hist_2d": (histogram, {"axes": [REGULAR, {"name": "n", "type": "int"}], "dataset_axis": True, "weights": "w"}),
    "hist_category": (histogram, {"axes": [{"name": "tag", "type": "category"}]}),
    "hist_variations": (histogram, {"axes": [REGULAR], "variations": {"weights": {"nominal": "w", "up": "w * 2"}}}),
}


def product_of(function, result):
    return result[1] if function.op.stream and function.op.product else result


def comparable(product):
    if hasattr(product, "hist"):
        view = np.asarray(product.hist.view(flow=True))
        fields = [view[name] for name in view.dtype.names] if view.dtype.names else [view]
        return [list(axis) for axis in product.hist.axes], np.array(fields, dtype=float), product.none, product.nan
    rows = [r for rows in product.rows.values() for r in rows]
    numbers = [[r.n_in, r.n_out, r.sumw_in, r.sumw_out, r.sumw2_in, r.sumw2_out] for r in rows]
    return [(r.selection, r.index, r.label) for r in rows], np.array(numbers), product.weighted, list(product.rows)


@pytest.mark.parametrize("case", CASES)
def test_op_pickles_and_takes_no_events(case):
    function, params = CASES[case]
    assert pickle.loads(pickle.dumps(function)).op.name == function.op.name
    assert analyse(function, **params).problems == ()
    empty = EVENTS.filter(np.zeros(60, dtype=bool))
    result = run(function, empty, **params)
    assert result is not None
    plain = run(function, Events({name: EVENTS[name][:0] for name in EVENTS}, 0), **params)
    if function.op.product:
        both = [comparable(product_of(function, r)) for r in (result, plain)]
        np.testing.assert_array_equal(both[0][1], both[1][1])
        assert both[0][1].sum() == 0


@pytest.mark.parametrize("case", [case for case in CASES if CASES[case][0].op.product])
def test_merge_is_associative_and_equals_one_pass(case):
    function, params = CASES[case]
    merge = function.op.merge

    def part(first, last):
        return product_of(function, run(function, EVENTS.filter(slice(first, last)), **params))

    a, b, c = part(0, 7), part(7, 7), part(7, 60)
    whole = comparable(part(0, 60))
    for merged in (merge(merge(a, b), c), merge(a, merge(b, c))):
        got = comparable(pickle.loads(pickle.dumps(merged)))
        assert got[0] == whole[0]
        assert got[2:] == whole[2:]
        np.testing.assert_allclose(got[1], whole[1], rtol=1e-12)


# --- define -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["count_nonzero", "any", "all", "sum", "min", "max", "mean", "argmin", "argmax"])
def test_define_reduces_as_a_loop_does(name):
    result = run(define, variables=[{"name": "r", "reduce": {"op": name, "over": "Muon_pt > 30"}}]
                 if name in ("count_nonzero", "any", "all")
                 else [{"name": "r", "reduce": {"op": name, "over": "Muon_pt"}}])  # fmt: skip
    loop = {
        "count_nonzero": lambda pt: sum(x > 30 for x in pt),
        "any": lambda pt: any(x > 30 for x in pt),
        "all": lambda pt: all(x > 30 for x in pt),
        "sum": sum,
        "min": lambda pt: min(pt, default=None),
        "max": lambda pt: max(pt, default=None),
        "mean": lambda pt: sum(pt) / len(pt) if pt else float("nan"),
        "argmin": lambda pt: pt.index(min(pt)) if pt else None,
        "argmax": lambda pt: pt.index(max(pt)) if pt else None,
    }[name]
    assert ak.to_list(result["r"]) == pytest.approx([loop(pt) for pt in ak.to_list(EVENTS["Muon_pt"])], nan_ok=True)


def test_define_sees_earlier_variables_and_casts():
    variables = [
        {"name": "good", "expr": "Muon_pt > 20"},
        {"name": "nGood", "reduce": {"op": "sum", "over": "good"}, "dtype": "int32"},
        {"name": "met", "expr": "met * nGood", "dtype": "float32"},
        {"name": "pt", "expr": "Muon_pt[good]", "dtype": "float64"},
    ]
    effects = analyse(define, variables=variables)
    assert effects.problems == ()
    assert effects.reads == {"Muon_pt": ("variables", 0, "expr"), "met": ("variables", 2, "expr")}
    assert effects.writes == {"good": ("nMuon",), "nGood": (), "met": (), "pt": ("nMuon[good]",)}
    result = run(define, variables=variables)
    assert (result["nGood"].dtype, result["met"].dtype) == (np.int32, np.float32)
    assert ak.to_list(result["pt"]) == [[x for x in pt if x > 20] for pt in ak.to_list(EVENTS["Muon_pt"])]
    assert EVENTS["met"].dtype == np.float64


def test_define_refuses():
    for bad in ({"name": "a"}, {"name": "a", "expr": "1", "reduce": {"op": "sum", "over": "Jet_pt"}}):
        with pytest.raises(ValidationError, match="exactly one of"):
            define.op.params(variables=[bad])
    with pytest.raises(ValidationError, match="count_nonzero"):
        define.op.params(variables=[{"name": "a", "reduce": {"op": "som", "over": "Jet_pt"}}])
    found = problems(define, variables=[{"name": "a", "expr": "metx"}, {"name": "pi", "expr": "b"},
                                        {"name": "s", "reduce": {"op": "sum", "over": "met"}}])  # fmt: skip
    assert [path for path, *_ in found] == [
        ("variables", 0, "expr"), ("variables", 1, "name"), ("variables", 1, "expr"), ("variables", 2, "reduce", "over"),
    ]  # fmt: skip


# --- selections -------------------------------------------------------------------------------------------

MET, N, TAG = EVENTS["met"], EVENTS["n"], EVENTS["tag"]
FORMS = [
    ("met > 30", MET > 30),
    (["met > 30", {"expr": "n > 1", "label": "two"}], (MET > 30) & (N > 1)),
    ({"All": ["met > 30", {"Any": ["n > 2", "tag"]}]}, (MET > 30) & ((N > 2) | TAG)),
    ({"Any": ["met > 60", {"All": ["n > 2", "tag"]}]}, (MET > 60) | ((N > 2) & TAG)),
    ({"a": ["met > 30"], "b": ["tag"]}, (MET > 30) & TAG),
    ({"a": ["met > 30", "n > 1"], "b": {"cuts": ["tag"], "from": "a[0]"}}, (MET > 30) & (N > 1) & TAG),
    (
        [{"reduce": {"op": "any", "over": "Muon_pt > 50"}}],
        np.array([any(x > 50 for x in p) for p in EVENTS["Muon_pt"]]),
    ),
    (["nth(Muon_pt, 1) > 20"], np.array([len(p) > 1 and p[1] > 20 for p in EVENTS["Muon_pt"]])),
    ([True, "met > 30"], MET > 30),
]


@pytest.mark.parametrize(("selection", "expected"), FORMS)
def test_all_forms_of_selections(selection, expected):
    for function in (select, flag, cutflow):
        assert problems(function, selection=selection) == []
    np.testing.assert_array_equal(run(select, selection=selection)["met"], MET[expected])
    np.testing.assert_array_equal(run(flag, selection=selection)["Sel"], expected)
    stream, _ = run(cutflow, selection=selection, filter=True)
    np.testing.assert_array_equal(stream["met"], MET[expected])


@pytest.mark.parametrize(
    ("selection", "path", "message"),
    [
        (["Muon_pt > 20"], ("selection", 0), "one value per object"),
        ({"a": [{"expr": "mett > 2"}]}, ("selection", "a", 0, "expr"), "unknown field `mett`"),
        ({"a": {"cuts": ["met > 2", {"All": ["tag", "tga"]}]}}, ("selection", "a", "cuts", 1, "All", 1), "`tga`"),
        ({"a": ["tag"], "b": {"cuts": ["tag"], "from": "a[1]"}}, ("selection", "b"), "`a[1]`, which is not defined"),
        ([{"reduce": {"op": "sum", "over": "Muon_pt"}}], ("selection", 0, "reduce"), "any or all"),
        ([{"expr": "tag", "lable": "x"}], ("selection", 0, "lable"), "unknown key `lable`"),
        ({"a": {"cutz": ["tag"]}}, ("selection", "a", "cutz"), "unknown key `cutz`"),
        ([], ("selection",), "is empty"),
        (3, ("selection",), "a selection must be"),
        ([3], ("selection", 0), "a step must be"),
    ],
)
def test_selection_mistakes_are_found_before_the_start(selection, path, message):
    found = problems(select, selection=selection)
    assert found[0][0] == path
    assert message in found[0][1]


def test_selection_of_numbers_or_objects_fails_at_run_time():
    with pytest.raises(OpError, match="true or false"):
        run(select, selection=["n"])
    with pytest.raises(OpError, match=r"any\(…\) or all"):
        run(select, selection=["Muon_pt > 2"])


def test_flag_is_named_after_its_stage():
    assert analyse(flag, selection=["tag"]).writes == {"{stage}": ()}
    assert analyse(flag, selection=["tag"], output="ok").writes == {"ok": ()}
    assert "exists already" in problems(flag, selection=["tag"], output="met")[0][1]


# --- cutflow ----------------------------------------------------------------------------------------------


def test_cutflow_counts_as_a_loop_does():
    selection = {"pre": ["met > 30", {"expr": "n > 1", "label": "two"}],
                 "or": {"steps": ["tag"], "parents": ["pre[0]"]}, "Any": ["met > 60", "tag"]}  # fmt: skip
    effects = analyse(cutflow, selection=selection, weight_expr="w", output_field="kept")
    assert effects.writes == {"{stage}.pre": (), "{stage}.or": (), "{stage}.Any": (), "kept": ()}
    stream, table = run(cutflow, selection=selection, weight_expr="w", output_field="kept", filter="any")
    first, second = MET > 30, (MET > 30) & (N > 1)
    everything = np.ones(60, dtype=bool)
    union = (MET > 60) | TAG
    expected = [
        ("pre", 0, "met > 30", everything, first), ("pre", 1, "two", first, second), ("or", 0, "tag", first, first & TAG),
        ("Any", 0, "met > 60", everything, MET > 60), ("Any", 1, "tag", everything, TAG), ("Any", 2, "any", everything, union),
    ]  # fmt: skip
    w = EVENTS["w"]
    assert list(table.rows) == ["dy"]
    assert table.weighted
    for row, (name, index, label, before, after) in zip(table.rows["dy"], expected, strict=True):
        assert (row.selection, row.index, row.label) == (name, index, label)
        assert (row.n_in, row.n_out) == (before.sum(), after.sum())
        got = [row.sumw_in, row.sumw_out, row.sumw2_in, row.sumw2_out]
        assert got == pytest.approx([w[before].sum(), w[after].sum(), (w[before] ** 2).sum(), (w[after] ** 2).sum()])
    passed = second | (first & TAG) | union
    assert len(stream) == passed.sum()
    assert stream["kept"].all()
    np.testing.assert_array_equal(stream["Sel.pre"], second[passed])


def test_cutflow_can_keep_all_events_and_leave_flags_out():
    stream, table = run(cutflow, selection={"All": ["tag"]}, filter=False, emit_flags=False, weights="dataset.xsec")
    assert len(stream) == 60
    assert stream.fields == EVENTS.fields
    assert table.rows["dy"][0].sumw_out == 2 * TAG.sum()
    _, plain = run(cutflow, selection=["tag"])
    assert not plain.weighted
    assert plain.rows["dy"][0].sumw_out == TAG.sum()


@pytest.mark.parametrize(
    ("written", "mode"),
    [(True, "all"), (None, "all"), ("All", "all"), (False, "none"), ("false", "none"), ("any", "any")],
)
def test_filter_takes_what_yaml_makes_of_it(written, mode):
    assert cutflow.op.params(selection=["tag"], filter=written).filter == mode


def test_cutflow_refuses():
    with pytest.raises(ValidationError, match="'any'"):
        cutflow.op.params(selection=["tag"], filter="some")
    assert problems(cutflow, selection=["tag"], weights="w", weight_expr="w")[0][0] == ("weights",)
    assert problems(cutflow, selection=["tag"], weights="Muon_pt")[0][:2][0] == ("weights",)
    with pytest.raises(OpError, match="has missing values"):
        run(cutflow, selection=["tag"], weights="nth(Muon_pt, 0)")


# --- hist -------------------------------------------------------------------------------------------------


def test_weighted_histogram_equals_boost_histogram():
    result = run(histogram, axes=[REGULAR], weight_expr="w * dataset.xsec", dataset_axis={"name": "dataset"})
    bare = bh.Histogram(bh.axis.Regular(5, 0, 100), storage=bh.storage.Weight())
    bare.fill(MET, weight=EVENTS["w"] * 2.0)
    assert [axis.name for axis in result.hist.axes] == ["met", "dataset"]
    assert list(result.hist.axes["dataset"]) == ["dy", "data"]
    np.testing.assert_array_equal(result.hist.view(flow=True)["value"][:, 0], bare.view(flow=True)["value"])
    np.testing.assert_array_equal(result.hist.view(flow=True)["variance"][:, 0], bare.view(flow=True)["variance"])
    assert not result.hist.view(flow=True)["value"][:, 1:].any()


def test_jagged_fields_fill_once_per_object_and_event_fields_are_repeated():
    axes = [REGULAR | {"name": "pt", "source": "Muon_pt"}, REGULAR, {"name": "n", "source": "n > 1", "type": "bool"}]
    assert problems(histogram, axes=axes, weights="w") == []
    result = run(histogram, axes=axes, weights="w")
    counts = ak.num(EVENTS["Muon_pt"]).to_numpy()
    entries = np.repeat(np.arange(60), counts)
    bare = bh.Histogram(bh.axis.Regular(5, 0, 100), bh.axis.Regular(5, 0, 100), bh.axis.IntCategory([0, 1]),
                        storage=bh.storage.Weight())  # fmt: skip
    bare.fill(ak.flatten(EVENTS["Muon_pt"]).to_numpy().astype(float), MET[entries], (N > 1)[entries].astype(int),
              weight=EVENTS["w"][entries])  # fmt: skip
    np.testing.assert_array_equal(result.hist.view(flow=True)["value"], bare.view(flow=True)["value"])
    assert result.none == result.nan == 0


def test_missing_is_not_filled_and_nan_is_overflow():
    data = Events({"x": np.array([1.0, np.nan, 50.0, 2.0]), "y": ak.Array([[1.0], [], [2.0], [np.nan]])}, 4)
    axis = {"type": "regular", "bins": {"nbins": 2, "low": 0, "high": 10}}
    one = run(histogram, data, axes=[axis | {"name": "x"}])
    assert (one.hist.view(flow=True).tolist(), one.none, one.nan) == ([0, 2, 0, 2], 0, 1)
    first = run(histogram, data, axes=[axis | {"name": "y0", "source": "nth(y, 0)"}])
    assert (first.hist.view(flow=True).tolist(), first.none, first.nan) == ([0, 2, 0, 1], 1, 1)
    integer = run(histogram, data, axes=[{"name": "x", "type": "int", "bins": [1, 2]}])
    assert (integer.hist.view(flow=True).tolist(), integer.nan) == ([1, 1, 1], 1)
    padded = run(histogram, data, axes=[axis | {"name": "p", "source": "pad_none(y, 2)"}])
    assert (padded.none, padded.nan, padded.hist.sum(flow=True)) == (5, 1, 3)
    weights = run(histogram, data, axes=[axis | {"name": "x"}], weights="nth(y, 0)")
    assert weights.none == 1


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        ({"name": "n", "bins": [0, 1, 2, 4]}, None),
        ({"name": "n", "type": "int", "bins": {"low": 0, "high": 3}}, None),
        ({"name": "n", "type": "category", "bins": [0, 1, 5]}, None),
        ({"name": "s", "source": "where(tag, 1, 0)", "type": "category", "bins": ["1"]}, None),
        ({"name": "tag", "type": "bool", "label": "tagged", "unit": "GeV"}, None),
    ],
)
def test_kinds_of_axes_count_what_a_loop_counts(axis, expected):
    result = run(histogram, axes=[axis])
    inside = {
        "n": lambda: {"variable": (N < 4).sum(), "int": (N < 3).sum(), "category": np.isin(N, [0, 1, 5]).sum()}[
            axis.get("type", "variable")
        ],
        "s": TAG.sum,
        "tag": lambda: 60,
    }[axis["name"]]()
    assert result.hist.sum() == inside
    if "unit" in axis:
        assert result.hist.axes[0].label == "tagged [GeV]"


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint32", "int64", "uint64", "bool", "float32"])
def test_categories_take_all_types_of_numbers(dtype):
    data = Events({"x": np.array([0, 1, 1], dtype=dtype)}, 3)
    assert run(histogram, data, axes=[{"name": "x", "type": "int", "bins": [0, 1]}]).hist.values().tolist() == [1, 2]


HUGE = [-np.inf, -(2.0**63), -3e9, -(2**31), 2**31 - 1, 3e9, 2**40, np.inf]
FAR = [*HUGE, -40_000, -200, -6, -5, -1, 0, 2, 3, 5, 7, 8, 200]
TYPES = ["bool", *(f"{kind}{size}" for kind in ("int", "uint") for size in (8, 16, 32, 64)), "float32", "float64"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("low", "high"), [(0, 5), (-5, 5), (3, 8), (-9, -5), (-(2**31) + 1, -(2**31) + 4), (2**31 - 4, 2**31 - 1)]
)
@pytest.mark.parametrize("dtype", TYPES)
def test_numbers_beyond_all_integers_are_overflow_and_underflow(dtype, low, high):
    kind = np.dtype(dtype).kind
    limits = {"f": (-np.inf, np.inf), "b": (0, 1)}.get(kind) or (np.iinfo(dtype).min, np.iinfo(dtype).max)
    numbers = [number for number in FAR if limits[0] <= number <= limits[1]]
    expected = [0] * (high - low + 2)
    for number in np.array(numbers, dtype=dtype).tolist():
        expected[0 if number < low else high - low + 1 if number >= high else int(number) - low + 1] += 1
    data = Events({"x": np.array(numbers, dtype=dtype)}, len(numbers))
    axes = [{"name": "x", "type": "int", "bins": {"low": low, "high": high}}]
    assert run(histogram, data, axes=axes).hist.view(flow=True).tolist() == expected


def test_growing_categories_do_not_depend_on_the_order_of_merging():
    axes = [{"name": "n", "type": "int"}, {"name": "c", "source": "where(tag, 'b', 'a')", "type": "category"}]
    parts = [run(histogram, EVENTS.filter(slice(i, i + 6)), axes=axes, weights="w") for i in range(0, 60, 6)]
    forth, back = parts[0], parts[-1]
    for part in parts[1:]:
        forth = histogram.op.merge(forth, part)
    for part in parts[-2::-1]:
        back = histogram.op.merge(back, part)
    assert [list(axis) for axis in forth.hist.axes] == [list(axis) for axis in back.hist.axes]
    assert list(forth.hist.axes["c"]) == ["a", "b"]
    np.testing.assert_allclose(forth.hist.values(), back.hist.values(), rtol=1e-12)
    assert forth.hist[{"n": 1j, "c": "b"}].value == pytest.approx(EVENTS["w"][(N == 1) & TAG].sum())


def test_large_integers_do_not_wrap_into_a_bin():
    data = Events({"run": np.array([2**32 + 1, 1], dtype=np.int64)}, 2)
    assert run(histogram, data, axes=[{"name": "run", "type": "int", "bins": [1]}]).hist.view(flow=True).tolist() == [
        1,
        1,
    ]


def test_variations_fill_one_category_each():
    params = {"axes": [REGULAR], "dataset_axis": True, "weights": "w",
              "variations": {"axis": "syst", "weights": {"nominal": "w", "up": "w * 2"}, "apply_to": {"eventtype": "mc"}}}  # fmt: skip
    result = run(histogram, **params)
    assert [axis.name for axis in result.hist.axes] == ["met", "dataset", "syst"]
    value = result.hist.view(flow=False)["value"]
    np.testing.assert_allclose(value[:, 0, 1], 2 * value[:, 0, 0])
    data = run(histogram, context=replace(CONTEXT, dataset=DATASETS[1]), **params).hist.view()["value"]
    assert data[:, 1, 0].sum() > 0
    assert not data[:, :, 1].any()


@pytest.mark.parametrize(
    ("params", "path", "message"),
    [
        ({"axes": [REGULAR | {"source": "Muon_pt"}, REGULAR | {"name": "j", "source": "Jet_pt"}]}, ("axes", 1, "source"),
         "different structure"),
        ({"axes": [REGULAR | {"source": "Muon_pt"}], "weights": "Jet_pt"}, ("weights",), "different structure"),
        ({"axes": [REGULAR | {"name": "mett"}]}, ("axes", 0, "name"), "unknown field `mett`"),
        ({"axes": [REGULAR], "weights": "w", "storage": "count"}, ("storage",), "ignores weights"),
        ({"axes": []}, ("axes",), "1 to 3"),
        ({"axes": [REGULAR, REGULAR]}, ("axes", 1, "name"), "two axes"),
        ({"axes": [REGULAR | {"name": "dataset", "source": "met"}], "dataset_axis": True}, ("dataset_axis", "name"), "two axes have the name"),
    ],
)  # fmt: skip
def test_histogram_mistakes_are_found_before_the_start(params, path, message):
    found = problems(histogram, **params)
    assert found
    assert found[0][0] == path
    assert message in found[0][1]


@pytest.mark.parametrize(
    ("bins", "message"),
    [
        ({"nbins": 5, "low": 0}, "needs bins"),
        ({"nbins": 5, "low": 9, "high": 0}, "low < high"),
        ({"nbins": 0, "low": 0, "high": 1}, "greater than or equal to 1"),
        ([3, 2, 1], "increasing"),
    ],
)
def test_bins_must_make_sense(bins, message):
    with pytest.raises(ValidationError, match=message):
        histogram.op.params(axes=[{"name": "met", "bins": bins}])


def test_jagged_fields_of_different_structure_fail_at_run_time_naming_both():
    with pytest.raises(OpError, match=r"`Muon_pt` and `Jet_pt`"):
        run(histogram, axes=[REGULAR | {"source": "Muon_pt"}, REGULAR | {"name": "j", "source": "Jet_pt"}])


def test_filling_leaves_the_booked_histogram_empty():
    first = run(histogram, axes=[REGULAR], title="t")
    second = run(histogram, axes=[REGULAR], title="t")
    np.testing.assert_array_equal(first.hist.view(flow=True), second.hist.view(flow=True))
    assert first.title == "t"
    assert first.hist.sum(flow=True) == 60


@pytest.mark.parametrize(
    "index", [slice(3, 20), np.arange(60) % 3 == 0, np.array([5, 2, 2, -1]), np.array([], dtype=np.int64)]
)
def test_filtered_columns_are_packed_and_equal_plain_indexing(index):
    filtered = EVENTS.filter(index).filter(slice(0, 3))
    for name in EVENTS:
        expected = EVENTS[name][index][:3]
        assert ak.to_list(filtered[name]) == ak.to_list(expected)
    assert filtered["Muon_pt"].layout.offsets[0] == 0
    branches = [filtered.with_columns({"one": np.ones(len(filtered))}), EVENTS.filter(index).with_columns({})]
    assert ak.to_list(branches[0].filter(slice(0, 2))["Muon_eta"]) == ak.to_list(filtered["Muon_eta"][:2])
    assert ak.to_list(branches[1].filter(slice(0, 2))["Muon_eta"]) == ak.to_list(filtered["Muon_eta"][:2])


def test_a_filtered_column_is_taken_once_for_all_branches():
    muons = EVENTS["Muon_pt"]
    events = EVENTS.with_columns({"Muon_eta": ak.Array(muons.layout.copy(content=EVENTS["Muon_eta"].layout.content))})
    filtered = events.filter(MET > 30)
    one, two = filtered.with_columns({"a": np.ones(len(filtered))}), filtered.select(["Muon_pt", "met"])
    assert one["Muon_pt"] is two["Muon_pt"]
    assert one["met"] is two["met"]
    assert one["Muon_pt"].layout.offsets.data is one["Muon_eta"].layout.offsets.data
