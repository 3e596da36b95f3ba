"""Expressions: values against plain Python loops, structure, and what is refused."""

import math
import pickle
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fasthep_parsl.interfaces import Context, DatasetInfo
from fasthep_parsl.ops.expressions import ExpressionError, analyse_expression, expression, with_prefix
from fasthep_parsl.ops.expressions.functions import FUNCTIONS
from fasthep_parsl.ops.stream import Events

SCHEMA = {
    "Muon_pt": ("nMuon",),
    "Muon_eta": ("nMuon",),
    "Muon_good": ("nMuon",),
    "Jet_pt": ("nJet",),
    "met": (),
    "nMuon": (),
    "Sel.presel": (),
    "x": ("*",),
}
PT = [[30.0, 20.5], [], [10.0], [5.0, 7.0, 50.0]]
ETA = [[0.1, -2.5], [], [1.0], [2.6, -0.2, 0.3]]
MET = [10.0, 20.0, 30.0, 40.0]


def events(pt=PT, eta=ETA, met=MET, dtype="float64"):
    def typed(lists):
        return ak.values_astype(ak.Array([*lists, [0.0]])[:-1], dtype)

    columns = {
        "Muon_pt": typed(pt),
        "Muon_eta": typed(eta),
        "met": np.array(met),
        "nMuon": np.array([len(x) for x in pt], dtype=np.int32),
        "Sel.presel": np.array(met) > 15,
    }
    return Events(columns, len(met))


def context():
    dataset = DatasetInfo("dy", meta={"xsec": 6077.0})
    return Context("S", dataset, (dataset,), "dy-0", Path())


def values(text, data=None):
    return ak.to_list(expression(text)(data or events(), context()))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("met > 15 && met < 35", [False, True, True, False]),
        ("met < 15 || met > 35", [True, False, False, True]),
        ("15 < met < 35", [False, True, True, False]),
        ("!(met > 15)", [True, False, False, False]),
        ("not met > 15 and met > 5", [True, False, False, False]),
        ("~(met > 15) & (met > 5)", [True, False, False, False]),
        ("!Sel.presel", [True, False, False, False]),
        ("-met ** 2 + 1", [-99.0, -399.0, -899.0, -1599.0]),
        ("nMuon ** -1 * 0 + met // 7 % 2", [1.0, math.nan, 0.0, 1.0]),
        ("dataset.xsec * 2", [12154.0] * 4),
        ("dataset.name == 'dy'", [True] * 4),
        ("dataset.eventtype == 'data'", [False] * 4),
        ("met * 0 + cos(pi)", [-1.0] * 4),
        ("(nMuon & 1) != 0", [False, False, True, True]),
        ("Muon_pt[Muon_eta > 0]", [[30.0], [], [10.0], [5.0, 50.0]]),
        ("Muon_pt[(Muon_pt > 6) & (abs(Muon_eta) < 2.4)]", [[30.0], [], [10.0], [7.0, 50.0]]),
        ("Muon_pt * nMuon", [[60.0, 41.0], [], [10.0], [15.0, 21.0, 150.0]]),
        ("sum(Muon_pt)", [50.5, 0.0, 10.0, 62.0]),
        ("sum(Muon_pt > 6)", [2, 0, 1, 2]),
        ("any(Muon_pt > 25)", [True, False, False, True]),
        ("all(Muon_pt > 6)", [True, True, True, False]),
        ("num(Muon_pt)", [2, 0, 1, 3]),
        ("count(Muon_pt)", [2, 0, 1, 3]),
        ("count_nonzero(Muon_pt > 6)", [2, 0, 1, 2]),
        ("max(Muon_pt)", [30.0, None, 10.0, 50.0]),
        ("min(Muon_pt)", [20.5, None, 10.0, 5.0]),
        ("mean(Muon_pt)", [25.25, math.nan, 10.0, 62.0 / 3]),
        ("std(Muon_pt)", [4.75, math.nan, 0.0, np.std([5, 7, 50])]),
        ("argmax(Muon_pt)", [0, None, 0, 2]),
        ("Muon_eta[argmax(Muon_pt)]", [0.1, None, 1.0, 0.3]),
        ("Muon_eta[argsort(Muon_pt)]", [[-2.5, 0.1], [], [1.0], [2.6, -0.2, 0.3]]),
        ("sort(Muon_pt, ascending=False)", [[30.0, 20.5], [], [10.0], [50.0, 7.0, 5.0]]),
        ("take(Muon_pt, 2)", [[30.0, 20.5], [], [10.0], [5.0, 7.0]]),
        ("local_index(Muon_pt)", [[0, 1], [], [0], [0, 1, 2]]),
        ("Muon_pt[local_index(Muon_pt) >= 1]", [[20.5], [], [], [7.0, 50.0]]),
        ("nth(Muon_pt, 1)", [20.5, None, None, 7.0]),
        ("nth(Muon_pt, -1)", [20.5, None, 10.0, 50.0]),
        ("nth(Muon_pt, 1, default=-1)", [20.5, -1.0, -1.0, 7.0]),
        ("leading(Muon_pt) > 25", [True, None, False, False]),
        ("subleading(Muon_pt, 0.0) + met", [30.5, 20.0, 30.0, 47.0]),
        ("fill_none(first(Muon_pt) > 25, False)", [True, False, False, False]),
        ("is_none(first(Muon_pt))", [False, True, False, False]),
        ("pad_none(Muon_pt, 2)", [[30.0, 20.5], [None, None], [10.0, None], [5.0, 7.0, 50.0]]),
        ("sum(pad_none(Muon_pt, 2))", [50.5, 0.0, 10.0, 62.0]),
        ("fill_none(pad_none(Muon_pt, 2, clip=True), 0)", [[30.0, 20.5], [0, 0], [10.0, 0], [5.0, 7.0]]),
        ("where(Muon_pt > 25, 1, 0)", [[1, 0], [], [0], [0, 0, 1]]),
        ("where(met > 25, met, first(Muon_pt))", [30.0, None, 30.0, 40.0]),
        ("hypot(3, met * 0 + 4)", [5.0] * 4),
        ("maximum(met, 25) - minimum(met, 25)", [15.0, 5.0, 5.0, 15.0]),
        ("isnan(sqrt(met - 25))", [True, True, False, False]),
        ("delta_phi(met * 0 + 3, -3)", [6 - 2 * math.pi] * 4),
        ("delta_r(met * 0, 3, 0, -3)", [2 * math.pi - 6] * 4),
        ("1 / (met - 10)", [math.inf, 0.1, 0.05, 1 / 30]),
        ("True", [True] * 4),
    ],
)
def test_values(text, expected):
    got = values(text)
    flat = ak.flatten(ak.Array([got]), axis=None), ak.flatten(ak.Array([expected]), axis=None)
    assert [x if not isinstance(x, list) else len(x) for x in got] == pytest.approx(
        [x if not isinstance(x, list) else len(x) for x in expected], nan_ok=True
    )
    np.testing.assert_allclose(*(np.ma.filled(np.ma.asarray(ak.to_numpy(f)).astype(float), -9) for f in flat))


def test_event_level_results_are_numpy_and_float32_stays():
    data = events(dtype="float32")
    assert expression("Muon_pt * 2 > 1")(data).type.content.content.primitive == "bool"
    assert expression("Muon_pt * 2.5")(data).type.content.content.primitive == "float32"
    for text in (
        "met > 2",
        "sum(Muon_pt)",
        "any(Muon_pt > 1)",
        "num(Muon_pt)",
        "nth(Muon_pt, 0, 0)",
        "sum(Muon_pt) > 1",
    ):
        assert type(expression(text)(data)) is np.ndarray, text
    assert expression("sum(Muon_pt)")(data).dtype == np.float64
    assert expression("mean(Muon_pt)")(data).dtype == np.float64
    assert expression("sum(nMuon + 0 * local_index(Muon_pt))")(data).dtype == np.int64


def test_small_and_unsigned_integers_do_not_wrap_around():
    data = {
        "n": np.array([1, 5], dtype=np.uint32),
        "q": np.array([100, -100], dtype=np.int8),
        "b": np.array([True, False]),
    }

    def value(text):
        return expression(text)(data).tolist()

    assert value("n - 3") == [-2, 2]
    assert value("-n") == [-1, -5]
    assert value("q * 2 + 300") == [500, 100]
    assert value("q & 256") == [0, 256]
    assert value("maximum(q, 300)") == [300, 300]
    assert value("b + b - (n > 0)") == [1, -1]
    assert value("2 ** -n") == [0.5, 1 / 32]
    assert value("q < 300") == [True, True]


def test_sums_do_not_depend_on_how_events_are_cut():
    rng = np.random.default_rng(1)
    lists = ak.unflatten((rng.exponential(1e6, 5000)).astype(np.float32), rng.multinomial(5000, [1 / 1000] * 1000))
    whole = expression("sum(x)")({"x": lists})
    parts = [expression("sum(x)")({"x": lists[i : i + 10]}) for i in range(0, 1000, 10)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))


@pytest.mark.parametrize("name", ["sum", "mean", "min", "max", "any", "all", "argmin", "argmax", "num", "std"])
def test_functions_work_on_no_events_and_on_empty_lists(name):
    none = events([], [], [])
    assert len(expression(f"{name}(Muon_pt)")(none)) == 0
    assert len(expression(f"{name}(Muon_pt)")(events([[], []], [[], []], [1.0, 2.0]))) == 2


def test_filtered_events_and_sliced_columns_have_the_same_values():
    mask = np.array([True, False, True, True])
    filtered = events().filter(mask)
    assert values("Muon_pt + Muon_eta > 0", filtered) == [
        v for v, m in zip(values("Muon_pt + Muon_eta > 0"), mask, strict=True) if m
    ]
    sliced = {"a": events()["Muon_pt"][2:], "b": events()["Muon_eta"][2:]}
    assert values("a[b < 1]", sliced) == [[], [7.0, 50.0]]


lists = st.lists(st.lists(st.floats(-100, 100, width=32), max_size=4), min_size=1, max_size=6)


@given(lists)
@settings(max_examples=30, deadline=None)
def test_masks_and_reductions_agree_with_loops(pt):
    data = events(pt, pt, [1.0] * len(pt))
    assert values("Muon_pt[(Muon_pt > 0) & (abs(Muon_eta) < 50)]", data) == [
        [x for x in one if x > 0 and abs(x) < 50] for one in pt
    ]
    assert values("sum(Muon_pt)", data) == pytest.approx([sum(one) for one in pt], abs=1e-9)
    assert values("max(Muon_pt)", data) == [max(one, default=None) for one in pt]
    assert values("count_nonzero(Muon_pt > 0)", data) == [sum(x > 0 for x in one) for one in pt]
    assert values("nth(Muon_pt, 2, -1)", data) == [one[2] if len(one) > 2 else -1 for one in pt]
    assert values("Muon_pt[argmin(Muon_pt)]", data) == [min(one, default=None) for one in pt]


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("met > 2", ()),
        ("Muon_pt > met", ("nMuon",)),
        ("sum(Muon_pt) > 2", ()),
        ("Muon_pt * x", ("nMuon",)),
        ("x * Muon_pt", ("nMuon",)),
        ("x + 1", ("*",)),
        ("Muon_pt[Muon_good]", ("nMuon[Muon_good]",)),
        ("Muon_pt[Muon_good] + Muon_eta[ Muon_good ]", ("nMuon[Muon_good]",)),
        ("Muon_pt[Muon_good & (Muon_eta>0)]", ("nMuon[Muon_good & (Muon_eta > 0)]",)),
        ("nth(Muon_pt, 0)", ()),
        ("Muon_pt[argmax(Muon_eta)]", ()),
        ("Muon_pt[argsort(Muon_eta)]", ("nMuon[argsort(Muon_eta)]",)),
        ("pad_none(Muon_pt, 3)", ("nMuon[pad_none(3)]",)),
        ("argsort(Muon_pt)", ("nMuon",)),
        ("dataset.xsec * 2", ()),
    ],
)
def test_structure_is_known_without_events(text, shape):
    reads, got, problems = analyse_expression(text, ("expr",), SCHEMA)
    assert problems == []
    assert got == shape
    assert set(reads) == expression(text).names


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("Muon_pT > 2", "unknown field `Muon_pT`", "`Muon_pt`"),
        ("Muon.pt > 2", "unknown field `Muon.pt`", "`Muon_pt`"),
        ("met > 1 & nMuon < 2", "binds more tightly", "(a > 1) & (b < 2)"),
        ("met > 1 | Sel.presel", "binds more tightly", "(a > 1) | (b < 2)"),
        ("(met > 1) & 2", "binds more tightly", "parentheses"),
        ("f(met > 1 & nMuon < 2)", "binds more tightly", "parentheses"),
        ("Muon_pt + Jet_pt", "different objects", "nth("),
        ("Muon_pt[Jet_pt > 2]", "belong to different objects", "same objects"),
        ("Muon_pt[met > 2]", "one value per event", "selection"),
        ("Muon_pt[0]", "a number as index would select an event", "nth(Muon_pt, 0)"),
        ("Muon_pt[:, 0]", "slices", "nth(Muon_pt, 0)"),
        ("met[met > 2]", "one value per event", "where("),
        ("sum(met)", "but x has one value per event", "without sum()"),
        ("nth(met, 0)", "but x has one value per event", "nth"),
        ("sqr(met)", "unknown function `sqr`", "`sqrt`"),
        ("len(Muon_pt)", "unknown function `len`", "num(x)"),
        ("hypot(met)", "missing a required argument", "hypot(a, b)"),
        ("min(met, nMuon)", "too many", "minimum(a, b)"),
        ("nth(Muon_pt, 0, defaul=2)", "unexpected keyword", "nth(values, index, default)"),
        ("met = 2", "is not an expression", "`==`"),
        ("sum(Muon_pt", "is not an expression", "parentheses"),
        ("met if met else 2", "not allowed", "where("),
        ("nMuon in [1, 2]", "the comparisons are", "(x == 1) | (x == 2)"),
        ("met > None", "None", "is_none"),
        ("", "the expression is empty", ""),
        ("met.__class__", "not allowed", ""),
        ("(lambda: 1)()", "only named functions", ""),
        ("__import__('os')", "unknown function", ""),
        ("[x for x in met]", "not allowed", "your own op"),
        ("open('/etc/passwd')", "unknown function", ""),
        ("'a'.join", "attributes", ""),
    ],
)
def test_refused_with_a_hint(text, message, hint):
    _, _, problems = analyse_expression(text, ("variables", 0, "expr"), SCHEMA)
    assert problems, text
    assert message in problems[0].message
    assert hint in str(problems[0].hint)
    assert problems[0].path == ("variables", 0, "expr")


def test_different_structure_is_refused_at_run_time_too():
    data = {"a": ak.Array([[1.0], [2.0, 3.0]]), "b": ak.Array([[1.0, 2.0], [3.0]])}
    with pytest.raises(ExpressionError, match="in `a \\+ b`: jagged fields of different structure"):
        expression("a + b")(data)
    with pytest.raises(ExpressionError, match="different structure"):
        expression("a[b > 1]")(data)


def test_unknown_fact_of_the_dataset_names_close_ones():
    with pytest.raises(ExpressionError, match=r"has no `xsce`.*`xsec`"):
        expression("dataset.xsce * 2")(events(), context())


def test_bare_names_belong_to_the_collection():
    assert with_prefix("pt > 20 and abs(eta) < met", "Muon_", SCHEMA).names == {"Muon_pt", "Muon_eta", "met"}
    reads, shape, problems = analyse_expression("pt[eta > 0]", (), SCHEMA, prefix="Muon_")
    assert (set(reads), problems) == ({"Muon_pt", "Muon_eta"}, [])
    assert shape == ("nMuon[Muon_eta > 0]",)
    assert with_prefix("pt * 2", "Muon_", SCHEMA)(events()).to_list()[2] == [20.0]


def test_names_facts_and_identity():
    made = expression("Muon_pt * dataset.xsec + Sel.presel * pi")
    assert made.names == {"Muon_pt", "Sel.presel"}
    assert made.meta == {"xsec"}
    assert expression("Muon_pt * dataset.xsec + Sel.presel * pi") is made
    assert pickle.loads(pickle.dumps(made)) is made
    with pytest.raises(ExpressionError) as caught:
        expression("a > 1 & b < 2")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.message, str(again.hint)) == (caught.value.message, str(caught.value.hint))


def test_every_function_says_how_it_is_used():
    for name, item in FUNCTIONS.items():
        assert item.usage.startswith(f"{name}(")
        with pytest.raises(ExpressionError) as caught:
            item.bind([], {})
        assert str(caught.value.hint)


def test_angles_are_those_of_the_overlap_removal_also_with_missing_and_jagged_values():
    """One formula for expressions and ops: float64, wrapped to [-π, π)."""
    phi = ak.values_astype(ak.Array([[3.0, 1.0], [], [-3.0]]), "float32")
    events = {
        "phi": phi,
        "eta": ak.zeros_like(phi),
        "holes": ak.Array([[1.0, 2.0], [], [None]]),
        "met": np.array([3.1, 0.0, -3.1], dtype="f4"),
    }
    with_missing = ak.to_list(expression("delta_phi(phi, nth(phi, 0))")(events))
    assert with_missing == [[0.0, -2.0], [], [0.0]]
    assert ak.to_list(expression("delta_phi(holes, phi)")(events)) == [[-2.0, 1.0], [], [None]]
    assert ak.to_list(expression("delta_r(eta, phi, 0, nth(phi, 0))")(events)) == [[0.0, 2.0], [], [0.0]]
    wrapped = expression("delta_phi(phi, met)")(events)
    assert ak.flatten(wrapped).type.content.primitive == "float64"
    assert float(expression("delta_phi(pi, 0)")({"met": events["met"]})[0]) == -math.pi
