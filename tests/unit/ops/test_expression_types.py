"""What expressions compute in: integers never wrap around, constants keep their value, types do not depend on data."""

import math
from pathlib import Path

import awkward as ak
import numpy as np
import pytest

from fasthep_parsl.interfaces import Context, DatasetInfo
from fasthep_parsl.ops.define import define
from fasthep_parsl.ops.expressions import ExpressionError, analyse_expression, expression, with_prefix
from fasthep_parsl.ops.stream import Events

WIDTHS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")


def jagged(rows, dtype):
    counts = [len(row) for row in rows]
    return ak.unflatten(np.array([x for row in rows for x in row], dtype=dtype), counts)


def value(text, **columns):
    return expression(text)(columns)


def listed(text, **columns):
    return ak.to_list(value(text, **columns))


@pytest.mark.parametrize("dtype", WIDTHS)
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("J - leading(J)", [[0, -2], [], [0]]),
        ("nth(J, 0, -1)", [5, -1, 100]),
        ("fill_none(leading(J), -1)", [5, -1, 100]),
        ("where(J > 4, J, -1)", [[5, -1], [], [100]]),
        ("pad_none(J, 2) - 101", [[-96, -98], [None, None], [-1, None]]),
        ("pad_none(J, 2) * 1000", [[5000, 3000], [None, None], [100000, None]]),
        ("pad_none(J, 1) == 300", [[False, False], [None], [False]]),
        ("J == -1", [[False, False], [], [False]]),
        ("-J", [[-5, -3], [], [-100]]),
        ("J * 300 + J", [[1505, 903], [], [30100]]),
        ("sum(J) - 1000", [-992, -1000, -900]),
        ("minimum(J, -300)", [[-300, -300], [], [-300]]),
        ("~J", [[-6, -4], [], [-101]]),
        ("J & 257", [[1, 1], [], [0]]),
        ("J // -3", [[-2, -1], [], [-34]]),
        ("J % -3", [[-1, 0], [], [-2]]),
        ("sqrt(J)", [[math.sqrt(5), math.sqrt(3)], [], [10.0]]),
        ("exp(J)", [[math.exp(5), math.exp(3)], [], [math.exp(100)]]),
        ("J / 3", [[5 / 3, 1.0], [], [100 / 3]]),
        ("J ** 9", [[5**9, 3**9], [], [100**9]]),
        ("J ** -1", [[0.2, 1 / 3], [], [0.01]]),
        ("max(J) + 1000", [1005, None, 1100]),
    ],
)
def test_integers_of_every_width_compute_alike(dtype, text, expected):
    column = jagged([[5, 3], [], [100]], dtype)
    got = value(text, J=column)
    assert ak.flatten(ak.Array([got]), axis=None).to_list() == pytest.approx(
        ak.flatten(ak.Array([expected]), axis=None).to_list(), rel=1e-15
    )
    assert ak.to_list(ak.is_none(got, axis=-1)) == ak.to_list(ak.is_none(ak.Array(expected), axis=-1))
    alone = [value(text, J=column[i : i + 1]) for i in range(3)]
    assert ak.to_list(ak.concatenate(alone)) == ak.to_list(got)
    assert {str(ak.type(ak.Array(part)).content) for part in alone} == {str(ak.type(ak.Array(got)).content)}


def test_extremes_of_small_integers():
    q = np.array([-128, -127, 127], dtype=np.int8)
    assert value("abs(q)", q=q).tolist() == [128, 127, 127]
    assert value("-q", q=q).tolist() == [128, 127, -127]
    assert value("sign(q)", q=q).dtype == np.int64
    flag = np.array([True, False])
    assert value("flag + flag", flag=flag).tolist() == [2, 0]
    assert value("-flag", flag=flag).tolist() == [-1, 0]
    assert value("cos(flag)", flag=flag).tolist() == [math.cos(1), 1.0]
    assert value("flag * x", flag=flag, x=np.ones(2, np.float32)).dtype == np.float64
    assert value("flag & flag", flag=flag).dtype == bool


LARGE = 2**63 - 1


@pytest.mark.parametrize(
    ("text", "x"),
    [
        ("x + 1", LARGE), ("x - -1", LARGE), ("x * 2", 2**62), ("x * x", 2**32), ("x ** 3", 2**21), ("x ** 2", -(2**32)),
        ("-x", -(2**63)), ("abs(x)", -(2**63)), ("x // -1", -(2**63)), ("sum(j * 0 + x)", LARGE), ("x * x", -(2**40)),
        ("x - y", -(2**62) - 2**61),
    ],
)  # fmt: skip
def test_an_integer_result_that_does_not_fit_is_an_error(text, x):
    columns = {
        "x": np.array([1, x, 1]),
        "y": np.array([1, 2**62, 0]),
        "j": ak.Array([[1, 2], [3, 4], []]),
    }
    with pytest.raises(ExpressionError, match=r"does not fit in 64-bit integers.*multiply by 1\.0"):
        expression(text)(columns)
    others = {name: column[[0, 2]] for name, column in columns.items()}
    assert len(expression(text)(others)) == 2
    assert np.isfinite(ak.to_numpy(ak.flatten(expression(text.replace("x", "(x * 1.0)", 1))(columns), axis=None))).all()


@pytest.mark.parametrize(
    ("text", "x", "expected"),
    [
        ("x * 2", 2**62 - 1, 2**63 - 2), ("x * -2", 2**62, -(2**63)), ("x + 1", LARGE - 1, LARGE), ("x ** 3", -(2**21), -(2**63)),
        ("-x", -LARGE, LARGE), ("x ** 62", 2, 2**62), ("x // 1", -(2**63), -(2**63)), ("x % -1", -(2**63), 0), ("x * 1", -(2**63), -(2**63)),
    ],
)  # fmt: skip
def test_results_that_just_fit_are_exact(text, x, expected):
    assert value(text, x=np.array([x, 1]))[0] == expected


def test_what_lies_under_a_missing_value_does_not_overflow():
    values = np.array([2**62, 5])
    x = ak.Array(
        ak.contents.ByteMaskedArray(ak.index.Index8(np.array([0, 1], np.int8)), ak.contents.NumpyArray(values), True)
    )
    assert listed("x * x", x=x) == [None, 25]
    assert listed("x ** 3", x=x) == [None, 125]


def test_bounds_that_rule_an_overflow_out_are_kept_and_others_are_looked_at():
    n = np.array([2**32 - 1, 3], dtype=np.uint32)
    assert value("n * n * 0 + 2", n=n[1:]).tolist() == [2]
    with pytest.raises(ExpressionError, match="does not fit"):
        value("n * n", n=n)
    none = np.array([], dtype=np.int32)
    assert len(value("(-n) ** 3", n=none)) == 0


def test_uint64_that_does_not_fit_is_named_and_handed_on_unchanged_alone():
    huge = np.array([1, 2**63 + 5], dtype=np.uint64)
    assert value("event", event=huge) is huge
    for text in ("event + 0", "event > 3", "sqrt(event)", "-event"):
        with pytest.raises(ExpressionError, match="`event` does not fit in 64-bit signed integers"):
            value(text, event=huge)
    assert value("event - 3", event=huge[:1]).tolist() == [-2]


def test_integers_divided_by_zero_are_missing():
    a, b = np.array([7, -7, 7], np.int8), np.array([0, 2, 4], np.uint16)
    assert listed("a // b", a=a, b=b) == [None, -4, 1]
    assert listed("a % b", a=a, b=b) == [None, 1, 3]
    assert listed("a // b", a=a[1:], b=b[1:]) == [-4, 1]
    assert listed("a / b", a=a, b=b) == [math.inf, -3.5, 1.75]
    assert value("a * 1.0 // b", a=a, b=b).tolist() == [math.inf, -4.0, 1.0]
    assert str(ak.type(value("a // b", a=a[1:], b=b[1:]))) == "2 * ?int64"


@pytest.mark.parametrize(
    ("text", "dtype"),
    [
        ("x * 0.1", "f4"), ("x + 16777216", "f4"), ("x + 16777217", "f8"), ("x * 1e39", "f8"), ("x * 1e-50", "f8"), ("x + inf", "f4"),
        ("where(x > 0, x, 0.5)", "f4"), ("where(x > 0, x, 1e39)", "f8"), ("x + i", "f8"), ("x ** 2", "f4"), ("hypot(x, 3)", "f4"),
        ("minimum(x, 16777217)", "f8"), ("x + sqrt(2)", "f4"), ("x * (2 * pi)", "f4"), ("x * dataset.xsec", "f4"), ("x + flag", "f8"),
        ("fill_none(i, 0.5)", "f8"), ("where(flag, i, 0.5)", "f8"), ("i + 0.5", "f8"), ("where(flag, 1, 2)", "i8"), ("+flag", "i8"),
        ("fill_none(flag, 1)", "?"), ("fill_none(flag, 7)", "i8"), ("floor(i)", "i8"), ("round(x)", "f4"), ("sum(j)", "i8"), ("2 ** i", "f8"),
        ("mean(j)", "f8"), ("isnan(i)", "?"), ("fill_none(leading(j), 0.5)", "f8"), ("delta_phi(x, x)", "f8"),
    ],
)  # fmt: skip
def test_types_follow_from_types_and_constants(text, dtype):
    columns = {
        "x": np.array([1.5, -2.0], np.float32),
        "i": np.array([1, 2], np.int16),
        "flag": np.array([True, False]),
        "j": jagged([[1], [2, 3]], "uint8"),
    }
    dataset = DatasetInfo("d", meta={"xsec": 3.5})
    context = Context("S", dataset, (dataset,), "d-0", Path())
    for events in (columns, {name: column[:0] for name, column in columns.items()}):
        assert expression(text)(events, context).dtype == np.dtype(dtype)


def test_constants_compare_by_their_value():
    u8 = np.array([0, 200, 255], np.uint8)
    assert value("x == -1", x=u8).tolist() == [False] * 3
    assert value("x < 300", x=u8).tolist() == [True] * 3
    assert value("x > 199.5", x=u8).tolist() == [False, True, True]
    single = np.array([16777216.0], np.float32)
    assert value("x == 16777217", x=single).tolist() == [False]
    large = np.array([2**53 + 1])
    assert value("x == 9007199254740993", x=large).tolist() == [True]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2 ** 3", 8), ("-1", -1), ("10 ** 2", 100), ("2 ** -1", 0.5), ("2 ** 63 - 1", LARGE), ("-2 ** 63", -(2**63)), ("1 / 0", math.inf),
        ("-1 / 0", -math.inf), ("-8 ** 0.5", -(8**0.5)), ("(-1 < 2) + 1", 2), ("7 // -2", -4), ("1e308 * 10", math.inf), ("0.0 ** -1", math.inf),
        ("~True", False), ("~5", -6), ("not 3", False), ("3 and 0", False), ("1 < 2 < 3", True), ("-9223372036854775808", -(2**63)), ("5 % -3", -1),
    ],
)  # fmt: skip
def test_constants_are_computed_as_python_does(text, expected):
    got = value(text, x=np.zeros(2))
    assert got.tolist() == [expected] * 2
    assert got.dtype.kind == {bool: "b", int: "i", float: "f"}[type(expected)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x < 10**19", "does not fit in 64 bits"),
        ("i + 10**30", "does not fit in 64 bits"),
        ("x + 10**5000", "does not fit in 64 bits"),
        ("x + 10**10**10", "does not fit in 64 bits"),
        ("fill_none(x, 9223372036854775808)", "does not fit in 64 bits"),
        ("2 ** 63 + i", "does not fit in 64 bits"),
        ("i // 0", "divides by zero"),
        ("i % (1 - 1)", "divides by zero"),
        ("1 // 0", "divides by zero"),
        ("x & (1.5 * i)", "not floats"),
        ("~(x / 2)", "not floats"),
        ("sqrt(x) | i", "not floats"),
        ("fill_none(x, j)", "one value per event"),
        ("nth(j, 0, j)", "the default has a list per event"),
        ("nth(j, j)", "one number per event"),
    ],
)
def test_refused_before_anything_starts(text, message):
    schema = {"x": (), "i": (), "j": ("nj",)}
    _, _, problems = analyse_expression(text, ("expr",), schema)
    assert problems
    assert message in problems[0].message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("f & 1", "not floats"),
        ("~f", "not floats"),
        ("f | flag", "not floats"),
        ("name + 1", r"text cannot be used with \+"),
        ("sqrt(name)", r"text cannot be used with sqrt\(\)"),
        ("name < 'a'", "text cannot be used with < <= > >="),
        ("name == 1", "text can only be compared with text"),
        ("not name", "text cannot be used with not"),
        ("where(name, 1, 2)", "the condition cannot be text"),
        ("fill_none(f, name)", "cannot mix text and numbers"),
        ("j[f]", "an index must be bools or integers"),
        ("nth(j, f)", "the index must be an integer"),
        ("nth(j, flag)", "the index must be an integer"),
        ("records + 1", "`records` has the type"),
        ("fill_none(f, j)", "x has one value per event, value has a list"),
    ],
)
def test_refused_by_name_where_only_the_data_tell(text, message):
    columns = {
        "f": np.array([1.0, 2.0]),
        "flag": np.array([True, False]),
        "name": ak.Array(["a", "bc"]),
        "j": ak.Array([[1], [2, 3]]),
        "records": ak.Array([{"a": 1}, {"a": 2}]),
    }
    with pytest.raises(ExpressionError, match=message):
        expression(text)(columns)


def test_a_plus_after_a_tilde_is_no_negation():
    columns = {"i": np.array([5, 0])}
    assert value("~(+i)", **columns).tolist() == [-6, -1]
    assert value("~+i", **columns).tolist() == [-6, -1]
    assert value("!i", **columns).tolist() == [False, True]
    assert value("'ä!' != 'b' && !i", **columns).tolist() == [False, True]


# --- names ------------------------------------------------------------------------------------------------


def test_a_field_wins_over_the_constant_of_its_name():
    schema = {"e": (), "Lep_e": ("nLep",), "Lep_pt": ("nLep",)}
    columns = {
        "e": np.array([30.0, 50.0]),
        "Lep_e": ak.Array([[1.0], [2.0, 3.0]]),
        "Lep_pt": ak.Array([[1.0], [2.0, 3.0]]),
    }
    for text in ("e", "e > 40", "2 * e"):
        reads, _, problems = analyse_expression(text, (), schema)
        assert (set(reads), problems) == ({"e"}, [])
    assert value("e > 40", **columns).tolist() == [False, True]
    assert value("e", **columns).tolist() == [30.0, 50.0]
    assert value("e * 0 + pi", **columns).tolist() == [math.pi] * 2
    assert analyse_expression("e * pi", (), {"x": ()})[0] == {}
    assert with_prefix("e > 2", "Lep_", schema)(columns).to_list() == [[False], [False, True]]
    assert set(analyse_expression("e > 2", (), schema, prefix="Lep_")[0]) == {"Lep_e"}


# --- hep.define -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "x", "expected"),
    [
        ("int8", [1.9, -1.9], [1, -1]),
        ("uint8", [255.0, 0.0], [255, 0]),
        ("int64", [2.0**62, 1.0], [2**62, 1]),
        ("bool", [0.0, 3.0], [False, True]),
    ],
)
def test_a_dtype_that_holds_the_values(dtype, x, expected):
    variable = define.op.params(variables=[{"name": "y", "expr": "x", "dtype": dtype}]).variables
    assert define.op.call(Events({"x": np.array(x)}, 2), variables=variable)["y"].tolist() == expected


@pytest.mark.parametrize(
    ("dtype", "expr", "wrong"),
    [
        ("int8", "x * 200", "200"),
        ("uint8", "-x", "-1"),
        ("int32", "x / 0", "inf"),
        ("int64", "sqrt(-x)", "NaN"),
        ("uint64", "j - 3", "-2"),
    ],
)
def test_a_dtype_that_does_not_hold_the_values_is_refused(dtype, expr, wrong):
    variable = define.op.params(variables=[{"name": "y", "expr": expr, "dtype": dtype}]).variables
    with pytest.raises(ExpressionError, match=f"`y`: {wrong}.* does not fit in {dtype}"):
        define.op.call(Events({"x": np.array([1, 1]), "j": ak.Array([[1], [2]])}, 2), variables=variable)
