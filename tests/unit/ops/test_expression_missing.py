"""What is missing stays missing and is counted; lists of lists; a result does not depend on other events of a pass."""

import math

import awkward as ak
import numpy as np
import pytest

from fasthep_parsl.errors import OpError
from fasthep_parsl.ops.columns.gather import concatenate, take, type_of
from fasthep_parsl.ops.columns.layouts import from_column, to_awkward
from fasthep_parsl.ops.expressions import ExpressionError, analyse_expression, expression
from fasthep_parsl.ops.histogram import histogram
from fasthep_parsl.ops.lists import lists
from fasthep_parsl.ops.stream import Events

NAN = math.nan

EVENTS = {
    "M": ak.Array([[30.0, 10.0], [5.0], [40.0], []]),
    "J": ak.Array([[1.0, 50.0], [3.0, 7.0], [2.0, 60.0], [9.0, 9.0, 9.0]]),
    "nM": np.array([2, 1, 1, 0], np.uint8),
    "holes": ak.Array([[1, None, 3], [None], [], [4]]),
    "gone": ak.Array([[1.0, 2.0], None, [], [3.0]]),
    "maybe": ak.Array([1.5, None, 2.5, None]),
    "nans": ak.Array([[NAN, 2.0, 5.0], [NAN, NAN], [3.0, NAN], []]),
    "both": ak.Array([[None, NAN], [NAN, None, -math.inf], [None], []]),
    "ll": ak.Array([[[1.0, 2.0], [3.0]], [], [[4.0]], [[], [5.0]]]),
    "inner": ak.Array([[[1, None], None, []], [], None, [[7]]]),
    "outer": ak.Array([[10.0, 20.0], [], [30.0], [40.0, 50.0]]),
    "text": ak.Array([["a", "bc"], [], ["a"], ["a", None]]),
    "w": np.array([1.0, 2.0, 3.0, 4.0]),
    "matrix": np.arange(16.0).reshape(4, 2, 2),
}

CASES = [
    ("where(leading(M) > 20, J, -1)", [[1, 50], [-1, -1], [2, 60], [None] * 3]),
    ("where(J > leading(M), J, -1)", [[-1, 50], [-1, 7], [-1, 60], [None] * 3]),
    ("J - leading(M)", [[-29, 20], [-2, 2], [-38, 20], [None] * 3]),
    ("fill_none(J - leading(M), -1)", [[-29, 20], [-2, 2], [-38, 20], [-1] * 3]),
    ("where(nM > 0, leading(M), -1)", [30, 5, 40, -1]),
    ("where(nM > 0, -1, leading(M))", [-1, -1, -1, None]),
    ("where(maybe > 2, J, leading(M))", [[30, 30], [None] * 2, [2, 60], [None] * 3]),
    ("J[J > leading(M)]", [[50], [7], [60], []]),
    ("fill_none(maybe, w)", [1.5, 2, 2.5, 4]),
    ("fill_none(holes, nM)", [[1, 2, 3], [1], [], [4]]),
    ("fill_none(holes, holes)", [[1, None, 3], [None], [], [4]]),
    ("is_none(holes)", [[False, True, False], [True], [], [False]]),
    ("is_none(maybe)", [False, True, False, True]),
    ("(maybe > 2) or True", [True, None, True, None]),
    ("maybe == maybe", [True, None, True, None]),
    ("sum(holes)", [4, 0, 0, 4]),
    ("count(holes)", [2, 0, 0, 1]),
    ("num(holes)", [3, 1, 0, 1]),
    ("mean(holes)", [2, None, NAN, 4]),
    ("std(holes)", [1, None, NAN, 0]),
    ("std(J - leading(M))", [24.5, 2, 29, None]),
    ("max(holes)", [3, None, None, 4]),
    ("argmax(holes)", [2, None, None, 0]),
    ("argmin(-holes)", [2, None, None, 0]),
    ("holes[argmax(holes)]", [3, None, None, 4]),
    ("any(holes > 2)", [True, False, False, True]),
    ("all(holes > 2)", [False, True, True, True]),
    ("count_nonzero(holes)", [2, 0, 0, 1]),
    ("sort(holes, False)", [[3, 1, None], [None], [], [4]]),
    ("argsort(holes, False)", [[2, 0, 1], [0], [], [0]]),
    ("take(holes, 2)", [[1, None], [None], [], [4]]),
    ("take(holes, -1)", [[1, None], [], [], []]),
    ("nth(holes, 1, -1)", [-1, -1, -1, -1]),
    ("nth(holes, 2)", [3, None, None, None]),
    ("pad_none(holes, 2)", [[1, None, 3], [None, None], [None, None], [4, None]]),
    ("pad_none(M, 1, True)", [[30], [5], [40], [None]]),
    ("M[pad_none(argsort(M), 2)]", [[10, 30], [5, None], [40, None], [None, None]]),
    ("local_index(holes)", [[0, 1, 2], [0], [], [0]]),
    ("gone + 1", [[2, 3], None, [], [4]]),
    ("sum(gone)", [3, None, 0, 3]),
    ("num(gone)", [2, None, 0, 1]),
    ("mean(gone)", [1.5, None, NAN, 3]),
    ("any(gone > 0)", [True, None, False, True]),
    ("max(gone)", [2, None, None, 3]),
    ("leading(gone, -1)", [1, -1, -1, 3]),
    ("gone[gone > 1]", [[2], None, [], [3]]),
    ("sort(gone, False)", [[2, 1], None, [], [3]]),
    ("is_none(gone)", [[False, False], None, [], [False]]),
    ("fill_none(gone, 0)", [[1, 2], None, [], [3]]),
    ("pad_none(gone, 1)", [[1, 2], None, [None], [3]]),
    ("where(nM > 0, gone, 0)", [[1, 2], None, [], [0]]),
    ("max(nans)", [5, NAN, 3, None]),
    ("min(nans)", [2, NAN, 3, None]),
    ("argmax(nans)", [2, 0, 0, None]),
    ("argmin(nans)", [1, 0, 0, None]),
    ("nans[argmax(nans)]", [5, NAN, 3, None]),
    ("sum(nans)", [NAN, NAN, NAN, 0]),
    ("sort(nans)", [[NAN, 2, 5], [NAN, NAN], [NAN, 3], []]),
    ("sort(nans, False)", [[NAN, 5, 2], [NAN, NAN], [NAN, 3], []]),
    ("max(both)", [NAN, -math.inf, None, None]),
    ("argmax(both)", [1, 2, None, None]),
    ("sort(both)", [[NAN, None], [NAN, -math.inf, None], [None], []]),
    ("sum(sum(ll))", [6, 0, 4, 5]),
    ("sum(ll)", [[3, 3], [], [4], [0, 5]]),
    ("max(max(ll))", [3, None, 4, 5]),
    ("max(ll)", [[2, 3], [], [4], [None, 5]]),
    ("num(ll)", [2, 0, 1, 2]),
    ("count(ll)", [[2, 1], [], [1], [0, 1]]),
    ("nth(ll, 0)", [[1, 2], None, [4], []]),
    ("nth(nth(ll, 0), 0)", [1, None, 4, None]),
    ("nth(nth(ll, 0), 0, 0.0)", [1, 0, 4, 0]),
    ("sum(leading(ll))", [3, None, 4, 0]),
    ("ll * w", [[[1, 2], [3]], [], [[12]], [[], [20]]]),
    ("ll + outer", [[[11, 12], [23]], [], [[34]], [[], [55]]]),
    ("outer - ll", [[[9, 8], [17]], [], [[26]], [[], [45]]]),
    ("ll[outer > 15]", [[[3]], [], [[4]], [[], [5]]]),
    ("ll[ll > 1]", [[[2], [3]], [], [[4]], [[], [5]]]),
    ("take(ll, 1)", [[[1, 2]], [], [[4]], [[]]]),
    ("pad_none(ll, 1)", [[[1, 2], [3]], [None], [[4]], [[], [5]]]),
    ("sort(ll, False)", [[[2, 1], [3]], [], [[4]], [[], [5]]]),
    ("ll[argsort(ll, False)]", [[[2, 1], [3]], [], [[4]], [[], [5]]]),
    ("local_index(ll)", [[0, 1], [], [0], [0, 1]]),
    ("where(ll > 2, ll, outer)", [[[10, 10], [3]], [], [[4]], [[], [5]]]),
    ("inner + 1", [[[2, None], None, []], [], None, [[8]]]),
    ("sum(inner)", [[1, None, 0], [], None, [7]]),
    ("sum(sum(inner))", [1, 0, None, 7]),
    ("fill_none(inner, 0)", [[[1, 0], None, []], [], None, [[7]]]),
    ("text == 'a'", [[True, False], [], [True], [True, None]]),
    ("any(text == 'a')", [True, False, True, True]),
    ("num(text)", [2, 0, 1, 2]),
    ("count(text)", [2, 0, 1, 1]),
    ("nth(text, 1)", ["bc", None, None, None]),
    ("text[text != 'a']", [["bc"], [], [], []]),
    ("fill_none(nth(text, 1), 'none')", ["bc", "none", "none", "none"]),
    ("where(w > 2, 'high', 'low') == 'low'", [True, True, False, False]),
    ("sum(sum(matrix * w))", [6.0, 44.0, 114.0, 216.0]),
    ("matrix[matrix > 13]", [[[], []], [[], []], [[], []], [[], [14.0, 15.0]]]),
    ("maximum(holes, 2)", [[2, None, 3], [None], [], [4]]),
    ("holes // (holes - 3)", [[-1, None, None], [None], [], [4]]),
]


def same(got, expected):
    """Whether nested lists are equal; NaN is NaN."""
    if isinstance(expected, list | tuple):
        return isinstance(got, list) and len(got) == len(expected) and all(map(same, got, expected))
    if isinstance(expected, float) and math.isnan(expected):
        return isinstance(got, float) and math.isnan(got)
    return got is expected if expected is None or isinstance(expected, bool) else got == expected


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_values_in_one_pass_in_parts_and_after_a_filter(text, expected):
    whole = expression(text)(Events(EVENTS, 4))
    assert same(ak.to_list(whole), expected)
    kinds = set()
    for event in range(4):
        part = expression(text)(Events({name: column[event : event + 1] for name, column in EVENTS.items()}, 1))
        assert same(ak.to_list(part), expected[event : event + 1])
        kinds.add(str(ak.type(ak.Array(part)).content))
    turned = expression(text)(Events(EVENTS, 4).filter(np.array([3, 1, 0])))
    assert same(ak.to_list(turned), [expected[event] for event in (3, 1, 0)])
    if "text" not in text:
        assert kinds == {str(ak.type(ak.Array(whole)).content)}


@pytest.mark.parametrize("name", EVENTS)
def test_columns_survive_becoming_values_rows_and_columns(name):
    column = ak.Array(EVENTS[name])
    for each in (column, column[1:], column[::-1], ak.to_packed(column)):
        value = from_column(each)
        assert same(ak.to_list(to_awkward(value)), ak.to_list(each))
        some = np.arange(len(each))[::2]
        assert same(ak.to_list(to_awkward(take(value, some))), ak.to_list(each[some]))
        halves = concatenate([from_column(each[:2]), from_column(each[2:])])
        assert type_of(halves) == type_of(value)
        assert same(ak.to_list(to_awkward(halves)), ak.to_list(each))


def test_layouts_of_all_kinds_become_the_same_values():
    lists = ak.Array([[1, 2], [3], [], [4]])
    content, offsets = lists.layout.content, lists.layout.offsets
    mask = np.array([True, False, True, True])
    expected = [[1, 2], None, [], [4]]
    options = [
        ak.contents.ByteMaskedArray(ak.index.Index8(mask.view(np.int8)), lists.layout, True),
        ak.contents.ByteMaskedArray(ak.index.Index8((~mask).view(np.int8)), lists.layout, False),
        ak.contents.ByteMaskedArray(ak.index.Index8(mask.view(np.int8)), lists.layout, True).to_BitMaskedArray(
            True, True
        ),
        ak.contents.IndexedOptionArray(ak.index.Index64(np.array([0, -1, 2, 3])), lists.layout),
        ak.contents.IndexedOptionArray(ak.index.Index32(np.array([0, -1, 2, 3], np.int32)), lists.layout),
    ]
    for layout in options:
        assert ak.to_list(to_awkward(from_column(ak.Array(layout)))) == expected
        assert ak.to_list(expression("x * 1")({"x": ak.Array(layout)})) == expected
    starts, stops = ak.index.Index64(offsets.data[:-1][::-1].copy()), ak.index.Index64(offsets.data[1:][::-1].copy())
    assert ak.to_list(expression("x * 1")({"x": ak.Array(ak.contents.ListArray(starts, stops, content))})) == [
        [4],
        [],
        [3],
        [1, 2],
    ]
    regular = ak.to_regular(ak.Array([[1, 2], [3, 4]]), axis=1)
    assert ak.to_list(expression("x + y")({"x": regular, "y": np.array([10, 20])})) == [[11, 12], [23, 24]]


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("sum(ll)", ("nO",)),
        ("sum(sum(ll))", ()),
        ("num(ll)", ()),
        ("nth(ll, 0)", ("*",)),
        ("nth(nth(ll, 0), 0)", ()),
        ("ll * met", ("nO", "*")),
        ("ll + O_x", ("nO", "*")),
        ("O_x + ll", ("nO", "*")),
        ("ll[O_x > 1]", ("nO[O_x > 1]", "*")),
        ("ll[ll > 1]", ("nO", "*")),
        ("take(ll, 2)", ("nO[take(2)]", "*")),
        ("pad_none(ll, 2)", ("nO[pad_none(2)]", "*")),
        ("local_index(ll)", ("nO",)),
        ("argsort(ll)", ("nO", "*")),
        ("any(any(ll > 1))", ()),
        ("ll + mm", ("nO", "*")),
        ("fill_none(ll, O_x)", ("nO", "*")),
        ("argmax(ll)", ("nO",)),
    ],
)
def test_structure_of_lists_of_lists(text, shape):
    schema = {"ll": ("nO", "*"), "mm": ("*", "*"), "O_x": ("nO",), "P_x": ("nP",), "met": ()}
    _, found, problems = analyse_expression(text, (), schema)
    assert (found, problems) == (shape, [])
    for wrong in (
        "sum(sum(sum(ll)))",
        "ll + P_x",
        "ll[P_x > 1]",
        "O_x[ll > 1]",
        "fill_none(O_x, ll)",
        "fill_none(met, O_x)",
    ):
        assert analyse_expression(wrong, (), schema)[2], wrong


def test_histograms_count_what_is_missing_and_fill_the_innermost():
    def filled(source, **more):
        axes = [{"name": "x", "source": source, "bins": {"nbins": 7, "low": -10, "high": 60}}]
        params = histogram.op.params(axes=axes)
        return histogram.op.call(Events(EVENTS, 4), axes=params.axes, **more)

    for source, entries, none in (
        ("J - leading(M)", 6, 3), ("holes", 3, 2), ("gone", 3, 1), ("ll", 5, 0), ("ll * w", 5, 0), ("maybe", 2, 2), ("inner", 2, 3),
    ):  # fmt: skip
        found = filled(source)
        assert (found.hist.sum(flow=True), found.none) == (entries, none), source
    weighted = filled("ll", weight_expr="outer")
    assert weighted.hist.sum(flow=True).value == 10 + 10 + 20 + 30 + 50
    names = histogram.op.params(axes=[{"name": "t", "source": "text", "type": "category"}]).axes
    found = histogram.op.call(Events(EVENTS, 4), axes=names)
    assert dict(zip(found.hist.axes[0], found.hist.values().tolist(), strict=True)) == {"a": 3, "bc": 1}
    assert found.none == 1


def test_lists_of_other_lengths_are_refused():
    for text in ("ll + M", "ll[M > 1]", "where(M > 1, J, 0)", "fill_none(J, M)"):
        with pytest.raises(ExpressionError, match="structure"):
            expression(text)(EVENTS)
    with pytest.raises(ExpressionError, match="out of range"):
        expression("M[local_index(J)]")(EVENTS)


def test_kernels_get_lists_of_which_nothing_is_missing():
    columns = {"M_pt": EVENTS["M"][:3], "M_d": expression("M - leading(M)")({"M": EVENTS["M"][:3]})}
    offsets, pt, difference = lists(columns, "M_pt", "M_d")
    assert difference.tolist() == [0.0, -20.0, 0.0, 0.0]
    assert (len(offsets), len(pt)) == (4, 4)
    with pytest.raises(OpError, match="has missing values"):
        lists(EVENTS, "holes")
