"""``hep.hist``: what axes take and refuse, weights that are no numbers, categories in thousands."""

import time

import awkward as ak
import numpy as np
import pytest
from pydantic import ValidationError

import fake_cupy
from fasthep_parsl.errors import OpError
from fasthep_parsl.ops.axes import Axis
from fasthep_parsl.ops.histogram import Variations, histogram
from fasthep_parsl.ops.products import merge_histograms
from fasthep_parsl.ops.stream import Events

INF = float("inf")


def filled(axis, values, weight=None, **columns):
    events = Events({"x": values, **columns}, len(values))
    axes = (Axis(name="x", **axis),)
    return histogram(events, axes=axes, weight_expr=weight)


@pytest.mark.parametrize(
    ("axis", "said"),
    [
        ({"bins": [0, 100, "inf"]}, "the edge 'inf', which is not a number: write numbers without quotes"),
        ({"bins": [0, "20", 100]}, "the edge '20'"),
        ({"bins": ["1:30", 100]}, "the edge '1:30'"),
        ({"bins": ["-inf", "0", "inf"]}, "has numbers in quotes"),
        ({"bins": ["0.5", "1.5"]}, "infinity as .inf"),
        ({"bins": [False, True]}, "use `type: bool`"),
        ({"bins": [0, float("nan"), 1]}, "needs increasing edges"),
        ({"bins": [2**53, 2**53 + 1]}, "needs increasing edges"),
        ({"bins": {"nbins": 5, "low": 0, "high": INF}}, "needs finite low and high"),
        ({"bins": {"nbins": 5, "low": -INF, "high": INF}}, "needs finite low and high"),
        ({"type": "int", "bins": {"low": 0.5, "high": 3}}, "takes integers only"),
        ({"type": "int", "bins": {"low": 0, "high": 2**40}}, "use `type: category`"),
        ({"type": "int", "bins": [1, 2**31]}, "use `type: category`"),
        ({"type": "int", "bins": [1, 1]}, "names a category twice"),
        ({"type": "category", "bins": [1, "1"]}, "names a category twice"),
        ({"type": "category", "bins": [[1], [2]]}, "a category is a text or a number"),
        ({"type": "category", "bins": {"low": 0, "high": 3}}, "takes bins: [category, …]"),
    ],
)
def test_axes_that_are_refused(axis, said):
    with pytest.raises(ValidationError) as error:
        Axis(name="x", **axis)
    assert said in str(error.value)


def test_outer_edges_at_infinity():
    result = filled({"bins": [-INF, 0, 100, INF]}, np.arange(-50.0, 200.0, 10.0))
    assert result.hist.values().tolist() == [5, 10, 10]


def test_texts_of_digits_are_categories():
    result = filled({"bins": ["16", "17"]}, ak.Array(["16", "17", "16", "18"]))
    assert result.hist.values(flow=True).tolist() == [2, 1, 1]


def test_single_precision_at_an_edge():
    """0.1 in single precision is above the edge 0.1, 0.7 is below 0.7."""
    result = filled({"bins": [0.0, 0.1, 0.7, 1.0]}, np.array([0.1, 0.7], dtype=np.float32))
    assert result.hist.values().tolist() == [0, 2, 0]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
def test_limits_of_all_integers(dtype):
    limits = np.iinfo(dtype)
    values = np.array([limits.min, limits.max, 3, 3], dtype=dtype)
    fixed = filled({"type": "int", "bins": {"low": 1, "high": 5}}, values).hist
    assert fixed.values().tolist() == [0, 0, 2, 0]
    assert fixed.values(flow=True).tolist() == [1, 0, 0, 2, 0, 1]
    assert filled({"type": "int", "bins": [3, 4]}, values).hist.values(flow=True).tolist() == [2, 0, 2]
    grown = filled({"type": "category"}, values).hist
    assert dict(zip(grown.axes[0], grown.values(), strict=True)) == {
        str(limits.min): 1, str(limits.max): 1, "3": 2,
    }  # fmt: skip
    if limits.min >= -(2**31) and limits.max < 2**31:
        assert list(filled({"type": "int"}, values).hist.axes[0]) == sorted({int(v) for v in values})
    else:
        with pytest.raises(OpError, match="takes integers up to"):
            filled({"type": "int"}, values)


def test_infinity_is_no_category_of_a_growing_int_axis():
    with pytest.raises(OpError, match="use `type: category`"):
        filled({"type": "int"}, np.array([1.0, INF]))


def test_text_on_an_axis_of_numbers():
    for axis in ({"bins": {"nbins": 2, "low": 0, "high": 20}}, {"bins": [0, 20]}, {"type": "int"}, {"type": "bool"}):
        with pytest.raises(OpError, match="`x` is text, but an axis of type"):
            filled(axis, ak.Array(["16", "17"]))


def test_missing_and_bools_on_a_category_axis():
    result = filled({"type": "category"}, ak.Array([True, None, False, True]))
    assert dict(zip(result.hist.axes[0], result.hist.values(), strict=True)) == {"False": 1, "True": 2}
    assert result.none == 1
    assert filled({"type": "bool"}, ak.Array([True, None, False, True])).hist.values().tolist() == [1, 2]


REGULAR = {"bins": {"nbins": 2, "low": 0, "high": 4}}


@pytest.mark.parametrize("bad", [np.nan, INF, -INF])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weight_that_is_no_number(bad, dtype):
    w = np.array([1, bad, 3, 4], dtype=dtype)
    result = filled(REGULAR, np.arange(4.0), "w", w=w)
    assert result.hist.values().tolist() == [1, 7]
    assert result.hist.variances().tolist() == [1, 25]
    assert (result.none, result.nan) == (0, 1)


def test_weight_that_is_no_number_on_the_stand_in():
    with fake_cupy.installed():
        events = Events({"x": np.arange(4.0), "w": np.array([1, np.nan, 3, INF])}, 4).on_gpu(["x", "w"])
        result = histogram(events, axes=(Axis(name="x", **REGULAR),), weight_expr="w")
    assert result.hist.values().tolist() == [1, 3]
    assert result.nan == 2


def test_written_weight_that_is_no_number():
    result = filled(REGULAR, np.arange(4.0), "nan")
    assert result.hist.values(flow=True).tolist() == [0, 0, 0, 0]
    assert result.nan == 4


def test_large_weights_are_numbers():
    result = filled(REGULAR, np.array([0.0, 0.5, 2.0]), "w", w=np.array([1e308, 1e308, 1.0]))
    assert result.hist.values().tolist() == [INF, 1]
    assert result.nan == 0


def test_entries_lost_by_variations_are_counted_for_each():
    events = Events({
        "x": ak.Array([0.0, None, 1.0, np.nan]),
        "up": np.array([np.nan, 1.0, 1.0, np.nan]),
        "down": ak.Array([1.0, 1.0, None, 1.0]),
    }, 4)  # fmt: skip
    weights = {"nominal": "1", "up": "up", "down": "down"}
    result = histogram(events, axes=(Axis(name="x", **REGULAR),), variations=Variations(weights=weights))
    assert result.none == 1 + 1  # on the axis, once; the weight of `down`
    assert result.nan == 1 + 1  # on the axis, once; the weight of `up` where x is neither missing nor NaN
    assert result.hist.values().tolist() == [[2, 1, 1], [0, 0, 0]]


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int64", "uint64"])
def test_weights_of_integers(dtype):
    result = filled(REGULAR, np.arange(4.0), "w", w=np.array([1, 0, 1, 1], dtype=dtype))
    assert result.hist.values().tolist() == [1, 2]


def test_text_as_a_weight():
    with pytest.raises(OpError, match="the weight `w` is not a number"):
        filled(REGULAR, np.arange(2.0), "w", w=ak.Array(["1", "2"]))


def test_weight_per_object_for_a_value_per_event():
    jagged = ak.Array([[1.0, 2.0], [], [3.0]])
    with pytest.raises(OpError, match="the weight `w` has one value per object, but `x` has one per event"):
        filled(REGULAR, np.arange(3.0), "w", w=jagged)
    schema = {"x": (), "Jet_w": ("nJet",), "Jet_pt": ("nJet",), "Muon_w": ("nMuon",)}
    params = histogram.op.params

    def problems(source, **weights):
        axes = [{"name": "a", "source": source, **REGULAR}]
        return [p.message for p in histogram.op.analyse(params(axes=axes, **weights), schema).problems]

    assert "`Jet_w` has one value per object, but `x` has one per event" in problems("x", weight_expr="Jet_w")[0]
    varied = {"variations": {"weights": {"nominal": "1", "up": "Jet_w"}}}
    assert "`Jet_w` has one value per object" in problems("x", **varied)[0]
    assert "`Jet_pt` and `Muon_w` have different structure" in problems("Jet_pt", weight_expr="Muon_w")[0]
    assert problems("Jet_pt", weight_expr="Jet_w") == problems("Jet_pt", weight_expr="x") == []


@pytest.mark.parametrize("kind", ["category", "int"])
def test_thousands_of_categories_take_no_square_of_their_number(kind):
    """Sums of histograms of which each has half of the categories."""
    random = np.random.default_rng(1)
    number = 20_000
    parts = [random.permutation(number)[: number // 2] for _ in range(3)]
    begun = time.process_time()
    first, *others = (filled({"type": kind}, part.astype(np.int32)) for part in parts)
    for other in others:
        first = merge_histograms(first, other)
    assert time.process_time() - begun < 4  # 40 s before, most of it in lists made anew for each category
    names, counts = np.unique(np.concatenate(parts), return_counts=True)
    expected = dict(zip(map(str, names.tolist()), counts.tolist(), strict=True))
    assert {str(name): count for name, count in zip(first.hist.axes[0], first.hist.values(), strict=True)} == expected
    assert list(first.hist.axes[0]) == sorted(first.hist.axes[0])


def test_growing_axes_of_two_histograms():
    def part(text, numbers):
        events = Events({"t": ak.Array([*text, ""])[:-1], "n": np.array(numbers)}, len(numbers))
        axes = (Axis(name="t", type="category"), Axis(name="n", type="int"))
        return histogram(events, axes=axes, weight_expr="n + 1.0")

    result = merge_histograms(part(["b", "a"], [3, 1]), part(["c", "a", "a"], [1, 1, 2]))
    assert list(result.hist.axes[0]) == ["a", "b", "c"]
    assert list(result.hist.axes[1]) == [1, 2, 3]
    assert result.hist.values().tolist() == [[4, 3, 0], [0, 0, 4], [2, 0, 0]]
    assert result.hist.variances().tolist() == [[8, 9, 0], [0, 0, 16], [4, 0, 0]]
    assert merge_histograms(part([], []), part([], [])).hist.sum().value == 0
